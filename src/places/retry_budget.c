#include "places/retry_budget.h"

#include <string.h>

static void move_on(struct retry_budget *budget, int64_t now_ms)
{
    int64_t second = now_ms / 1000;
    if (second - budget->second >= RETRY_WINDOW_S)
        memset(budget->slots, 0, sizeof budget->slots);
    else
        for (int64_t i = budget->second + 1; i <= second; i++)
            memset(&budget->slots[i % RETRY_WINDOW_S], 0, sizeof budget->slots[0]);
    if (second > budget->second)
        budget->second = second;
}

void retry_budget_call(struct retry_budget *budget, int64_t now_ms)
{
    move_on(budget, now_ms);
    budget->slots[budget->second % RETRY_WINDOW_S].calls++;
}

bool retry_budget_take(struct retry_budget *budget, int64_t now_ms, int64_t percent, int64_t min)
{
    int64_t calls = 0, retries = 0;
    move_on(budget, now_ms);
    for (int i = 0; i < RETRY_WINDOW_S; i++) {
        calls += budget->slots[i].calls;
        retries += budget->slots[i].retries;
    }
    if (retries >= min && retries >= calls * percent / 100)
        return false;
    budget->slots[budget->second % RETRY_WINDOW_S].retries++;
    return true;
}
