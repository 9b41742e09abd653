#include <stdlib.h>

#include <herd/err.h>

#include "core/timers.h"

enum { CAP_FIRST = 16 };

static void put(struct timers *timers, size_t place, struct timer *timer)
{
    timers->heap[place - 1] = timer;
    timer->place = place;
}

static struct timer *at(const struct timers *timers, size_t place)
{
    return timers->heap[place - 1];
}

static void rise(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    while (place > 1 && at(timers, place / 2)->at_ns > timer->at_ns) {
        put(timers, place, at(timers, place / 2));
        place /= 2;
    }
    put(timers, place, timer);
}

static void sink(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    for (size_t child; (child = place * 2) <= timers->count; place = child) {
        if (child < timers->count && at(timers, child + 1)->at_ns < at(timers, child)->at_ns)
            child++;
        if (at(timers, child)->at_ns >= timer->at_ns)
            break;
        put(timers, place, at(timers, child));
    }
    put(timers, place, timer);
}

void timers_close(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}

size_t timers_give_back(struct timers *timers)
{
    size_t before = timers->cap, cap = before;
    while (cap > CAP_FIRST && timers->most <= cap / 4)
        cap /= 2;
    timers->most = timers->count;
    struct timer **heap = cap < before ? realloc(timers->heap, cap * sizeof(struct timer *)) : NULL;
    if (heap == NULL)
        return 0;
    timers->heap = heap;
    timers->cap = cap;
    return (before - cap) * sizeof(struct timer *);
}

int timers_set(struct timers *timers, struct timer *timer, int64_t at_ns)
{
    if (timer->place == 0) {
        if (timers->count == timers->cap) {
            size_t cap = timers->cap > 0 ? timers->cap * 2 : CAP_FIRST;
            struct timer **heap = realloc(timers->heap, cap * sizeof(struct timer *));
            if (heap == NULL)
                return HERD_ENOMEM;
            timers->heap = heap;
            timers->cap = cap;
        }
        put(timers, ++timers->count, timer);
        timers->most = timers->count > timers->most ? timers->count : timers->most;
    }
    timer->at_ns = at_ns;
    rise(timers, timer);
    sink(timers, timer);
    return 0;
}

void timers_clear(struct timers *timers, struct timer *timer)
{
    size_t place = timer->place;
    if (place == 0)
        return;
    struct timer *last = at(timers, timers->count--);
    timer->place = 0;
    if (last == timer)
        return;
    put(timers, place, last);
    rise(timers, last);
    sink(timers, last);
}

struct timer *timers_first(const struct timers *timers)
{
    return timers->count > 0 ? timers->heap[0] : NULL;
}
