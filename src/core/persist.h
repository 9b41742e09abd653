/* persist.h: the way of records to disk, and of what neighbours hold; and the answers that wait for
 * one of them. */
#ifndef CORE_PERSIST_H
#define CORE_PERSIST_H

#include "core/waiting.h"

enum {
    PERSIST_AGAIN_MS = 1000, /* after a failure */
    REFUSALS_PER_TURN = 1024,
    SAFETY_STOP_MS = 3000,      /* what answers have when the node stops: refusals are to go out */
    BATCH_STEP_RECORDS = 16384, /* copied in one turn: 2 ms or so */
    BATCH_RECORDS_MAX = 262144,
    BATCH_JOURNAL_SHARE = 8, /* of the journal that is behind, for each part of a snapshot */
    BATCH_BYTES_MAX = 32 * 1024 * 1024,
    BATCH_KEPT_BYTES = 4 * 1024 * 1024, /* what is kept of that for smaller ones */
    BATCH_USUAL_BYTES = 128             /* of a record, if it is to be guessed */
};

/*
 * Two cursors in the store's list: what is behind `journal` has still to be written; what is behind
 * `snapshot` is still to be copied into the new generation. One batch at a time; it stays as it is
 * until it has been written.
 */
struct persist {
    herd_cursor journal, snapshot;
    struct herd_batch batch;
    bool has_batch; /* on its way, or to be written again */
    bool in_flight;
    bool cutting;        /* a journal batch is being made, in steps */
    bool batch_is_clean; /* the last journal batch reaches to the end of the list */
    unsigned batch_records;
    uint64_t cut_turn; /* of the last step */
    size_t cut_rest;   /* what was still to be copied then */
    uint64_t cut_from; /* all up to this sequence was in batches before */
    bool failing;
    bool marks_changed; /* since a batch had them last: it has all of them, or none */
    bool snapshot_wanted, snapshotting;
    unsigned journal_batches; /* since the last part of a snapshot */
    uint64_t snapshot_upto;   /* what is copied: the rest is in the generation's journal */
    uint64_t on_disk;         /* all records up to this sequence, or newer ones of their clients */
    uint64_t at_neighbour;    /* likewise, held by some neighbour */
    int64_t handed_ns;        /* the last batch was handed out */
    int64_t journal_ns;       /* the journal's last one was; INT64_MIN: none */
    int64_t again_ns;         /* not before, after a failure */
    int64_t refuse_by_ns;     /* all that wait; INT64_MAX: the node does not stop */
    struct herd_ask *first, **end; /* answers that wait, by sequence */
    struct herd_ask *in_vain;      /* those that are to be refused, in no order */
    int64_t ended_ns;              /* persist_on_ended: of answers that wait for what was received
                                      up to then */
    uint64_t ended_upto;           /* those up to this sequence are to be refused; 0: none */
    struct waiting waiting;
};

int persist_init(struct herd_node *node);
void persist_close(struct herd_node *node);

/* The answer to an IAMAT, which waits as `durability` says; `line` is what comes back if that takes
 * too long; kept: the record is what is held now. 0 or HERD_ENOMEM. */
int persist_answer(struct herd_conn *conn, struct herd_now now, const struct herd_record *record,
                   struct herd_slice line, bool kept);
/* Refuses the answers that have waited too long, up to a budget. */
void persist_tick(struct herd_node *node, struct herd_now now);
/* The node stops: what cannot become safe any more is refused now. */
void persist_stop(struct herd_node *node, struct herd_now now);
/* The ask's connection is gone. */
void persist_forget(struct herd_ask *ask);
/* Some neighbour holds all up to a sequence. */
void persist_on_held(struct herd_node *node, struct herd_now now, uint64_t sequence);
/* A neighbour whose ACK is next has refused, as having ended, records that were received up to then;
 * and so they have here: the answers that wait for them are refused when their turn comes. */
void persist_on_ended(struct herd_node *node, int64_t received_ns);
/* What the ask waits for will not become safe: it is refused in the next ticks. */
void persist_give_up(struct herd_ask *ask);
/* All records up to this sequence are where the durability wants them. */
uint64_t persist_safe_sequence(const struct herd_node *node);
/* Whether answers wait for a neighbour's ACK. */
bool persist_wants_ack(const struct herd_node *node);

/* batch.c */

void batch_init(struct herd_node *node);
bool persist_effect(struct herd_node *node, struct herd_now now, struct herd_effect *out);
/* When the next batch, or the next step of one, is due. */
int64_t batch_wakeup(const struct herd_node *node);
/* What a large batch has left is not kept for small ones: how many bytes were freed. */
size_t batch_give_back(struct herd_node *node);

int64_t persist_wakeup(const struct herd_node *node);

#endif
