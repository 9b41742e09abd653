/* output.h: what programs say in the same words, text from elsewhere on a terminal, and the last
 * look at stdout. */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

#include <stdio.h>

#include <herd/buf.h>

#include "base/config.h"

/* On stderr, why config_load gave `rc`: the mistakes, or that there is no memory. */
void output_mistakes(const char *program, const char *path, int rc, const struct herd_buf *errors);

/* On stderr, that `name` is no server of the file, which one was meant, and which ones it has. */
void output_no_server(const char *program, const struct config *config, const char *name);

/* Text from elsewhere, shown and not obeyed: control characters, C1's too, and what is no
 * UTF-8 become question marks. */
void output_shown(FILE *to, struct herd_slice text);

/* The same for lines: LF and CR LF end one, and tabs are as they are. */
void output_shown_lines(FILE *to, struct herd_slice text);

/* JSON, whose strings may hold DEL and C1's control characters: these are written as escapes, which
 * say the same. What is no UTF-8 is U+FFFD. */
void output_json(FILE *to, struct herd_slice text);

/*
 * Flushes stdout. Gives `status`, the exit status so far; or, when something written to stdout was
 * lost (a full disk, say), 1 after `PROGRAM: stdout: …` on stderr, unless it is another failure.
 */
int output_end(const char *program, int status);

#endif
