/* ledger.h: what the batches of a node have left on a disk that a test plays: rows by generation,
 * and the neighbours' marks. */
#ifndef TEST_LEDGER_H
#define TEST_LEDGER_H

#include <herd/node.h>

enum {
    LEDGER_LIVES_MAX = 256,
    LEDGER_RESERVE = 1000000 /* sequences that a life may use before the next batch is written */
};

struct ledger_row {
    uint64_t sequence;
    char *text; /* canonical */
    unsigned generation;
    bool is_snapshot;
};

struct ledger_mark {
    char name[HERD_NAME_MAX + 1];
    struct herd_mark mark;
};

/* All zero: an empty disk. */
struct ledger {
    struct ledger_row *rows;
    size_t row_count, row_cap;
    struct ledger_mark *marks; /* of the last batch that had any, one a name */
    size_t mark_count, mark_cap;
    struct herd_life lives[LEDGER_LIVES_MAX]; /* of the epoch, the oldest first */
    size_t life_count;
    uint64_t epoch, upto;
    uint64_t sequence_free;    /* above all that any life of this disk has used */
    unsigned generation;       /* rows are written to */
    unsigned generation_whole; /* older ones are gone */
    unsigned writes;           /* batches */
};

/* Writes a batch. NULL, or what about it breaks the contract of <herd/node.h>. */
const char *ledger_write(struct ledger *ledger, const struct herd_batch *batch);

/* Gives all that is there to a node whose neighbours have been added. Sorts the rows by sequence.
 * NULL, or what is wrong. */
const char *ledger_restore(struct ledger *ledger, struct herd_node *node, struct herd_now now);

/* `to`, whose own rows are freed, becomes a copy. */
void ledger_copy(struct ledger *to, const struct ledger *from);
void ledger_clear(struct ledger *ledger);

/* Takes the first line off a batch's text. False when there is none; *line without its LF, NULL if
 * the text ends within one. */
bool ledger_next_line(struct herd_slice *text, struct herd_slice *line);

#endif
