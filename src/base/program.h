/* program.h: what each program does before anything else. */
#ifndef BASE_PROGRAM_H
#define BASE_PROGRAM_H

/*
 * First thing in main. Standard descriptors that are closed become /dev/null, or the next file that
 * is opened would be stdout or stderr, and get what is written there; a stdout that was closed
 * still takes nothing, so that what is lost there is told. A file that becomes larger than
 * RLIMIT_FSIZE is an error of that write (EFBIG), not the end of the process by SIGXFSZ. Ends the
 * program with status 1 and a sentence where /dev/null cannot be opened.
 */
void program_begin(const char *program);

#endif
