/* gather.h: what neighbours say to a server that its clients keep busy is read in the turns that
 * these bring about, and wakes it no more. */
#ifndef NET_GATHER_H
#define NET_GATHER_H

#include <stdbool.h>

#include <uv.h>

struct net;
struct stream;

enum {
    GATHER_MAX = 64,           /* connections; those of further neighbours wake it as ever */
    GATHER_BYTES = 16 * 1024,  /* of one neighbour, that wake it all the same */
    GATHER_EVERY_NS = 200000,  /* at least, between two turns that read what is less */
    GATHER_PERIOD_MS = 2,      /* it is busy or not for so long at least */
    GATHER_TURNS = 8,          /* in a period, of clients that woke it: busy; less than half: not */
    GATHER_SLACK_NS = 4000000, /* that the timer may be late */
};

struct gather {
    struct stream *streams[GATHER_MAX];
    unsigned count;
    unsigned turns_least; /* GATHER_TURNS, but in tests */
    unsigned turns;       /* of clients that woke it, in this period */
    int64_t began_ns;     /* this period, on the monotonic clock */
    int64_t read_ns;      /* the last time that what is less was read */
    bool is_busy;
    uv_timer_t timer; /* while it is */
};

void gather_init(struct net *net, uv_loop_t *loop);
/* A session is a neighbour's from now on; it begins to close, or has closed. */
void gather_join(struct net *net, struct stream *session);
void gather_leave(struct net *net, const struct stream *session);
/* Once a turn, before its effects are carried out. Whether clients were read from in it, and the
 * loop had slept before. */
void gather_turn(struct net *net, int64_t now_ns, bool was_woken);

#endif
