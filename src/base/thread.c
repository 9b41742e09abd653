#include "base/thread.h"

#include <errno.h>

int thread_crash_signal(size_t i)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    return i < sizeof numbers / sizeof numbers[0] ? numbers[i] : 0;
}

void thread_block_signals(sigset_t *before)
{
    sigset_t ours;
    int number;
    sigfillset(&ours);
    for (size_t i = 0; (number = thread_crash_signal(i)) != 0; i++)
        sigdelset(&ours, number);
    pthread_sigmask(SIG_SETMASK, &ours, before);
}

int thread_start(pthread_t *out, const char *name, void *(*run)(void *arg), void *arg)
{
    sigset_t before;
    thread_block_signals(&before);
    int error = pthread_create(out, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        pthread_setname_np(*out, name);
    else
        errno = error;
    return error;
}
