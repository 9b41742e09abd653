/*
 * The dialler's part: what a link holds back, because its neighbour has said PRUNE of the origin.
 *
 *   held_take    the link's cursor passes a record of a pruned origin: it is not sent
 *   (200 ms)     HAVE names it
 *   HELD         the neighbour holds all that was named: MARK goes on
 *   WANT         it does not: those are sent, and HAVE comes again
 *   GRAFT        the origin's records are sent again, also those that were held back
 *   held_flush   a neighbour was lost: all that was held back is sent
 *
 * So a record that is held back is always in somebody else's hands: with the neighbour that brought
 * it, whose connection stands. This server's own are never held back.
 */
#include <herd/err.h>
#include <herd/posix_time.h>

#include "core/copy.h"
#include "core/node.h"
#include "core/store.h"

#define NEVER INT64_MAX

/* The entries of a HAVE line that is being made. */
struct names {
    char text[HERD_LINE_MAX];
    size_t len;
};

/* What an entry has besides its client and time: ` <8 hex>:<client>:<time>`. */
enum { NAME_BYTES = 11 };

enum { HAVE_HEAD_MAX = sizeof("HAVE 18446744073709551615 18446744073709551615") };

static struct herd_store *store_of(const struct link *link)
{
    return link->conn.node->store;
}

void held_reset(struct link *link)
{
    struct held *held = &link->held;
    *held = (struct held){.cursor = held->cursor,
                          .at_ns = NEVER,
                          .again_at_ns = NEVER,
                          .again_ms = HAVE_AGAIN_MIN_MS};
}

void held_follow(struct link *link)
{
    struct held *held = &link->held;
    if (held->pruned_count > 0 && held->from == 0)
        store_cursor_to(store_of(link), held->cursor, link->cursor);
}

/* `<client> <location> <sent> <received> <origin> <diff>` */
static struct herd_slice origin_of(struct herd_slice text)
{
    const char *end = memrchr(text.data, ' ', text.len);
    const char *begin = memrchr(text.data, ' ', (size_t)(end - text.data));
    return herd_slice(begin + 1, (size_t)(end - begin) - 1);
}

static uint32_t origin_number(const struct link *link, struct herd_slice text)
{
    return prune_origin(&link->conn.node->prune, origin_of(text), false);
}

bool held_would_take(const struct link *link, const struct herd_entry *entry)
{
    const struct held *held = &link->held;
    struct neighbour *bringer;
    if (held->pruned_count == 0)
        return false;
    uint32_t origin = origin_number(link, entry->text);
    return origin != PRUNE_NOTHING && origin_set_has(&held->pruned, origin) &&
           !trial_sends(link, origin, entry->sequence) &&
           node_source_stands(link->conn.node, entry->source, &bringer);
}

bool held_take(struct link *link, const struct herd_entry *entry)
{
    struct held *held = &link->held;
    if (!held_would_take(link, entry))
        return false;
    if (held->from == 0) {
        held->from = entry->sequence;
        held->told = entry->sequence - 1;
    }
    held->last = entry->sequence;
    link->conn.node->stats.floods_held_back++;
    return true;
}

uint64_t held_claim(const struct link *link, uint64_t passed)
{
    return link->held.from > 0 ? link->held.from - 1 : passed;
}

static void forget_all(struct held *held)
{
    held->from = held->last = 0;
    held->flush_to = held->graft_to = 0;
    held->grafted = (struct origin_set){{0}};
    held->seeking = held->walking = false;
    held->at_ns = held->again_at_ns = NEVER;
    held->again_ms = HAVE_AGAIN_MIN_MS;
}

/* The neighbour holds all that was held back up to here. */
static void shown_up_to(struct held *held, uint64_t sequence)
{
    if (sequence >= held->last)
        forget_all(held);
    else if (sequence >= held->from)
        held->from = sequence + 1;
}

/* Once more over all that is held back, from the first on. */
static void walk_anew(struct link *link, uint64_t until)
{
    struct held *held = &link->held;
    held->seeking = held->walking = true;
    held->told = held->from - 1;
    held->until = until;
    conn_touch(&link->conn);
}

void held_on_prune(struct link *link, struct herd_slice origins)
{
    struct held *held = &link->held;
    struct herd_node *node = link->conn.node;
    struct herd_slice name;
    if (link->state != LINK_UP || !node->options.prune)
        return;
    while (herd_next_word(&origins, &name)) {
        uint32_t origin = prune_enter_word(node, name);
        if (origin == PRUNE_NOTHING)
            continue;
        held->pruned_count += origin_set_add(&held->pruned, origin);
        origin_set_remove(&held->grafted, origin);
    }
}

void held_on_graft(struct link *link, struct herd_slice origins)
{
    struct held *held = &link->held;
    struct herd_node *node = link->conn.node;
    struct herd_slice name;
    bool any = false;
    while (herd_next_word(&origins, &name)) {
        uint32_t origin = prune_origin(&node->prune, name, false);
        if (origin == PRUNE_NOTHING || !origin_set_remove(&held->pruned, origin))
            continue;
        held->pruned_count--;
        any = true;
        if (held->from > 0)
            origin_set_add(&held->grafted, origin);
    }
    if (!any || held->from == 0)
        return;
    held->graft_to = herd_cursor_sequence(node->store, link->cursor);
    walk_anew(link, held->graft_to);
}

void held_flush(struct link *link)
{
    struct held *held = &link->held;
    if (held->from == 0)
        return;
    held->flush_to = herd_cursor_sequence(store_of(link), link->cursor);
    walk_anew(link, held->flush_to);
}

void held_on_held(struct link *link, struct herd_now now, const struct herd_command *command)
{
    struct held *held = &link->held;
    if (held->from == 0 || command->after >= held->from || command->sequence > held->told)
        return;
    shown_up_to(held, command->sequence);
    held->again_ms = HAVE_AGAIN_MIN_MS;
    if (held->from > 0 && held->told >= held->from)
        held->again_at_ns = now.mono_ns + held->again_ms * HERD_NS_PER_MS;
    conn_touch(&link->conn);
}

static int say_have(struct link *link, struct names *names, uint64_t upto)
{
    struct held *held = &link->held;
    struct herd_buf *out = conn_output(&link->conn);
    int rc = herd_append_have(out, held->told, upto, herd_slice(names->text, names->len));
    held->told = upto;
    names->len = 0;
    return rc;
}

/* Room for it has been found. */
static void append_name(struct names *names, uint32_t hash, struct herd_slice client,
                        struct herd_slice time)
{
    char *at = names->text + names->len;
    *at++ = ' ';
    for (int shift = 28; shift >= 0; shift -= 4)
        *at++ = "0123456789abcdef"[hash >> shift & 0xf];
    *at++ = ':';
    at = copy_bytes(at, client.data, client.len);
    *at++ = ':';
    at = copy_bytes(at, time.data, time.len);
    names->len = (size_t)(at - names->text);
}

/* Puts the record among the names; a full line goes out first. */
static int name_it(struct link *link, struct names *names, const struct herd_entry *entry,
                   uint64_t before)
{
    int64_t max_skew_ns = link->conn.node->options.max_skew_ns;
    struct herd_record record;
    char time[HERD_TIME_TEXT_MAX];
    int rc = herd_record_parse(entry->text, &record);
    if (rc < 0)
        return 0; /* it was taken apart when it came */
    size_t time_len = herd_time_format(herd_record_order_ns(&record, max_skew_ns), time);
    if (names->len + record.client.len + time_len + NAME_BYTES >
        sizeof(names->text) - HAVE_HEAD_MAX)
        rc = say_have(link, names, before);
    append_name(names, have_hash(entry->text), record.client, herd_slice(time, time_len));
    return rc;
}

/* One record that may have been held back. */
static int pass_again(struct link *link, struct names *names, const struct herd_entry *entry,
                      uint64_t before)
{
    const struct held *held = &link->held;
    uint32_t origin = origin_number(link, entry->text);
    if (origin == PRUNE_NOTHING || entry->source == 0 ||
        entry->source == link->conn.neighbour->source)
        return 0;
    bool pruned = origin_set_has(&held->pruned, origin);
    bool grafted = origin_set_has(&held->grafted, origin) && entry->sequence <= held->graft_to;
    if (grafted || (pruned && entry->sequence <= held->flush_to))
        return link_send_entry(link, entry);
    return pruned ? name_it(link, names, entry, before) : 0;
}

/* The end of a walk, or of what could be said of it in one go. */
static int end_walk(struct link *link, struct herd_now now, struct names *names, uint64_t upto)
{
    struct held *held = &link->held;
    int rc = 0;
    if (names->len == 0 && held->told < held->from) {
        held->told = upto;
        shown_up_to(held, upto); /* all of it was sent, or replaced */
    } else if (upto > held->told) {
        rc = say_have(link, names, upto);
    }
    if (held->from > 0 && held->again_at_ns == NEVER)
        held->again_at_ns = now.mono_ns + held->again_ms * HERD_NS_PER_MS;
    return rc;
}

static int walk(struct link *link, struct herd_now now)
{
    struct held *held = &link->held;
    struct names names = {.len = 0};
    struct herd_entry entry;
    uint64_t next;
    uint64_t passed = held->told;
    int rc = 0;
    while (rc == 0 && store_cursor_peek(store_of(link), held->cursor, &next) &&
           next <= held->until) {
        link->more = link->steps >= LINK_STEPS_PER_TURN;
        if (link->more || !link_has_room(link))
            return rc == 0 && names.len > 0 ? say_have(link, &names, passed) : rc;
        link->steps++;
        herd_cursor_next(store_of(link), held->cursor, &entry);
        rc = pass_again(link, &names, &entry, passed);
        passed = entry.sequence;
    }
    held->walking = false;
    return rc == 0 ? end_walk(link, now, &names, held->until) : rc;
}

static void begin_walk(struct link *link, struct herd_now now)
{
    struct held *held = &link->held;
    if (now.mono_ns >= held->again_at_ns) {
        held->again_at_ns = NEVER;
        if (held->again_ms < HAVE_AGAIN_MAX_MS)
            held->again_ms *= 2;
        if (held->told >= held->from)
            walk_anew(link, held->told);
    }
    if (now.mono_ns < held->at_ns)
        return;
    held->at_ns = NEVER; /* while it walks, too: planned anew when that is over */
    if (held->walking)
        return;
    held->until = held->ripe;
    held->walking = held->until > held->told;
}

int held_fill(struct link *link, struct herd_now now)
{
    struct held *held = &link->held;
    if (held->from == 0)
        return 0;
    begin_walk(link, now);
    if (held->seeking) {
        if (link->steps >= LINK_STEPS_PER_TURN ||
            !herd_cursor_seek_back(store_of(link), held->cursor, held->from - 1,
                                   LINK_STEPS_PER_TURN - link->steps)) {
            link->steps = LINK_STEPS_PER_TURN;
            link->more = true;
            return 0;
        }
        held->seeking = false;
    }
    return held->walking ? walk(link, now) : 0;
}

void held_plan(struct link *link, struct herd_now now)
{
    struct held *held = &link->held;
    if (held->from == 0 || held->at_ns != NEVER || held->walking || held->last <= held->told)
        return;
    held->ripe = herd_cursor_sequence(store_of(link), link->cursor);
    held->at_ns = now.mono_ns + HAVE_MS * HERD_NS_PER_MS;
}

bool held_is_due(const struct link *link, struct herd_now now)
{
    return now.mono_ns >= held_wakeup(link);
}

int64_t held_wakeup(const struct link *link)
{
    const struct held *held = &link->held;
    if (link->state != LINK_UP)
        return NEVER;
    return held->at_ns < held->again_at_ns ? held->at_ns : held->again_at_ns;
}
