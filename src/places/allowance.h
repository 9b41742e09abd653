/*
 * allowance.h: the calls of a day, which are never exceeded, not even by a server that is killed
 * and started again: calls are reserved on disk in blocks before they are made. A server that was
 * killed finds its whole reservation used: what it loses is at most a block and a half. Pure: the
 * day comes in, and what is to be written goes out.
 */
#ifndef PLACES_ALLOWANCE_H
#define PLACES_ALLOWANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ALLOWANCE_BLOCK_MAX = 64, ALLOWANCE_BLOCKS = 16, ALLOWANCE_DAYS = 8 };

/* Days count from 1970-01-01, in UTC. */
struct allowance_day {
    int64_t day;
    int64_t calls; /* made since it was first counted in, whatever the clock said meanwhile */
};

/*
 * What is on disk: the day that is counted in, then those before it, the one that was left last
 * first. A clock that is set to one of them, there or back, finds that day with all calls that may
 * have been made in it.
 */
struct allowance_record {
    size_t count;
    struct allowance_day days[ALLOWANCE_DAYS];
};

/* All zero has no cap and nothing used. */
struct allowance {
    int64_t cap; /* calls a day; 0: no cap, nothing is reserved */
    struct allowance_record days;
    int64_t stay; /* calls since the day changed last */
    int64_t reserved;
    int64_t wanted; /* reservation under way, maybe of another day; 0: none */
    bool is_short;  /* the next one is due: so nothing is reserved that nobody asked for */
};

enum allowance_verdict {
    ALLOWANCE_GRANTED, /* the call is counted */
    ALLOWANCE_WAIT,    /* for a reservation */
    ALLOWANCE_USED_UP
};

/* Calls made on that day. */
int64_t allowance_used(const struct allowance *allowance, int64_t day);

/* What an earlier life left behind: all of it counts as used. */
void allowance_load(struct allowance *allowance, const struct allowance_record *record);

enum allowance_verdict allowance_take(struct allowance *allowance, int64_t day);

/* What allowance_take would say, without taking anything. */
bool allowance_is_used_up(struct allowance *allowance, int64_t day);

/* True when there is something to write, which is then under way: call allowance_reserved with it
 * once it is on disk. */
bool allowance_wants(struct allowance *allowance, struct allowance_record *out);

/* `record` is on disk; a failure (`is_written` false) lets the next call ask again. */
void allowance_reserved(struct allowance *allowance, const struct allowance_record *record,
                        bool is_written);

/* What to write at an orderly end: just what was used. False: nothing was reserved. */
bool allowance_final(const struct allowance *allowance, struct allowance_record *out);

#endif
