/* retry_budget.h: how many calls may be made a second time: a share of those of the last seconds,
 * so that retries never double the load of a provider that is down already. Pure. */
#ifndef PLACES_RETRY_BUDGET_H
#define PLACES_RETRY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum { RETRY_WINDOW_S = 10 };

/* All zero is an empty one. */
struct retry_budget {
    int64_t second; /* the newest slot's */
    struct {
        int64_t calls, retries;
    } slots[RETRY_WINDOW_S];
};

/* A first attempt was made. */
void retry_budget_call(struct retry_budget *budget, int64_t now_ms);

/* Takes a retry: true while those of the last RETRY_WINDOW_S seconds are at most `percent` of the
 * first attempts in them, or at most `min`. */
bool retry_budget_take(struct retry_budget *budget, int64_t now_ms, int64_t percent, int64_t min);

#endif
