#include "patience.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* What is wrapped has no place to hand state through. */
static atomic_bool is_over;

void patience_set(bool is_there)
{
    atomic_store(&is_over, !is_there);
}

int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
                                  const struct timespec *deadline);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
                                  const struct timespec *deadline);

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
                                  const struct timespec *deadline)
{
    if (atomic_load(&is_over))
        return __real_pthread_cond_timedwait(cond, lock, deadline);
    return pthread_cond_wait(cond, lock);
}
