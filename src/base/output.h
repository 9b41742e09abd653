/* output.h: what programs say in the same words, and their last look at stdout. */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

#include <herd/buf.h>

/* On stderr, why config_load gave `rc`: the mistakes, or that there is no memory. */
void output_mistakes(const char *program, const char *path, int rc, const struct herd_buf *errors);

/*
 * Flushes stdout. Gives `status`, the exit status so far; or, when something written to stdout was
 * lost (a full disk, say), 1 after `PROGRAM: stdout: …` on stderr, unless it is another failure.
 */
int output_end(const char *program, int status);

#endif
