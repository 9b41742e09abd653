#include "places/allowance.h"

/* A cap of 1,000 is reserved 62 at a time: a write to disk every 62 calls. */
static int64_t block_of(const struct allowance *allowance)
{
    int64_t block = allowance->cap / ALLOWANCE_BLOCKS;
    if (block > ALLOWANCE_BLOCK_MAX)
        return ALLOWANCE_BLOCK_MAX;
    return block > 0 ? block : 1;
}

/*
 * A later day begins with what was counted in it before, mostly nothing. An earlier one is a clock
 * that was set back: when calls of that day are known, it has these and those that were made
 * meanwhile. Otherwise today's calls go on counting in the day they were counted in, unless that is
 * so far ahead that the clock must have been wrong before; then they are today's. All of them are to
 * be reserved anew.
 */
static void turn_to(struct allowance *allowance, int64_t day)
{
    const struct allowance_record now = {allowance->day, allowance->used}, other = allowance->other;
    bool is_known = other.day == day && other.calls > 0;
    if (day == now.day || (day == now.day - 1 && !is_known))
        return;
    if (day > now.day)
        allowance->used = 0;
    if (is_known)
        allowance->used += other.calls;
    allowance->other = now;
    allowance->day = day;
    allowance->reserved = allowance->used;
}

int64_t allowance_used(const struct allowance *allowance, int64_t day)
{
    struct allowance then = *allowance;
    turn_to(&then, day);
    return then.used;
}

void allowance_load(struct allowance *allowance, struct allowance_record record)
{
    allowance->day = record.day;
    allowance->used = allowance->reserved = record.calls;
}

bool allowance_is_used_up(struct allowance *allowance, int64_t day)
{
    turn_to(allowance, day);
    return allowance->cap > 0 && allowance->used >= allowance->cap;
}

/* Half a block ahead, so that calls rarely wait for the disk. */
enum allowance_verdict allowance_take(struct allowance *allowance, int64_t day)
{
    if (allowance_is_used_up(allowance, day))
        return ALLOWANCE_USED_UP;
    int64_t left = allowance->reserved - allowance->used;
    allowance->is_short = allowance->cap > 0 && allowance->reserved < allowance->cap &&
                          left <= block_of(allowance) / 2;
    if (allowance->cap > 0 && left <= 0)
        return ALLOWANCE_WAIT;
    allowance->used++;
    return ALLOWANCE_GRANTED;
}

bool allowance_wants(struct allowance *allowance, struct allowance_record *out)
{
    /* What was short while a block was on its way need not be any more. */
    bool has_enough = allowance->reserved - allowance->used > block_of(allowance) / 2;
    if (!allowance->is_short || allowance->wanted > 0 || has_enough)
        return false;
    bool is_ahead = allowance->reserved > allowance->used;
    int64_t wanted = (is_ahead ? allowance->reserved : allowance->used) + block_of(allowance);
    allowance->wanted = wanted < allowance->cap ? wanted : allowance->cap;
    allowance->is_short = false;
    *out = (struct allowance_record){allowance->day, allowance->wanted};
    return true;
}

void allowance_reserved(struct allowance *allowance, struct allowance_record record,
                        bool is_written)
{
    allowance->wanted = 0;
    /* That of a day that is over says nothing of this one. */
    if (is_written && record.day == allowance->day && record.calls > allowance->reserved)
        allowance->reserved = record.calls;
}

bool allowance_final(const struct allowance *allowance, struct allowance_record *out)
{
    *out = (struct allowance_record){allowance->day, allowance->used};
    return allowance->reserved > 0;
}
