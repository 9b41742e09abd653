#include <assert.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <herd/err.h>

#include "core/node.h"

int waiting_init(struct herd_node *node)
{
    struct waiting *waiting = &node->persist.waiting;
    const struct herd_node_options *options = &node->options;
    if (options->record_ttl_ns == 0 || options->durability < HERD_DURABILITY_COMMIT)
        return 0;
    waiting->buckets = calloc(WAITING_BUCKETS, sizeof(struct waiting_line *));
    return waiting->buckets != NULL ? 0 : HERD_ENOMEM;
}

static size_t free_lines(struct waiting *waiting, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct waiting_line *line = waiting->free;
        waiting->free = line->next_of_ask;
        free(line);
    }
    waiting->free_count -= count;
    return count * sizeof(struct waiting_line);
}

size_t waiting_give_back(struct waiting *waiting)
{
    size_t bytes = waiting->freed_bytes + free_lines(waiting, waiting->idle_count);
    waiting->idle_count = waiting->free_count;
    waiting->freed_bytes = 0;
    return bytes;
}

void waiting_close(struct waiting *waiting)
{
    free_lines(waiting, waiting->free_count);
    free(waiting->buckets);
    *waiting = (struct waiting){0};
}

static uint64_t hash_of(const struct herd_node *node, struct herd_slice client)
{
    return XXH3_64bits_withSeed(client.data, client.len, node->waits.seed);
}

static struct waiting_line *take_line(struct waiting *waiting)
{
    struct waiting_line *line = waiting->free;
    if (line == NULL)
        return malloc(sizeof(*line));
    waiting->free = line->next_of_ask;
    waiting->free_count--;
    if (waiting->free_count < waiting->idle_count)
        waiting->idle_count = waiting->free_count;
    return line;
}

static void give_line(struct waiting *waiting, struct waiting_line *line)
{
    if (waiting->free_count == WAITING_LINES_FREE_MAX) {
        waiting->freed_bytes += sizeof(*line);
        free(line);
        return;
    }
    line->next_of_ask = waiting->free;
    waiting->free = line;
    waiting->free_count++;
}

int waiting_enter(struct herd_ask *ask, struct herd_slice client)
{
    struct waiting *waiting = &ask->node->persist.waiting;
    if (waiting->buckets == NULL)
        return 0;
    struct waiting_line *line = take_line(waiting);
    if (line == NULL)
        return HERD_ENOMEM;
    uint64_t hash = hash_of(ask->node, client);
    struct waiting_line **at = &waiting->buckets[hash % WAITING_BUCKETS];
    *line = (struct waiting_line){
        .next = *at, .at = at, .next_of_ask = ask->lines, .ask = ask, .hash = hash};
    if (line->next != NULL)
        line->next->at = &line->next;
    *at = line;
    ask->lines = line;
    ask->line_count++;
    ask->node->stats.answer_lines_waiting++;
    return 0;
}

void waiting_leave(struct herd_ask *ask)
{
    ask->node->stats.answer_lines_waiting -= ask->line_count;
    ask->line_count = 0;
    while (ask->lines != NULL) {
        struct waiting_line *line = ask->lines;
        ask->lines = line->next_of_ask;
        *line->at = line->next;
        if (line->next != NULL)
            line->next->at = line->at;
        give_line(&ask->node->persist.waiting, line);
    }
}

void waiting_on_ended(void *arg, struct herd_slice client, uint64_t sequence)
{
    struct herd_node *node = arg;
    if (node->persist.first == NULL || sequence <= persist_safe_sequence(node))
        return;
    assert(node->persist.waiting.buckets != NULL);
    uint64_t hash = hash_of(node, client);
    struct waiting_line *line = node->persist.waiting.buckets[hash % WAITING_BUCKETS];
    for (; line != NULL; line = line->next) {
        if (line->hash == hash)
            persist_give_up(line->ask);
    }
}
