/*
 * begin -> (a record comes) -> places, as any WHATSAT
 *       -> (50 ms) WANT to all neighbours -> (a record comes) -> places
 *                                         -> (the time is up) -> `? ` and the command
 *
 * The asks for one client are a pairing heap by `after_ns` (Fredman, Sedgewick, Sleator, Tarjan
 * 1986): a record looks at those that it answers, and one more. Its top is in the bucket's list, its
 * others in the list `later` of the one above them; so an ask is taken out of either alike.
 */
#include <assert.h>
#include <stddef.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/node.h"

/* When more are to be answered by a record that is held already. */
#define AT_NEXT_TICK INT64_MIN

void waits_init(struct waits *waits, uint64_t seed)
{
    struct rng rng = {seed};
    waits->seed = rng_next(&rng);
}

void waits_close(struct waits *waits)
{
    assert(waits->count == 0);
    timers_close(&waits->timers);
}

/* The client's id stands in the line that is the answer if nothing comes. */
static struct herd_slice client_of(const struct herd_ask *ask)
{
    return herd_slice(ask->answer.data + ask->client_at, ask->client_len);
}

/* What points at the top of a client's heap, or would. */
static struct herd_ask **find(struct waits *waits, struct herd_slice client)
{
    uint64_t hash = XXH3_64bits_withSeed(client.data, client.len, waits->seed);
    struct herd_ask **at = &waits->buckets[hash % WAIT_BUCKETS];
    while (*at != NULL && !herd_slice_equal(client_of(*at), client)) {
        waits->steps++;
        at = &(*at)->next_queued;
    }
    return at;
}

/* One heap of two, neither of which is in a list. */
static struct herd_ask *meld(struct herd_ask *a, struct herd_ask *b)
{
    bool ordered = a->after_ns <= b->after_ns;
    struct herd_ask *first = ordered ? a : b;
    a->node->waits.steps++;
    node_queue_ask(&first->later, ordered ? b : a);
    return first;
}

static struct herd_ask *take_first(struct herd_ask **list)
{
    struct herd_ask *ask = *list;
    node_unqueue_ask(ask);
    return ask;
}

/* One heap of a list of them, which becomes empty: in pairs, then all. */
static struct herd_ask *meld_all(struct herd_ask **list)
{
    struct herd_ask *pairs = NULL;
    while (*list != NULL) {
        struct herd_ask *ask = take_first(list);
        if (*list != NULL)
            ask = meld(ask, take_first(list));
        node_queue_ask(&pairs, ask);
    }
    struct herd_ask *all = take_first(&pairs);
    while (pairs != NULL)
        all = meld(all, take_first(&pairs));
    return all;
}

static void enter(struct herd_ask *ask)
{
    struct waits *waits = &ask->node->waits;
    struct herd_ask **at = find(waits, client_of(ask));
    if (*at != NULL)
        ask = meld(ask, take_first(at));
    node_queue_ask(at, ask);
}

/* One connection may have as many as are still free, so half of all at most, and however many are
 * greedy, one that has none yet finds a place (dynamic thresholds: Choudhury, Hahne 1998). */
static bool may_wait(const struct herd_conn *conn)
{
    struct herd_node *node = conn->node;
    size_t max = node->options.waits_max, count = node->waits.count;
    size_t left = max > count ? max - count : 0, own = conn->work->wait_count;
    if (own < left)
        return true;
    node->stats.waits_refused++;
    node->stats.waits_refused_share += left > 0;
    node->stats.limits_reached++;
    return false;
}

int wait_begin(struct herd_conn *conn, struct herd_now now, const struct herd_command *command,
               struct herd_slice line)
{
    struct herd_node *node = conn->node;
    if (!may_wait(conn))
        return HERD_ENOTFOUND;
    struct herd_ask *ask = node_new_ask(node, conn, ASK_RECORD);
    if (ask == NULL)
        return HERD_ENOMEM;
    int rc = herd_append_invalid(&ask->answer, line);
    node_count_held(ask);
    int64_t first_ms = command->wait_ms < WANT_MS ? command->wait_ms : WANT_MS;
    if (rc == 0)
        rc = timers_set(&node->waits.timers, &ask->timer, now.mono_ns + first_ms * HERD_NS_PER_MS);
    if (rc < 0) {
        ask->done = true; /* nothing to wait for: it ends with the connection */
        return rc;
    }
    ask->radius_m = command->radius_m;
    ask->count = command->count;
    ask->after_ns = command->after_ns;
    ask->deadline_ns = now.mono_ns + command->wait_ms * HERD_NS_PER_MS;
    ask->client_at = (uint16_t)(command->record.client.data - line.data + 2);
    ask->client_len = (uint16_t)command->record.client.len;
    enter(ask);
    node->stats.waits_open = ++node->waits.count;
    conn->work->wait_count++;
    node->stats.waits++;
    return 0;
}

/* Takes an ask that waits out of the books. */
static void leave(struct herd_ask *ask)
{
    struct waits *waits = &ask->node->waits;
    struct herd_ask **at = ask->queued_at;
    node_unqueue_ask(ask);
    if (ask->later != NULL) /* none of them is earlier: they may stand where it stood */
        node_queue_ask(at, meld_all(&ask->later));
    ask->node->stats.waits_open = --waits->count;
    if (ask->conn != NULL) /* else that is forgotten, too */
        ask->conn->work->wait_count--;
    timers_clear(&waits->timers, &ask->timer);
}

/* The first that the record answers goes on at the next tick, as the one that has left would
 * have. */
static void hand_on(struct herd_node *node, struct herd_slice client)
{
    struct herd_ask *first = *find(&node->waits, client);
    struct herd_record record;
    if (first != NULL && herd_store_find(node->store, client, &record) &&
        first->after_ns <= record.sent_ns)
        timers_set(&node->waits.timers, &first->timer, AT_NEXT_TICK); /* it has a place */
}

void wait_forget(struct herd_ask *ask)
{
    bool goes_on = ask->timer.at_ns == AT_NEXT_TICK;
    leave(ask);
    if (goes_on)
        hand_on(ask->node, client_of(ask));
    node_free_ask(ask);
}

static void answer(struct herd_ask *ask, const struct herd_record *record)
{
    leave(ask);
    ask->answer.len = 0;
    /* Without its AT line it is no answer; who brought the record has nothing to do with it. */
    if (node_ask_places(ask, record) < 0)
        conn_abort(ask->conn);
}

void waits_on_record(struct herd_node *node, const struct herd_record *record)
{
    struct waits *waits = &node->waits;
    struct herd_ask *ask;
    unsigned answered = 0;
    while (waits->count > 0 && (ask = *find(waits, record->client)) != NULL &&
           ask->after_ns <= record->sent_ns) {
        if (answered++ == WAITS_PER_TURN) {
            timers_set(&waits->timers, &ask->timer, AT_NEXT_TICK); /* it has a place: cannot fail */
            break;
        }
        answer(ask, record);
    }
}

static void give_up(struct herd_ask *ask, struct herd_now now)
{
    leave(ask);
    ask->node->stats.lines_invalid++;
    ask->node->stats.waits_expired++;
    herd_ask_answer(ask, now, (struct herd_places){0});
}

/* The rest of those that a record answers. It may have ended meanwhile: then this one has its
 * neighbours asked, which it may not have come to. */
static void go_on_answering(struct herd_ask *ask, struct herd_now now)
{
    struct herd_node *node = ask->node;
    struct herd_record record;
    int64_t want_ns = now.mono_ns + WANT_MS * HERD_NS_PER_MS;
    timers_set(&node->waits.timers, &ask->timer,
               want_ns < ask->deadline_ns ? want_ns : ask->deadline_ns);
    if (herd_store_find(node->store, client_of(ask), &record) &&
        !herd_store_is_expired(node->store, &record, now.wall_ns))
        waits_on_record(node, &record);
}

static struct herd_ask *first_due(const struct waits *waits, int64_t now_ns)
{
    struct timer *timer = timers_first(&waits->timers);
    if (timer == NULL || timer->at_ns > now_ns)
        return NULL;
    return (struct herd_ask *)(void *)((char *)timer - offsetof(struct herd_ask, timer));
}

void waits_tick(struct herd_node *node, struct herd_now now)
{
    struct herd_ask *ask;
    for (unsigned i = 0; i < WAITS_PER_TURN && (ask = first_due(&node->waits, now.mono_ns)) != NULL;
         i++) {
        if (ask->timer.at_ns == AT_NEXT_TICK) {
            go_on_answering(ask, now);
            break;
        }
        if (now.mono_ns >= ask->deadline_ns) {
            give_up(ask, now);
            continue;
        }
        node_want(node, client_of(ask));
        timers_set(&node->waits.timers, &ask->timer, ask->deadline_ns);
    }
}

void waits_give_up(struct herd_node *node, struct herd_now now)
{
    struct herd_ask *ask;
    while ((ask = first_due(&node->waits, INT64_MAX)) != NULL)
        give_up(ask, now);
}

int64_t waits_wakeup(const struct waits *waits)
{
    const struct timer *first = timers_first(&waits->timers);
    return first != NULL ? first->at_ns : INT64_MAX;
}
