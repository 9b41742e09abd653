#include "base/thread.h"

int thread_crash_signal(size_t i)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    return i < sizeof numbers / sizeof numbers[0] ? numbers[i] : 0;
}

void thread_signals(sigset_t *out)
{
    int number;
    sigfillset(out);
    for (size_t i = 0; (number = thread_crash_signal(i)) != 0; i++)
        sigdelset(out, number);
}
