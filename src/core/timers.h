/* timers.h: deadlines in order: a binary heap of timers, each embedded in what it belongs to. */
#ifndef CORE_TIMERS_H
#define CORE_TIMERS_H

#include <stddef.h>
#include <stdint.h>

struct timer {
    int64_t at_ns;
    size_t place; /* in the heap, from 1; 0: not set */
};

struct timers {
    struct timer **heap;
    size_t count, cap;
    size_t most; /* that were set at once since timers_give_back */
};

void timers_close(struct timers *timers);
/* Frees what is far more than the heap has needed since the last call; how many bytes. */
size_t timers_give_back(struct timers *timers);
/* Sets a timer, or sets it anew. 0, or HERD_ENOMEM and it is as before. */
int timers_set(struct timers *timers, struct timer *timer, int64_t at_ns);
void timers_clear(struct timers *timers, struct timer *timer);
/* The earliest, or NULL. */
struct timer *timers_first(const struct timers *timers);

#endif
