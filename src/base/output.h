/* output.h: a program's last look at its stdout. */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

/*
 * Flushes stdout. Gives `status`, the exit status so far; or, when something written to stdout was
 * lost (a full disk, say), 1 after `PROGRAM: stdout: …` on stderr, unless it is another failure.
 */
int output_end(const char *program, int status);

#endif
