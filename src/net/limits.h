/* limits.h: what the log says of limits that are reached: one line each in ten seconds, with how
 * often, however often that is. */
#ifndef NET_LIMITS_H
#define NET_LIMITS_H

#include <uv.h>

#include <herd/node.h>

#include "base/log.h"

enum limit {
    LIMIT_CONNECTIONS,
    LIMIT_FILES,
    LIMIT_MEMORY,
    LIMIT_SOCKET,
    LIMIT_ACCEPT,
    LIMIT_UNREAD,
    LIMIT_BEHIND,
    LIMIT_QUESTIONS,
    LIMIT_HELD,
    LIMIT_WAITING,
    LIMIT_CLIENT_CALLS,
    LIMIT_CONTROL,
    LIMIT_STALLED,
    LIMIT_CUT_OFF,
    LIMIT_TURN_ACCEPTS,
    LIMIT_TURN_READS,
    LIMIT_TURN_BYTES,
    LIMIT_OUTPUT,
    LIMIT_HELD_BACK,
    LIMIT_PIPELINE,
    LIMIT_DISK,
    LIMIT_TURN_CLIENT,
    LIMIT_TURN_CLIENTS,
    LIMIT_TURN_LINK,
    LIMIT_WAITS,
    LIMIT_WAITS_SHARE,
    LIMIT_SAFETY,
    LIMIT_ORIGINS,
    LIMIT_LEAF,
    LIMIT_NOTICES,
    LIMIT_COUNT
};

enum { LIMITS_AGAIN_MS = 10000, LIMITS_REASON_BYTES = 64 };

/* Of rooms that this one does not know; src/server sees to it that they are what holds there. */
enum { LIMITS_CONTROL = 16, LIMITS_QUESTIONS = 100000, LIMITS_HELD = 65536 };

struct limits {
    uv_timer_t timer; /* tells what has come since the last line; its `data` is the owner's */
    struct log *log;
    uint64_t again_ms; /* LIMITS_AGAIN_MS, but in tests */
    struct {
        uint64_t counted; /* LIMIT_OUTPUT and later: what the node had counted when last asked */
        int64_t untold;
        uint64_t told_ms; /* uv_now */
        int error;        /* errno of the last time, where there is one; else 0 */
        bool told;        /* ever */
    } of[LIMIT_COUNT];
    uint64_t reached; /* as the node's limits_reached */
};

/* `timer.data` is then the owner's. The log is borrowed. */
void limits_init(struct limits *limits, uv_loop_t *loop, struct log *log);
/* What a line says why, in words, with the number that is the limit where it has no key. */
void limits_reason(enum limit which, char out[LIMITS_REASON_BYTES]);
/* It was reached once more: told at once, or when ten seconds have passed since the last time. */
void limits_count(struct limits *limits, enum limit which, int64_t times);
/* The same for once, and for an error: the errno, the last one of which is told. */
void limits_fail(struct limits *limits, enum limit which, int error);
/* The node's, where its limits_reached is not `reached`. */
void limits_look_at(struct limits *limits, const struct herd_node_stats *stats);
/* Tells what is left. The timer is the caller's to close. */
void limits_end(struct limits *limits);

#endif
