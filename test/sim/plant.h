/*
 * plant.h: bugs that are planted to see that the checks find them. Most tamper with what goes in
 * and out of a server, as a broken driver would; the mutants (mutant.c) replace functions of
 * libherd when the program is linked.
 */
#ifndef SIM_PLANT_H
#define SIM_PLANT_H

#include <herd/buf.h>

#include "sim.h"

struct plug;

/* Name, the check that finds it, what it does. */
#define PLANT_TABLE(X)                                                                             \
    X(PLANT_NONE, "none", SIM_CHECKS, "nothing")                                                   \
    X(PLANT_LOSE_FLOOD, "lose-flood", SIM_EQUAL, "a FLOOD is lost on its way, not its MARK")       \
    X(PLANT_SPOIL_TIME, "spoil-time", SIM_SAME, "a digit of a FLOOD's time changes on its way")    \
    X(PLANT_HIGH_RESUME, "high-resume", SIM_EQUAL, "RESUME claims what a crash has destroyed")     \
    X(PLANT_FORGET_CLOSE, "forget-close", SIM_LIVE, "a server's connections are never closed")     \
    X(PLANT_NO_TICK, "no-tick", SIM_LIVE, "a server's timers never fire")                          \
    X(PLANT_EARLY_WROTE, "early-wrote", SIM_WINDOW, "bytes count as taken when they are written")  \
    X(PLANT_AMNESIA, "amnesia", SIM_ORDER, "a server forgets all, and nobody has crashed it")      \
    X(PLANT_ALL_AMNESIA, "all-amnesia", SIM_LOST, "all servers forget what they have promised")    \
    X(PLANT_TWICE, "answer-twice", SIM_ANSWER, "an answer comes again, in place of the next")      \
    X(PLANT_SWAP, "answer-swap", SIM_ANSWER, "two answers change places")                          \
    X(PLANT_OTHER_PLACES, "other-places", SIM_ANSWER, "an answer has another one's places")        \
    X(PLANT_OTHER_AT, "other-at", SIM_SAME, "one server says another time_diff in its AT lines")   \
    X(PLANT_NO_READ, "no-limit", SIM_GROWTH, "a client that reads nothing never holds up its own") \
    X(PLANT_DISK_LIES, "disk-lies", SIM_DURABLE, "half of the batches are not written, and count") \
    X(PLANT_TORN, "torn-batch", SIM_EQUAL, "half a batch is found after a crash")                  \
    X(PLANT_NO_RECOVERED, "no-recovered", SIM_EQUAL, "RESUME does not say `recovered`")            \
    X(PLANT_HIGH_MARK, "high-mark", SIM_EQUAL, "MARK comes before what it says")                   \
    X(PLANT_EARLY_ACK, "early-ack", SIM_SPREAD, "ACK comes when the MARK has left")                \
    X(PLANT_LAZY_DISK, "lazy-disk", SIM_DURABLE, "a batch takes 20 s, and nobody excuses it")      \
    X(PLANT_EARLY_ACKS, "mutant-early-ack", SIM_DURABLE, "ACK does not wait for the disk")         \
    X(PLANT_NO_AFTER, "mutant-no-after", SIM_STALE, "AFTER is not heeded")                         \
    X(PLANT_OLD_AFTER, "mutant-old-after", SIM_STALE, "what comes first ends the wait")            \
    X(PLANT_STALE_DIGEST, "mutant-stale-digest", SIM_EQUAL, "the digest keeps what has ended")     \
    X(PLANT_IGNORE_SHORTAGE, "mutant-ignore-shortage", SIM_LOST, "no memory: nobody is told")      \
    X(PLANT_LEAK, "mutant-leak", SIM_GROWTH, "now and then, a buffer is not freed")                \
    X(PLANT_NO_WAIT, "mutant-no-wait", SIM_DURABLE, "AT does not wait for the disk, or others")    \
    X(PLANT_CUT_IS_SAFE, "mutant-cut-is-safe", SIM_DURABLE, "a batch that was cut short counts")   \
    X(PLANT_SHORT_SNAPSHOT, "mutant-short-snapshot", SIM_LOST, "a snapshot ends too early")        \
    X(PLANT_NO_FOLLOW, "mutant-no-follow", SIM_DURABLE, "it counts for what was replaced, too")    \
    X(PLANT_NO_PACE, "mutant-no-pace", SIM_DURABLE, "IAMAT are taken though the disk is behind")   \
    X(PLANT_NO_GO, "mutant-no-go", SIM_PROMPT, "IAMAT wait though the disk is behind no more")     \
    X(PLANT_CUT_MARKS, "mutant-cut-marks", SIM_EQUAL, "it bears out marks of neighbours")          \
    X(PLANT_CLEAN_MARK, "mutant-clean-mark", SIM_SPREAD, "a MARK is clean, whatever is behind")    \
    X(PLANT_LAST_WINS, "mutant-last-wins", SIM_ORDER, "the record that comes last is the newest")  \
    X(PLANT_NO_TIES, "mutant-no-ties", SIM_ORDER, "records of one time are not ordered")           \
    X(PLANT_NO_CATCH_UP, "mutant-no-catch-up", SIM_EQUAL, "who comes back gets only what is new")  \
    X(PLANT_ONE_SOURCE, "mutant-one-source", SIM_EQUAL, "what was heard from one goes to none")    \
    X(PLANT_NO_SOURCE, "mutant-no-source", SIM_COUNT, "what was heard is said back, too")          \
    X(PLANT_ECHO, "mutant-echo", SIM_QUIET, "now and then, a link begins anew without a reason")   \
    X(PLANT_STALE_RUN, "mutant-stale-run", SIM_EQUAL,                                              \
      "lines are shared whatever their records do")                                                \
    X(PLANT_NO_LIFE, "mutant-no-life", SIM_EQUAL, "a mark of another life counts as it is")        \
    X(PLANT_NO_ANCESTRY, "mutant-no-ancestry", SIM_EQUAL, "a mark of any former life is believed") \
    X(PLANT_LATE, "mutant-late", SIM_EQUAL, "what a former life said late does not go back")       \
    X(PLANT_NO_ENDED, "mutant-no-ended", SIM_SPREAD, "an ACK of what was refused counts")          \
    X(PLANT_NO_DOUBT, "mutant-no-doubt", SIM_SPREAD, "and a mark of it does in the next life")     \
    X(PLANT_ENDED_SAFE, "mutant-ended-safe", SIM_SPREAD, "what has ended keeps nobody waiting")    \
    X(PLANT_FULL_MARK, "mutant-full-mark", SIM_MARK, "MARK claims what is held back, too")         \
    X(PLANT_NO_HAVE, "mutant-no-have", SIM_QUIET, "HAVE is passed over")                           \
    X(PLANT_LATE_ACK, "mutant-late-ack", SIM_PROMPT, "an ACK waits for lines that never come")     \
    X(PLANT_NO_TRIAL, "mutant-no-trial", SIM_CHECKS, "a tree stays as it is, fast or not")         \
    X(PLANT_NOT_LET_GO, "mutant-not-let-go", SIM_ORDER, "what has ended there is kept for older")  \
    X(PLANT_NO_GRAFT, "mutant-no-graft", SIM_CHECKS, "a way that is lost is not replaced")

enum plant_kind {
#define PLANT_ENUM(id, name, check, text) id,
    PLANT_TABLE(PLANT_ENUM)
#undef PLANT_ENUM
        PLANT_KINDS
};

struct plant {
    enum plant_kind kind;
    struct rng rng;
    struct herd_buf bytes;
    unsigned last_count; /* places asked for last */
};

const char *plant_name(enum plant_kind kind);
const char *plant_text(enum plant_kind kind);
enum sim_check plant_check(enum plant_kind kind);
/* The kind with that name, or PLANT_KINDS. */
enum plant_kind plant_of(const char *name);

void plant_init(struct plant *plant, enum plant_kind kind, uint64_t seed);
void plant_close(struct plant *plant);

/* Whether this bug is planted, and in this server: it is always the first that has the choice. */
bool plant_is(const struct plant *plant, enum plant_kind kind, uint32_t server);

/* Whether bytes of this connection count as taken when they are written. */
bool plant_wrote_early(const struct plant *plant, const struct plug *plug);

/* What a server gets in place of `bytes`; valid until the next call. */
struct herd_slice plant_input(struct plant *plant, struct plug *plug, struct herd_slice bytes);
/* Changes what a server writes. */
void plant_output(struct plant *plant, struct plug *plug, struct herd_buf *output);
/* Puts blanks in the place of the lines that begin with a word. */
void plant_lose_lines(struct herd_buf *output, const char *word);
/* What leaves before what a server writes; valid until the next call. */
struct herd_slice plant_before_output(struct plant *plant, struct plug *plug,
                                      struct herd_slice output);
/* What a server wrote has left: an ACK may be there already. */
void plant_after_output(struct plant *plant, struct plug *plug);
unsigned plant_places_count(struct plant *plant, unsigned count);

#endif
