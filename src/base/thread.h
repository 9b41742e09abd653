/* thread.h: what the program's own threads have in common. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/* The signals of a crash, which reach the thread that crashes: i = 0, 1, … until 0. */
int thread_crash_signal(size_t i);

/*
 * Has this thread, and those that it starts, block what threads of our own block: all signals,
 * because they are the loop's, and SIGPIPE or SIGXFSZ would end the program; but not those of a
 * crash. Where these are blocked the kernel ends the process at once, and asks no handler
 * (secret_wipe_all has one). `before` is for pthread_sigmask(SIG_SETMASK, …), which takes it back.
 */
void thread_block_signals(sigset_t *before);

/* Starts a thread of our own, which blocks these. `name` is what the system shows, 15 bytes at
 * most. 0, or the errno, also in errno, of a thread that cannot be had. */
int thread_start(pthread_t *out, const char *name, void *(*run)(void *arg), void *arg);

#endif
