#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "base/config_mistakes.h"
#include "base/output.h"
#include "base/utf8.h"

void output_mistakes(const char *program, const char *path, int rc, const struct herd_buf *errors)
{
    if (errors->len > 0)
        fwrite(errors->data, 1, errors->len, stderr);
    if (rc != HERD_EINVAL)
        fprintf(stderr, "%s: %s: %s\n", program, path, herd_strerror(rc));
}

void output_no_server(const char *program, const struct config *config, const char *name)
{
    struct config_nearest nearest = {.name = herd_slice_of(name)};
    for (size_t i = 0; i < config->server_count; i++)
        config_nearest_try(&nearest, herd_slice_of(config->servers[i].name));
    fprintf(stderr, "%s: %s: no server \"%s\" in it%s; its servers are:", program, config->path,
            config_show(name, strlen(name)).text, config_nearest_hint(&nearest).text);
    for (size_t i = 0; i < config->server_count; i++)
        fprintf(stderr, " %s", config->servers[i].name);
    fputc('\n', stderr);
}

void output_shown(FILE *to, struct herd_slice text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    size_t left = text.len;
    while (left > 0) {
        size_t len = utf8_length(at, left);
        if (len == 0 || utf8_is_control(at, len))
            fputc('?', to);
        else
            fwrite(at, 1, len, to);
        len += len == 0;
        at += len;
        left -= len;
    }
}

int output_end(const char *program, int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    /* An earlier write may have failed and its errno be gone. */
    fprintf(stderr, "%s: stdout: %s\n", program,
            errno != 0 ? strerror(errno) : "not all could be written");
    return status == EXIT_SUCCESS ? EXIT_FAILURE : status;
}
