/*
 * The listener's part. In the first flood of an origin's record each server gets it over all its
 * links: the first copy comes over the fastest way, and each later one shows a link that is not
 * needed for that origin.
 *
 *   FLOOD, news               the neighbour is the parent: the way to this origin
 *   FLOOD, the same again     -> PRUNE to who sent it
 *   FLOOD, news, though PRUNE was said there: the tree is broken or slow -> GRAFT
 *   HAVE, something missing   -> WANT; what then comes is such news
 *   the parent is lost        lost.c
 *   is another way faster?    trial.c
 *
 * Who made a record is never pruned: it sends its own words over all its links.
 */
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "core/grown.h"
#include "core/node.h"
#include "core/store.h"

enum { INDEX_SLOTS = 2 * PRUNE_ORIGINS_MAX };

void prune_close(struct prune *prune)
{
    free(prune->origins);
    free(prune->index);
    *prune = (struct prune){0};
}

static int make_room(struct prune *prune)
{
    if (prune->index == NULL)
        prune->index = calloc(INDEX_SLOTS, sizeof(*prune->index));
    if (prune->index == NULL)
        return HERD_ENOMEM;
    struct origin *origins = grown(prune->origins, prune->count, &prune->cap, sizeof(*origins));
    if (origins == NULL)
        return HERD_ENOMEM;
    prune->origins = origins;
    return 0;
}

static uint32_t home_of(struct herd_slice name)
{
    return (uint32_t)XXH3_64bits(name.data, name.len) % INDEX_SLOTS;
}

static struct herd_slice name_of(const struct origin *origin)
{
    return herd_slice(origin->name, origin->len);
}

/* Where the name is in the index, or where it would be. */
static uint32_t find_slot(const struct prune *prune, struct herd_slice name)
{
    uint32_t at = home_of(name);
    while (prune->index[at] != 0 &&
           !herd_slice_equal(name, name_of(&prune->origins[prune->index[at] - 1])))
        at = (at + 1) % INDEX_SLOTS;
    return at;
}

static void enter(struct prune *prune, struct herd_slice name, uint32_t origin)
{
    uint32_t at = find_slot(prune, name);
    struct origin *entered = &prune->origins[origin];
    *entered = (struct origin){.len = (uint8_t)name.len,
                               .races_left = TRIAL_RACES_MAX,
                               .young_races_left = TRIAL_RACES_MAX};
    memcpy(entered->name, name.data, name.len);
    prune->index[at] = (uint16_t)(origin + 1);
}

uint32_t prune_origin(struct prune *prune, struct herd_slice name, bool add)
{
    uint32_t known = prune->index != NULL ? prune->index[find_slot(prune, name)] : 0;
    if (known != 0)
        return known - 1;
    if (!add || prune->count == PRUNE_ORIGINS_MAX || name.len > HERD_NAME_MAX ||
        make_room(prune) < 0)
        return PRUNE_NOTHING;
    enter(prune, name, prune->count);
    return prune->count++;
}

/* Those behind it that would not be found any more move up. */
static void leave_index(struct prune *prune, uint32_t origin)
{
    uint32_t hole = find_slot(prune, name_of(&prune->origins[origin]));
    for (uint32_t at = (hole + 1) % INDEX_SLOTS; prune->index[at] != 0;
         at = (at + 1) % INDEX_SLOTS) {
        uint32_t home = home_of(name_of(&prune->origins[prune->index[at] - 1]));
        if ((at - home) % INDEX_SLOTS < (at - hole) % INDEX_SLOTS)
            continue;
        prune->index[hole] = prune->index[at];
        hole = at;
    }
    prune->index[hole] = 0;
}

/* Nothing of it may be held back, for then MARK and HAVE need its number. */
static bool is_unused(const struct herd_node *node, struct herd_now now, uint32_t origin)
{
    int64_t idle_ns = now.mono_ns - node->prune.origins[origin].heard_ns;
    bool is_idle = idle_ns >= PRUNE_IDLE_MS * HERD_NS_PER_MS;
    for (size_t i = 0; i < node->neighbour_count; i++) {
        const struct neighbour *neighbour = node->neighbours[i];
        const struct held *held = &neighbour->link.held;
        bool named =
            origin_set_has(&held->pruned, origin) || origin_set_has(&held->grafted, origin);
        bool pruned = origin_set_has(&neighbour->pruned, origin);
        if ((pruned && !is_idle) || (named && held->from > 0))
            return false;
    }
    return true;
}

static void forget(struct herd_node *node, uint32_t origin)
{
    struct origin_set set = {{0}};
    origin_set_add(&set, origin);
    for (size_t i = 0; i < node->neighbour_count; i++) {
        struct held *held = &node->neighbours[i]->link.held;
        if (origin_set_has(&node->neighbours[i]->pruned, origin))
            prune_graft(node->neighbours[i], &set);
        held->pruned_count -= origin_set_remove(&held->pruned, origin);
    }
    leave_index(&node->prune, origin);
}

static uint32_t take_over(struct herd_node *node, struct herd_now now, struct herd_slice name)
{
    struct prune *prune = &node->prune;
    for (unsigned i = 0; i < PRUNE_LOOK_MAX; i++) {
        uint32_t origin = prune->hand;
        bool was_recent = prune->origins[origin].is_recent;
        prune->hand = (origin + 1) % prune->count;
        prune->origins[origin].is_recent = false;
        if (was_recent || !is_unused(node, now, origin))
            continue;
        forget(node, origin);
        enter(prune, name, origin);
        return origin;
    }
    return PRUNE_NOTHING;
}

static void count_beyond(struct herd_node *node)
{
    node->stats.origins_beyond++;
    node->stats.limits_reached++;
}

uint32_t prune_enter_origin(struct herd_node *node, struct herd_now now, struct herd_slice name)
{
    uint32_t origin = prune_origin(&node->prune, name, true);
    if (origin != PRUNE_NOTHING || node->prune.count < PRUNE_ORIGINS_MAX ||
        name.len > HERD_NAME_MAX)
        return origin;
    origin = take_over(node, now, name);
    if (origin == PRUNE_NOTHING)
        count_beyond(node);
    return origin;
}

uint32_t prune_enter_word(struct herd_node *node, struct herd_slice name)
{
    bool add = node->prune.count < PRUNE_UNHEARD_MAX;
    uint32_t origin = prune_origin(&node->prune, name, add);
    if (origin == PRUNE_NOTHING && !add)
        count_beyond(node);
    return origin;
}

/* A line `<verb> <origin> …`, or as many as that takes. */
int prune_append(struct herd_buf *out, const struct prune *prune, enum herd_verb verb,
                 const struct origin_set *set)
{
    size_t line = out->len;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < prune->count; i++) {
        const struct origin *origin = &prune->origins[i];
        if (!origin_set_has(set, i))
            continue;
        if (out->len > line && out->len - line + origin->len + 1 > HERD_LINE_MAX) {
            rc = herd_buf_append(out, "\n", 1);
            line = out->len;
        }
        if (rc == 0)
            rc = herd_append_word(out, verb, herd_slice(origin->name, origin->len),
                                  out->len == line);
    }
    if (rc == 0 && out->len > line)
        rc = herd_buf_append(out, "\n", 1);
    return rc;
}

static struct herd_node *node_of(const struct neighbour *neighbour)
{
    return neighbour->link.conn.node;
}

bool origin_set_is_empty(const struct origin_set *set)
{
    uint64_t any = 0;
    for (size_t i = 0; i < sizeof(set->words) / sizeof(set->words[0]); i++)
        any |= set->words[i];
    return any == 0;
}

/* PRUNE or GRAFT, on the connection that the neighbour has dialled. */
static int say(struct neighbour *to, enum herd_verb verb, const struct origin_set *set)
{
    struct herd_conn *conn = to->inbound;
    int rc = prune_append(conn_front(conn), &node_of(to)->prune, verb, set);
    if (rc < 0)
        conn_abort(conn);
    conn_touch(conn);
    return rc;
}

static int say_one(struct neighbour *to, enum herd_verb verb, uint32_t origin)
{
    struct origin_set set = {{0}};
    origin_set_add(&set, origin);
    return say(to, verb, &set);
}

/* A GRAFT must not get lost as long as the connection lives: so there is always room for it. */
int prune_graft(struct neighbour *to, const struct origin_set *wanted)
{
    struct origin_set set = {{0}};
    struct herd_node *node = node_of(to);
    for (uint32_t i = 0; i < node->prune.count; i++) {
        if (origin_set_has(wanted, i) && origin_set_remove(&to->pruned, i)) {
            origin_set_add(&set, i);
            node->stats.grafts_sent++;
        }
    }
    return origin_set_is_empty(&set) || to->inbound == NULL ? 0 : say(to, HERD_VERB_GRAFT, &set);
}

bool node_source_stands(const struct herd_node *node, uint32_t source, struct neighbour **out)
{
    for (size_t i = 0; i < node->neighbour_count; i++) {
        struct neighbour *neighbour = node->neighbours[i];
        if (neighbour->source == source && neighbour->prunes && neighbour->inbound != NULL &&
            !neighbour->inbound->closing) {
            *out = neighbour;
            return true;
        }
    }
    return false;
}

bool prune_is_young(const struct neighbour *neighbour, struct herd_now now)
{
    return now.mono_ns - neighbour->inbound_since_ns < PRUNE_YOUNG_MS * HERD_NS_PER_MS;
}

/* Whether this very record came over another link, on which its origin's records come as a rule. */
static bool is_from_another(const struct neighbour *from, struct herd_now now,
                            const struct herd_record *record, uint32_t origin)
{
    struct herd_node *node = node_of(from);
    struct herd_record held;
    uint32_t source;
    struct neighbour *other;
    if (!store_find_source(node->store, record->client, &held, &source) ||
        herd_record_compare(&held, record, node->options.max_skew_ns) != 0)
        return false;
    if (herd_slice_equal(record->origin, herd_slice_of(node->name)))
        return true;
    return node_source_stands(node, source, &other) && other != from &&
           !prune_is_young(other, now) && !origin_set_has(&other->pruned, origin);
}

int prune_on_flood(struct neighbour *from, struct herd_now now, const struct herd_record *record,
                   bool news)
{
    struct herd_node *node = node_of(from);
    if (!from->prunes)
        return 0;
    uint32_t origin = prune_enter_origin(node, now, record->origin);
    if (origin == PRUNE_NOTHING)
        return 0;
    node->prune.origins[origin].is_recent = true;
    node->prune.origins[origin].heard_ns = now.mono_ns;
    if (news) {
        struct origin_set set = {{0}};
        trial_on_news(from, now, origin);
        node->prune.origins[origin].parent = from;
        if (!origin_set_has(&from->pruned, origin))
            return 0;
        origin_set_add(&set, origin);
        return prune_graft(from, &set);
    }
    if (!node->options.prune || origin_set_has(&from->pruned, origin) ||
        prune_is_young(from, now) || herd_slice_equal(record->origin, herd_slice_of(from->name)) ||
        !is_from_another(from, now, record, origin))
        return 0;
    origin_set_add(&from->pruned, origin);
    node->stats.prunes_sent++;
    return say_one(from, HERD_VERB_PRUNE, origin);
}

void prune_configure(struct herd_node *node, bool wanted)
{
    bool ends = node->options.prune && !wanted;
    node->options.prune = wanted;
    for (size_t i = 0; ends && i < node->neighbour_count; i++) {
        struct origin_set all = node->neighbours[i]->pruned;
        prune_graft(node->neighbours[i], &all);
    }
}

/* `<8 hex>:<id>:<time>`: whether this server holds that record or a newer one; negative for
 * another form. */
static int holds(const struct herd_node *node, struct herd_slice word, struct herd_slice *client)
{
    struct herd_record held;
    uint32_t hash;
    int64_t order_ns;
    int rc = herd_next_have(&word, &hash, client, &order_ns);
    if (rc <= 0)
        return HERD_ESYNTAX;
    if (!herd_store_find(node->store, *client, &held))
        return 0;
    int64_t own_ns = herd_record_order_ns(&held, node->options.max_skew_ns);
    if (own_ns != order_ns)
        return own_ns > order_ns;
    /* At one time: the same, or not to be told which is newer. */
    char text[HERD_RECORD_TEXT_MAX];
    herd_record_write_text(&held, text);
    return have_hash(herd_slice(text, herd_record_text_len(&held))) == hash;
}

uint32_t have_hash(struct herd_slice text)
{
    return (uint32_t)XXH3_64bits(text.data, text.len);
}

int prune_on_have(struct neighbour *from, const struct herd_command *command)
{
    struct herd_node *node = node_of(from);
    struct herd_slice rest = command->rest;
    struct herd_slice word, client;
    struct herd_buf *out = conn_front(from->inbound);
    size_t begin = out->len;
    int rc = 0;
    if (!from->prunes)
        return 0;
    while (rc == 0 && herd_next_word(&rest, &word)) {
        int held = holds(node, word, &client);
        if (held < 0)
            rc = held;
        if (held == 0) {
            rc = herd_append_word(out, HERD_VERB_WANT, client, out->len == begin);
            node->stats.haves_missing++;
        }
    }
    if (rc == 0 && out->len > begin)
        rc = herd_buf_append(out, "\n", 1);
    else if (rc == 0)
        rc = herd_append_range(out, HERD_VERB_HELD, command->after, command->sequence);
    if (rc < 0)
        out->len = begin;
    conn_touch(from->inbound);
    return rc;
}
