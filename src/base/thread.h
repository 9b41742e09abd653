/* thread.h: what the program's own threads have in common. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <signal.h>
#include <stddef.h>

/* The signals of a crash, which reach the thread that crashes: i = 0, 1, … until 0. */
int thread_crash_signal(size_t i);

/*
 * What a thread of our own blocks: all signals, because they are the loop's, and SIGPIPE or SIGXFSZ
 * would end the program; but not those of a crash. Where these are blocked the kernel ends the
 * process at once, and asks no handler (secret_wipe_all has one).
 */
void thread_signals(sigset_t *out);

#endif
