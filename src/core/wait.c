/*
 * begin -> (a record comes) -> places, as any WHATSAT
 *       -> (50 ms) WANT to all neighbours -> (a record comes) -> places
 *                                         -> (the time is up) -> `? ` and the command
 */
#include <assert.h>
#include <stddef.h>

#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/digest.h"
#include "core/node.h"

void waits_close(struct waits *waits)
{
    assert(waits->count == 0);
    timers_close(&waits->timers);
}

static struct herd_ask **bucket_of(struct waits *waits, struct herd_slice client)
{
    return &waits->buckets[digest_client_hash(client) % WAIT_BUCKETS];
}

/* The client's id stands in the line that is the answer if nothing comes. */
static struct herd_slice client_of(const struct herd_ask *ask)
{
    return herd_slice(ask->answer.data + ask->client_at, ask->client_len);
}

int wait_begin(struct herd_conn *conn, struct herd_now now, const struct herd_command *command,
               struct herd_slice line)
{
    struct herd_node *node = conn->node;
    struct herd_ask *ask = node_new_ask(node, conn, ASK_RECORD);
    if (ask == NULL)
        return HERD_ENOMEM;
    int rc = herd_append_invalid(&ask->answer, line);
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
    struct herd_ask **bucket = bucket_of(&node->waits, command->record.client);
    ask->next_queued = *bucket;
    *bucket = ask;
    node->waits.count++;
    node->stats.waits++;
    return 0;
}

/* Takes an ask that waits out of the books. */
static void leave(struct herd_ask *ask)
{
    struct waits *waits = &ask->node->waits;
    struct herd_ask **at = bucket_of(waits, client_of(ask));
    while (*at != ask)
        at = &(*at)->next_queued;
    *at = ask->next_queued;
    waits->count--;
    timers_clear(&waits->timers, &ask->timer);
}

void wait_forget(struct herd_ask *ask)
{
    leave(ask);
    node_free_ask(ask);
}

void waits_on_record(struct herd_node *node, const struct herd_record *record)
{
    if (node->waits.count == 0)
        return;
    struct herd_ask *next;
    for (struct herd_ask *ask = *bucket_of(&node->waits, record->client); ask != NULL; ask = next) {
        next = ask->next_queued;
        if (record->sent_ns < ask->after_ns || !herd_slice_equal(client_of(ask), record->client))
            continue;
        leave(ask);
        ask->answer.len = 0;
        /* Without its AT line it is no answer; who brought the record has nothing to do with it. */
        if (node_ask_places(ask, record) < 0)
            conn_abort(ask->conn);
    }
}

static void give_up(struct herd_ask *ask, struct herd_now now)
{
    leave(ask);
    ask->node->stats.lines_invalid++;
    ask->node->stats.waits_expired++;
    herd_ask_answer(ask, now, herd_slice("", 0));
}

void waits_tick(struct herd_node *node, struct herd_now now)
{
    struct timer *timer;
    while ((timer = timers_first(&node->waits.timers)) != NULL && timer->at_ns <= now.mono_ns) {
        struct herd_ask *ask =
            (struct herd_ask *)(void *)((char *)timer - offsetof(struct herd_ask, timer));
        if (now.mono_ns >= ask->deadline_ns) {
            give_up(ask, now);
            continue;
        }
        node_want(node, client_of(ask));
        timers_set(&node->waits.timers, timer,
                   ask->deadline_ns); /* it is in the heap: cannot fail */
    }
}

void waits_give_up(struct herd_node *node, struct herd_now now)
{
    struct timer *timer;
    while ((timer = timers_first(&node->waits.timers)) != NULL)
        give_up((struct herd_ask *)(void *)((char *)timer - offsetof(struct herd_ask, timer)), now);
}

int64_t waits_wakeup(const struct waits *waits)
{
    const struct timer *first = timers_first(&waits->timers);
    return first != NULL ? first->at_ns : INT64_MAX;
}
