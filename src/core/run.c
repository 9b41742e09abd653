/*
 * The node has one run. A link that comes to a place which others have yet to pass makes it, some
 * lines at a time, as far as it goes itself; the others find it there. It is made for as long as
 * nothing changes in the store, which is while links are filled, one after the other:
 *
 *   records     1  2  3  4  5  6  7  8          link A (first)   makes and takes 1 to 6: its window
 *   run        [1  2  3  4  5  6]               link B           takes 1 to 6, goes on with 7 and 8
 *                                               link C           takes 2 to 8: 1 came from there
 */
#include <stdlib.h>

#include <herd/proto.h>

#include "core/copy.h"
#include "core/node.h"
#include "core/store.h"

static void forget(struct run *run)
{
    run->count = 0;
    run->text.len = 0;
}

void run_close(struct run *run)
{
    herd_buf_free(&run->text);
    free(run->lines);
    *run = (struct run){0};
}

/* One that sends a line a connection has nothing to share. */
static bool shares(const struct link *link)
{
    return (link->state == LINK_UP || link->state == LINK_PLAIN) && !link->one_line &&
           !link->conn.closing;
}

/* Whether another link will go on from where all up to `passed` has been read, or from before. */
static bool others_need(const struct link *link, uint64_t passed)
{
    const struct herd_node *node = link->conn.node;
    for (size_t i = 0; i < node->neighbour_count; i++) {
        const struct link *other = &node->neighbours[i]->link;
        if (other != link && shares(other) && link_has_room(other) &&
            herd_cursor_sequence(node->store, other->cursor) <= passed)
            return true;
    }
    return false;
}

static bool find(const struct run *run, uint64_t sequence, unsigned *out)
{
    unsigned low = 0, high = run->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (run->lines[middle].sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    *out = low;
    return low < run->count && run->lines[low].sequence == sequence;
}

static bool has_place(const struct run *run)
{
    return run->count < RUN_LINES_MAX && run->text.len < RUN_BYTES_MAX - HERD_LINE_MAX;
}

static bool reserve_line(struct run *run)
{
    if (run->count < run->cap)
        return true;
    unsigned cap = run->cap > 0 ? run->cap * 2 : RUN_STEP;
    struct run_line *lines = realloc(run->lines, cap * sizeof(*lines));
    if (lines == NULL)
        return false;
    run->lines = lines;
    run->cap = cap;
    return true;
}

/* False when memory is short. */
static bool add_line(struct run *run, const struct herd_node *node, uint32_t record,
                     const struct herd_entry *entry)
{
    struct herd_slice prefix = node->flood_prefix;
    size_t len = prefix.len + entry->text.len + 1;
    if (!reserve_line(run) || herd_buf_reserve(&run->text, len) < 0)
        return false;
    char *at = copy_bytes(run->text.data + run->text.len, prefix.data, prefix.len);
    *copy_bytes(at, entry->text.data, entry->text.len) = '\n';
    run->text.len += len;
    run->lines[run->count++] = (struct run_line){
        .sequence = entry->sequence,
        .received_ns = link_received_ns(node, entry->text),
        .end = (uint32_t)run->text.len,
        .record = record,
        .source = entry->source,
    };
    return true;
}

/* Adds the lines of the records behind `at`, a cursor or a record. Whether there is any. */
static bool add_lines(struct run *run, const struct herd_node *node, uint32_t at)
{
    struct herd_entry entry;
    unsigned before = run->count;
    while (run->count - before < RUN_STEP && has_place(run)) {
        at = store_record_behind(node->store, at, &entry);
        if (at == STORE_NO_RECORD || !add_line(run, node, at, &entry))
            break;
    }
    return run->count > before;
}

static bool ends_before(const struct run *run, const struct herd_store *store, uint64_t sequence)
{
    struct herd_entry entry;
    return store_record_behind(store, run->lines[run->count - 1].record, &entry) !=
               STORE_NO_RECORD &&
           entry.sequence == sequence;
}

bool run_reach(const struct link *link, unsigned *out)
{
    struct herd_node *node = link->conn.node;
    struct run *run = &node->run;
    uint64_t passed = herd_cursor_sequence(node->store, link->cursor);
    uint64_t next;
    if (!shares(link) || herd_store_sequence(node->store) == passed ||
        !store_cursor_peek(node->store, link->cursor, &next))
        return false;
    uint64_t changes = store_changes(node->store);
    if (run->changes != changes)
        forget(run);
    run->changes = changes;
    if (find(run, next, out))
        return true;
    if (!others_need(link, passed))
        return false;
    if (run->count > 0 && !(has_place(run) && ends_before(run, node->store, next))) {
        if (others_need(link, run->lines[run->count - 1].sequence - 1))
            return false; /* they need what there is */
        forget(run);
    }
    *out = run->count;
    return add_lines(run, node, link->cursor);
}

/* The least received_ns of the lines from `first` to before `end`. */
static int64_t oldest(const struct run *run, unsigned first, unsigned end)
{
    int64_t oldest_ns = INT64_MAX;
    for (; first < end; first++) {
        if (run->lines[first].received_ns < oldest_ns)
            oldest_ns = run->lines[first].received_ns;
    }
    return oldest_ns;
}

/* What came from there, or is held back: the link itself passes it. */
static bool is_passed(const struct link *link, const struct run *run, unsigned at)
{
    const struct run_line *line = &run->lines[at];
    if (line->source == link->conn.neighbour->source)
        return true;
    if (link->held.pruned_count == 0)
        return false;
    size_t begin = (at > 0 ? line[-1].end : 0) + link->conn.node->flood_prefix.len;
    struct herd_entry entry = {
        .text = herd_slice(run->text.data + begin, line->end - 1 - begin),
        .sequence = line->sequence,
        .source = line->source,
    };
    return held_would_take(link, &entry);
}

void run_cut(const struct link *link, unsigned at, const struct run_limits *limits,
             struct run_part *out)
{
    const struct herd_node *node = link->conn.node;
    const struct run *run = &node->run;
    size_t around = node->flood_prefix.len + 1; /* a record, in its line */
    size_t begin = at > 0 ? run->lines[at - 1].end : 0, end = begin;
    unsigned first = at, stop = run->count;
    if (limits->lines < stop - at)
        stop = at + limits->lines;
    for (; at < stop; at++) {
        if (end - begin >= limits->bytes || is_passed(link, run, at))
            break;
        end = run->lines[at].end;
    }
    *out = (struct run_part){
        .text = herd_slice(run->text.data + begin, end - begin),
        .lines = at - first,
        .record_bytes = end - begin - (at - first) * around,
        .oldest_ns = node->options.record_ttl_ns > 0 ? oldest(run, first, at) : INT64_MAX,
        .last = at > first ? run->lines[at - 1].record : STORE_NO_RECORD,
        .to_come = run->text.len - end,
    };
}
