/* prune.h: one tree an origin: its records go over the edges of that tree, and the other links say
 * what they hold back. */
#ifndef CORE_PRUNE_H
#define CORE_PRUNE_H

#include <herd/node.h>
#include <herd/proto.h>

struct herd_node;
struct link;
struct neighbour;

enum {
    PRUNE_ORIGINS_MAX = 1024, /* servers of a herd.conf; records of others go over all links */
    PRUNE_UNHEARD_MAX = 512,  /* above so many, PRUNE enters none whose records never came */
    PRUNE_LOOK_MAX = 64,      /* looked at for one that gives way, for each that is new */
    PRUNE_IDLE_MS = 600000,   /* an origin that said nothing for so long gives way, pruned or not */
    PRUNE_YOUNG_MS = 2000,    /* what comes over a connection that is no older proves nothing */
    TRIAL_NEWS_MIN = 48,      /* news of an origin until one of its pruned links is tried again */
    TRIAL_NEWS_MAX = 95,
    TRIAL_EVERY_MS = 120000,  /* the least from one trial of an origin to the next */
    TRIAL_RACES_MAX = 4,      /* saved up for changes of the way to an origin; one more a trial */
    HAVE_MS = 200,            /* from when a record is held back until HAVE names it */
    HAVE_AGAIN_MIN_MS = 1000, /* HAVE that was not answered with HELD; doubling */
    HAVE_AGAIN_MAX_MS = 16000
};

#define PRUNE_NOTHING UINT32_MAX /* no origin */

/* Origins, by their number at this server. */
struct origin_set {
    uint64_t words[PRUNE_ORIGINS_MAX / 64];
};

struct origin {
    char name[HERD_NAME_MAX + 1];
    uint8_t len;
    bool is_recent; /* its records came since it was last looked at for giving way */
    bool races_all; /* `raced` goes over all links */
    bool is_faster; /* the parent says so */
    uint8_t news_to_trial;
    uint8_t races_left;       /* so often all links may be sent what they have pruned */
    uint8_t young_races_left; /* the same, where young connections make the way another one */
    int64_t young_races_ns;   /* since when it is so many */
    uint32_t trial_turn;      /* the neighbour that was tried last */
    int64_t trial_at_ns;      /* not before */
    int64_t heard_ns;         /* its last record, news or not */
    struct neighbour *parent; /* who brought its last news here over a link that prunes, or NULL */
    uint64_t raced;           /* the record of this sequence is not held back; 0: none */
    uint64_t raced_turn;      /* of the node, in which that began */
    const struct neighbour *raced_to; /* by the link to this one; NULL: by none */
};

/* The origins that this server has heard of. */
struct prune {
    struct origin *origins;
    uint32_t count, cap;
    uint32_t hand;   /* the next that is looked at for giving way */
    uint16_t *index; /* hash of a name -> its number + 1; NULL while there is none */
};

/*
 * What a link holds back. Between `from` and `last` (sequences) are records that the neighbour has
 * not been shown to hold: a MARK stops before the first of them. The cursor follows the link's own
 * one, and passes them once more when HAVE names them, or when they are sent after all.
 */
struct held {
    herd_cursor cursor;
    struct origin_set pruned;  /* their records are held back */
    struct origin_set grafted; /* no longer; those up to `graft_to` are still to be sent */
    uint32_t pruned_count;
    uint64_t from, last; /* 0: nothing is held back */
    uint64_t told;       /* HAVE was said up to here */
    uint64_t ripe;       /* what was held back up to here is named when the time comes */
    uint64_t until;      /* where the walk under way ends */
    uint64_t flush_to;   /* all that was held back up to here is sent */
    uint64_t graft_to;
    int64_t at_ns;       /* the next HAVE; INT64_MAX: none */
    int64_t again_at_ns; /* HAVE again from the beginning, if no HELD comes; INT64_MAX: not */
    int64_t again_ms;
    bool seeking; /* the cursor is on its way back to `from` */
    bool walking; /* and forward from there to `until` */
};

static inline bool origin_set_has(const struct origin_set *set, uint32_t origin)
{
    return set->words[origin / 64] >> (origin % 64) & 1;
}

/* Whether it was not in the set before. */
static inline bool origin_set_add(struct origin_set *set, uint32_t origin)
{
    bool was = origin_set_has(set, origin);
    set->words[origin / 64] |= UINT64_C(1) << (origin % 64);
    return !was;
}

/* Whether it was in the set. */
static inline bool origin_set_remove(struct origin_set *set, uint32_t origin)
{
    bool was = origin_set_has(set, origin);
    set->words[origin / 64] &= ~(UINT64_C(1) << (origin % 64));
    return was;
}

bool origin_set_is_empty(const struct origin_set *set);

void prune_close(struct prune *prune);
/* Whether links are to be pruned. Those that are when that ends get all again, at once. */
void prune_configure(struct herd_node *node, bool wanted);
/* The number of an origin; one that is new gets the next one, if `add`. PRUNE_NOTHING when it is
 * unknown, when there are too many, or when memory is short. */
uint32_t prune_origin(struct prune *prune, struct herd_slice name, bool add);
/* The same, with `add`; where there are too many, one that nobody uses gives way: nothing of it is
 * held back, and no link is pruned for it, or it has said nothing for long. Where there is none,
 * that is counted. */
uint32_t prune_enter_origin(struct herd_node *node, struct herd_now now, struct herd_slice name);
/* The same for a word of PRUNE, which may be made up: it takes no place of one whose records come.
 */
uint32_t prune_enter_word(struct herd_node *node, struct herd_slice name);

/* Whether its connection has just begun: what comes over it may have waited for that. */
bool prune_is_young(const struct neighbour *neighbour, struct herd_now now);

/* Of a record's canonical text, as HAVE tells it. */
uint32_t have_hash(struct herd_slice text);

/* At the listener (prune.c). A FLOOD has come from a neighbour; it was news, or not. 0 or
 * HERD_ENOMEM. */
int prune_on_flood(struct neighbour *from, struct herd_now now, const struct herd_record *record,
                   bool news);
/* Appends a line `<verb> <origin> …`, or as many as that takes. 0 or HERD_ENOMEM. */
int prune_append(struct herd_buf *out, const struct prune *prune, enum herd_verb verb,
                 const struct origin_set *set);
/* The same on the link to a neighbour that prunes, if there is room (lost.c). */
void prune_tell(struct neighbour *to, enum herd_verb verb, const struct origin_set *set);
/* GRAFT of those of these origins that were pruned there. 0 or HERD_ENOMEM. */
int prune_graft(struct neighbour *to, const struct origin_set *wanted);
/* The neighbour's connection is lost or replaced: look for other ways to the origins it was the way
 * to. Before `inbound` changes. */
void prune_on_inbound_lost(struct neighbour *neighbour);
/* LOST (lost.c): the neighbour has lost its own way to these. */
void prune_on_lost(struct neighbour *from, struct herd_slice origins);
/* HAVE: named records are held, or wanted. 0, HERD_ESYNTAX or HERD_ENOMEM. */
int prune_on_have(struct neighbour *from, const struct herd_command *command);
/* The neighbour goes: nothing may point to it. */
void prune_forget_neighbour(struct herd_node *node, const struct neighbour *neighbour);

/* Trials of pruned links (trial.c). The newest record of the store is news of this origin, and came
 * from there. Before the neighbour becomes the parent. */
void trial_on_news(const struct neighbour *from, struct herd_now now, uint32_t origin);
/* FASTER: the neighbour has a faster way to these. */
void trial_on_faster(const struct neighbour *from, struct herd_slice origins);
/* Whether a record that is pruned there is sent all the same. */
bool trial_sends(const struct link *link, uint32_t origin, uint64_t sequence);

/* At the dialler (held.c). A connection begins. */
void held_reset(struct link *link);
/* Nothing is held back up to here: from now on the link's cursor may be followed. */
void held_follow(struct link *link);
/* Whether a record is held back there, which nothing has passed yet. */
bool held_would_take(const struct link *link, const struct herd_entry *entry);
/* The same of one that the link's cursor has just passed: from now on it is. */
bool held_take(struct link *link, const struct herd_entry *entry);
void held_on_prune(struct link *link, struct herd_slice origins);
void held_on_graft(struct link *link, struct herd_slice origins);
void held_on_held(struct link *link, struct herd_now now, const struct herd_command *command);
/* All that is held back is sent after all: who brought it may be lost. */
void held_flush(struct link *link);
/* Up to where a MARK may claim that the neighbour holds all, when all up to `passed` was passed
 * over. */
uint64_t held_claim(const struct link *link, uint64_t passed);
/* Says HAVE, and sends what is held back no longer, as far as the window and the turn's budget go.
 * 0 or HERD_ENOMEM. */
int held_fill(struct link *link, struct herd_now now);
/* After records were passed over. */
void held_plan(struct link *link, struct herd_now now);
bool held_is_due(const struct link *link, struct herd_now now);
int64_t held_wakeup(const struct link *link);

#endif
