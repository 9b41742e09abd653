#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "base/output.h"

void output_mistakes(const char *program, const char *path, int rc, const struct herd_buf *errors)
{
    if (errors->len > 0)
        fwrite(errors->data, 1, errors->len, stderr);
    if (rc != HERD_EINVAL)
        fprintf(stderr, "%s: %s: %s\n", program, path, herd_strerror(rc));
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
