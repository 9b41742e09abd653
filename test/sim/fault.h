/* fault.h: what befalls a herd: each kind is a row of a table, and is counted when it happens. */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

#include <stdint.h>

struct server;
struct world;

#define FAULT_TABLE(X)                                                                             \
    X(FAULT_CRASH, "crash",                                                                        \
      "a server dies, its kernel closes its connections; starts empty later")                      \
    X(FAULT_DARK, "dark", "a server dies in silence: its connections stay half-open")              \
    X(FAULT_STOP, "stop", "a server stops as asked, and starts empty later")                       \
    X(FAULT_STALL, "stall", "a server does nothing for a while")                                   \
    X(FAULT_CUT, "cut", "two servers cannot reach each other")                                     \
    X(FAULT_CUT_ONE_WAY, "cut-one-way", "a server cannot reach another, which can reach it")       \
    X(FAULT_ISLAND, "island", "some servers are cut off from the others")                          \
    X(FAULT_BREAK, "break", "a connection between servers dies, both ends learn of it")            \
    X(FAULT_HALF_BREAK, "half-break", "a connection between servers dies, one end learns of it")   \
    X(FAULT_HOLE, "hole", "a connection between servers swallows all, no end learns of it")        \
    X(FAULT_EDGE, "edge", "an edge leaves the configuration of both its servers, and comes back")  \
    X(FAULT_CLOCK, "clock", "a server's wall clock is set, forward or back")                       \
    X(FAULT_YEAR, "year",                                                                          \
      "a server's wall clock is set up to a year forward or back; where records "                  \
      "end, for a while, up to twice their time to live")                                          \
    X(FAULT_SLOW, "slow", "the network is ten times as slow for a while")                          \
    X(FAULT_REPLAY, "replay", "a stranger sends a FLOOD of some time ago again")                   \
    X(FAULT_STARVE, "starve", "an allocation of a server's node fails")                            \
    X(FAULT_TORN, "torn", "a server dies while its disk writes")                                   \
    X(FAULT_DISK_LOSS, "disk-loss", "a server dies, and so does its disk")                         \
    X(FAULT_OLD_DISK, "old-disk", "a server dies, and comes back with a backup of its disk")       \
    X(FAULT_OLD_COPY, "old-copy",                                                                  \
      "the same backup of a disk takes its place again, unseen by some")                           \
    X(FAULT_COPY_RESTART, "copy-restart",                                                          \
      "the same backup takes its place again, and then a restart, unseen by some")                 \
    X(FAULT_DISK_EXCHANGE, "disk-exchange",                                                        \
      "a backup of a disk takes its place, and then what was there before")                        \
    X(FAULT_DISK_FULL, "disk-full", "a disk takes nothing for a while")                            \
    X(FAULT_DISK_SLOW, "disk-slow", "a disk takes up to 3 s a batch for a while")                  \
    X(FAULT_RESEND, "resend", "a plain server sends FLOODs of what it holds again")                \
    X(FAULT_JOIN, "join", "what a connection is told for some ms arrives in one read")             \
    X(FAULT_SPLIT, "split", "what a connection is told at once arrives in many reads")

enum fault_kind {
#define FAULT_ENUM(id, name, text) id,
    FAULT_TABLE(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_KINDS
};

#define FAULT_ALL ((1u << FAULT_KINDS) - 1)
/* The network's weather: nothing is lost or broken by it, and a server has to work as well as ever.
 * It has dice of its own, and goes on until weather_end. */
#define FAULT_WEATHER (1u << FAULT_JOIN | 1u << FAULT_SPLIT)

const char *fault_name(enum fault_kind kind);
const char *fault_text(enum fault_kind kind);
/* The kind with that name, or FAULT_KINDS. */
enum fault_kind fault_of(const char *name);

/* The host that sends FLOODs again. */
void fault_make_stranger(struct world *world, uint32_t index);

/* A server of ours dies at once, and is started again some time later. */
void fault_crash_server(struct world *world, uint32_t i);

/* A clock that is far from right is right again. */
void fault_set_clock_right(struct server *server);

/* Begins: from now on one fault follows another, until world->faulty is false. */
void fault_begin(struct world *world);

/* weather.c: joined and split reads, of some connections for some time each, until it ends. Then
 * they are counted as faults. */
void weather_begin(struct world *world);
void weather_end(struct world *world);

#endif
