/* Requests whose answers have to wait: made, queued for the places provider, kept for the next one.
 */
#include <stdlib.h>

#include "core/node.h"

struct herd_ask *node_new_ask(struct herd_node *node, struct herd_conn *conn, enum ask_kind kind)
{
    struct herd_ask *ask = node->free_asks;
    struct herd_buf answer = {0};
    if (ask != NULL) {
        node->free_asks = ask->next;
        node->free_ask_count--;
        if (node->free_ask_count < node->idle_asks)
            node->idle_asks = node->free_ask_count;
        answer = ask->answer;
    } else if ((ask = malloc(sizeof(*ask))) == NULL) {
        return NULL;
    }
    struct conn_work *work = conn->work;
    if (answer.cap == 0)
        spares_take_small(&node->spares, &answer);
    *ask = (struct herd_ask){.node = node, .conn = conn, .kind = kind, .answer = answer};
    if (work->asks_tail != NULL)
        work->asks_tail->next = ask;
    else
        work->asks = ask;
    work->asks_tail = ask;
    work->ask_count++;
    return ask;
}

void node_count_held(struct herd_ask *ask)
{
    size_t held = ask->answer.len + ask->refusal.len + ask->tail.len +
                  ask->line_count * sizeof(struct waiting_line);
    ask->conn->work->held += (uint32_t)held - ask->held;
    ask->held = (uint32_t)held;
}

void node_queue_ask(struct herd_ask **at, struct herd_ask *ask)
{
    ask->next_queued = *at;
    if (*at != NULL)
        (*at)->queued_at = &ask->next_queued;
    ask->queued_at = at;
    *at = ask;
}

void node_unqueue_ask(struct herd_ask *ask)
{
    *ask->queued_at = ask->next_queued;
    if (ask->next_queued != NULL)
        ask->next_queued->queued_at = ask->queued_at;
}

void node_queue_places(struct herd_ask *ask)
{
    struct herd_node *node = ask->node;
    ask->next_queued = NULL;
    *node->queue_end = ask;
    node->queue_end = &ask->next_queued;
    node->stats.places_open++;
}

int node_ask_places(struct herd_ask *ask, const struct herd_record *record)
{
    ask->kind = ASK_PLACES;
    node_queue_places(ask);
    herd_location_parse(record->location, &ask->where);
    int rc = herd_record_append_at(record, &ask->answer);
    node_count_held(ask);
    return rc;
}

static int render_text(const void *data, unsigned count, struct herd_buf *out)
{
    (void)count;
    return herd_buf_append_text(out, data);
}

struct herd_places herd_places_of_text(const char *json)
{
    static const struct herd_places_type text = {.render = render_text};
    return (struct herd_places){.type = &text, .data = (void *)(uintptr_t)json};
}

void node_forget_places(struct herd_ask *ask)
{
    struct herd_places *places = &ask->places;
    if (places->type != NULL && places->type->let_go != NULL)
        places->type->let_go(places->data);
    places->type = NULL;
}

void node_free_ask(struct herd_ask *ask)
{
    struct herd_node *node = ask->node;
    bool is_kept = node->free_ask_count < NODE_ASKS_FREE_MAX;
    node_forget_places(ask);
    herd_node_recycle(node, &ask->tail);
    herd_node_recycle(node, &ask->refusal);
    if (is_kept && ask->answer.cap <= NODE_ASK_ANSWER_BYTES)
        ask->answer.len = 0;
    else
        herd_node_recycle(node, &ask->answer);
    if (!is_kept) {
        node->spares.freed_bytes += sizeof(*ask);
        free(ask);
        return;
    }
    ask->next = node->free_asks;
    node->free_asks = ask;
    node->free_ask_count++;
}

static struct herd_ask *take_queued(struct herd_node *node)
{
    struct herd_ask *ask = node->queue;
    if (ask == NULL)
        return NULL;
    node->queue = ask->next_queued;
    if (node->queue == NULL)
        node->queue_end = &node->queue;
    return ask;
}

bool node_next_places(struct herd_node *node, struct herd_effect *out)
{
    struct herd_ask *ask = take_queued(node);
    while (ask != NULL && ask->conn == NULL) {
        node->stats.places_open--;
        node_free_ask(ask); /* nobody waits for it any more */
        ask = take_queued(node);
    }
    if (ask == NULL)
        return false;
    *out = (struct herd_effect){.kind = HERD_EFFECT_PLACES,
                                .conn = ask->conn,
                                .ask = ask,
                                .where = ask->where,
                                .radius_m = ask->radius_m,
                                .count = ask->count};
    return true;
}

size_t node_free_asks(struct herd_node *node, unsigned count)
{
    size_t bytes = 0;
    for (; count > 0; count--) {
        struct herd_ask *ask = node->free_asks;
        node->free_asks = ask->next;
        node->free_ask_count--;
        bytes += sizeof(*ask) + ask->answer.cap;
        herd_buf_free(&ask->answer);
        free(ask);
    }
    return bytes;
}
