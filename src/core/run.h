/*
 * run.h: lines that several links send. Links stand at the same place of the list most of the time,
 * so that each would make the same FLOOD lines of the same records; they are made once, and each
 * link copies as many of them as it may send, in one piece.
 */
#ifndef CORE_RUN_H
#define CORE_RUN_H

#include <herd/buf.h>

struct herd_node;
struct link;

enum {
    RUN_STEP = 64,  /* lines made at once, and only when they are reached */
    RUN_ALONE = 16, /* lines that a link makes itself before it looks for a run again */
    /* What a link may have on its way: none sends more in one go. */
    RUN_BYTES_MAX = 256 * 1024,
    RUN_LINES_MAX = 2048
};

struct run_line {
    uint64_t sequence;
    int64_t received_ns; /* as link_received_ns */
    uint32_t end;        /* in `text` */
    uint32_t record, source;
};

/* The lines of records that stand one behind the other in the list, in that order. All 0: none. It
 * says nothing once the store has changed, and points at nothing in there. */
struct run {
    struct herd_buf text;
    struct run_line *lines;
    unsigned count, cap;
    uint64_t changes; /* as store_changes */
};

/* Where a part ends at the latest: before a line that has `bytes` of the part in front of it, behind
 * so many lines (> 0). */
struct run_limits {
    unsigned lines;
    size_t bytes;
};

struct run_part {
    struct herd_slice text; /* valid until the next run_reach */
    unsigned lines;
    size_t record_bytes; /* without what stands before and behind each record */
    int64_t oldest_ns;   /* the least of their received_ns; INT64_MAX: none */
    uint32_t last;       /* record */
    size_t to_come;      /* bytes of the run behind it */
};

/*
 * Whether there is a line of the record that the link's cursor reads next, in the node's run: its
 * number, from 0. It is made if another link needs it too; short of memory, it is not.
 */
bool run_reach(const struct link *link, unsigned *out);
/* The lines from `at` on, as far as the limits go, and to before one that the link does not send,
 * because it came from there or is held back (`lines` may be 0). */
void run_cut(const struct link *link, unsigned at, const struct run_limits *limits,
             struct run_part *out);
void run_close(struct run *run);

#endif
