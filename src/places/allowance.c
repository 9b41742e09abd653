#include "places/allowance.h"

#include <string.h>

/* A cap of 1,000 is reserved 62 at a time: a write to disk every 62 calls. */
static int64_t block_of(const struct allowance *allowance)
{
    int64_t block = allowance->cap / ALLOWANCE_BLOCKS;
    if (block > ALLOWANCE_BLOCK_MAX)
        return ALLOWANCE_BLOCK_MAX;
    return block > 0 ? block : 1;
}

static size_t find(const struct allowance_record *days, int64_t day)
{
    size_t i = 0;
    while (i < days->count && days->days[i].day != day)
        i++;
    return i;
}

static bool is_latest(const struct allowance_record *days)
{
    for (size_t i = 1; i < days->count; i++) {
        if (days->days[i].day > days->days[0].day)
            return false;
    }
    return true;
}

/*
 * What a day begins with that nothing is known of. A later one with nothing; unless the clock was
 * behind, and jumps to where it should have been: then with what was called meanwhile. An earlier
 * one is a clock that was ahead by so much that today's calls were counted in the day before it.
 */
static int64_t calls_of_new(const struct allowance *allowance, int64_t day)
{
    const struct allowance_record *days = &allowance->days;
    if (days->count == 0)
        return 0;
    if (day < days->days[0].day)
        return days->days[0].calls;
    return day > days->days[0].day + 1 && !is_latest(days) ? allowance->stay : 0;
}

/* A day that is known has its calls, and all that were made since, in whichever day that was: the
 * clock was wrong then, or is now. The day that was not counted in for longest is forgotten. */
static void turn_to(struct allowance *allowance, int64_t day)
{
    struct allowance_record *days = &allowance->days;
    if (days->count > 0 && days->days[0].day == day)
        return;
    size_t at = find(days, day);
    struct allowance_day today = {day, 0};
    if (at < days->count)
        today = days->days[at];
    else
        today.calls = calls_of_new(allowance, day);
    if (at == days->count && at == ALLOWANCE_DAYS)
        at--;
    else if (at == days->count)
        days->count++;
    memmove(days->days + 1, days->days, at * sizeof days->days[0]);
    days->days[0] = today;
    allowance->stay = 0;
    allowance->reserved = today.calls;
}

/* Of the day that is counted in. */
static int64_t used(const struct allowance *allowance)
{
    return allowance->days.count > 0 ? allowance->days.days[0].calls : 0;
}

int64_t allowance_used(const struct allowance *allowance, int64_t day)
{
    struct allowance then = *allowance;
    turn_to(&then, day);
    return used(&then);
}

void allowance_load(struct allowance *allowance, const struct allowance_record *record)
{
    allowance->days = *record;
    allowance->reserved = used(allowance);
}

bool allowance_is_used_up(struct allowance *allowance, int64_t day)
{
    turn_to(allowance, day);
    return allowance->cap > 0 && used(allowance) >= allowance->cap;
}

/* So many more, in every day that may be this one. */
static void count(struct allowance_record *days, int64_t calls)
{
    for (size_t i = 0; i < days->count; i++)
        days->days[i].calls += calls;
}

/* Half a block ahead, so that calls rarely wait for the disk. */
enum allowance_verdict allowance_take(struct allowance *allowance, int64_t day)
{
    if (allowance_is_used_up(allowance, day))
        return ALLOWANCE_USED_UP;
    int64_t left = allowance->reserved - used(allowance);
    allowance->is_short = allowance->cap > 0 && allowance->reserved < allowance->cap &&
                          left <= block_of(allowance) / 2;
    if (allowance->cap > 0 && left <= 0)
        return ALLOWANCE_WAIT;
    count(&allowance->days, 1);
    allowance->stay++;
    return ALLOWANCE_GRANTED;
}

bool allowance_wants(struct allowance *allowance, struct allowance_record *out)
{
    int64_t left = allowance->reserved - used(allowance);
    /* What was short while a block was on its way need not be any more. */
    if (!allowance->is_short || allowance->wanted > 0 || left > block_of(allowance) / 2 ||
        used(allowance) >= allowance->cap)
        return false;
    int64_t wanted = (left > 0 ? allowance->reserved : used(allowance)) + block_of(allowance);
    allowance->wanted = wanted < allowance->cap ? wanted : allowance->cap;
    allowance->is_short = false;
    *out = allowance->days;
    count(out, allowance->wanted - used(allowance));
    return true;
}

void allowance_reserved(struct allowance *allowance, const struct allowance_record *record,
                        bool is_written)
{
    allowance->wanted = 0;
    const struct allowance_day *today = &record->days[0];
    /* That of a day that is over says nothing of this one. */
    if (is_written && today->day == allowance->days.days[0].day &&
        today->calls > allowance->reserved)
        allowance->reserved = today->calls;
}

bool allowance_final(const struct allowance *allowance, struct allowance_record *out)
{
    *out = allowance->days;
    return allowance->reserved > 0;
}
