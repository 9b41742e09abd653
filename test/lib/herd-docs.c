/* herd-docs configuration | metrics: prints the tables that docs/ has of it, for scripts/docs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/metrics.h"

int main(int argc, char **argv)
{
    static const struct {
        const char *page;
        int (*write)(struct herd_buf *out);
    } pages[] = {{"configuration", config_write_markdown}, {"metrics", metrics_write_markdown}};

    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (argc != 2 || strcmp(argv[1], pages[i].page) != 0)
            continue;
        struct herd_buf out = {0};
        bool ok = pages[i].write(&out) == 0 && fwrite(out.data, 1, out.len, stdout) == out.len &&
                  fflush(stdout) == 0;
        herd_buf_free(&out);
        return ok ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    fprintf(stderr, "usage: herd-docs configuration | metrics\n");
    return 2;
}
