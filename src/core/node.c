/*
 * The node composes the modules: connections and links share its store, and it hands out their
 * effects, what goes to neighbours first. See <herd/node.h> for the order of calls.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "core/node.h"
#include "core/store.h"

static int set_name(struct herd_node *node, const char *name)
{
    struct herd_buf prefix = {0};
    size_t len = strlen(name);
    assert(len > 0 && len <= HERD_NAME_MAX);
    memcpy(node->name, name, len + 1);
    node->name_len = (uint8_t)len;
    if (herd_buf_printf(&prefix, "FLOOD %s ", name) < 0)
        return HERD_ENOMEM;
    node->flood_prefix = herd_buf_slice(&prefix);
    return 0;
}

static int make_store(struct herd_node *node)
{
    int rc = herd_store_new(rng_next(&node->rng), node->options.max_skew_ns, &node->store);
    if (rc < 0)
        return rc;
    store_on_ended(node->store, waiting_on_ended, node);
    return herd_store_set_ttl(node->store, node->options.record_ttl_ns);
}

int herd_node_new(const struct herd_node_options *options, struct herd_node **out)
{
    struct herd_node *node = calloc(1, sizeof(*node));
    if (node == NULL)
        return HERD_ENOMEM;
    node->options = *options;
    node->options.name = node->name;
    conn_set_limits(&node->options, options);
    node->dirty_end = &node->dirty;
    node->ready_end = &node->ready;
    node->queue_end = &node->queue;
    node->lines_left = node->options.turn_lines_clients;
    node->places_left = TURN_PLACES_BYTES;
    node->rng.state = options->seed;
    node->epoch = rng_next(&node->rng);
    waits_init(&node->waits, ~options->seed);
    int rc = set_name(node, options->name);
    if (rc == 0)
        rc = make_store(node);
    if (rc == 0)
        rc = persist_init(node);
    if (rc < 0) {
        herd_node_free(node);
        return rc;
    }
    *out = node;
    return 0;
}

static void free_if_gone(struct herd_conn *conn)
{
    if (!conn->gone || conn->dirty || conn->ready)
        return;
    conn->node->spares.freed_bytes += sizeof(*conn);
    free(conn);
}

static struct herd_conn *take_dirty(struct herd_node *node)
{
    struct herd_conn *conn = node->dirty;
    node->dirty = conn->next_dirty;
    if (node->dirty == NULL)
        node->dirty_end = &node->dirty;
    conn->dirty = false;
    node->dirty_count--;
    if (node->dirty_count == 0)
        node->dirty_bytes = 0;
    return conn;
}

static struct herd_conn *take_ready(struct herd_node *node)
{
    struct herd_conn *conn = node->ready;
    node->ready_count--;
    node->ready = conn->next_ready;
    if (node->ready == NULL)
        node->ready_end = &node->ready;
    conn->ready = false;
    return conn;
}

/* A link's connection lives in its neighbour, so it may not stay in a list. */
static void remove_ready(struct herd_node *node, struct herd_conn *conn)
{
    struct herd_conn **at = &node->ready;
    while (*at != NULL && *at != conn)
        at = &(*at)->next_ready;
    if (*at == NULL)
        return;
    *at = conn->next_ready;
    node->ready_count--;
    if (*at == NULL)
        node->ready_end = at;
    conn->ready = false;
}

static void free_neighbour(struct herd_node *node, struct neighbour *neighbour)
{
    struct herd_conn *conn = &neighbour->link.conn;
    remove_ready(node, conn);
    conn_reset(conn);
    herd_cursor_free(node->store, neighbour->link.cursor);
    herd_cursor_free(node->store, neighbour->link.held.cursor);
    prune_forget_neighbour(node, neighbour);
    free(neighbour);
}

void herd_node_free(struct herd_node *node)
{
    if (node == NULL)
        return;
    for (size_t i = 0; i < node->neighbour_count; i++)
        free_neighbour(node, node->neighbours[i]);
    free(node->neighbours);
    while (node->ready != NULL)
        free_if_gone(take_ready(node));
    while (node->dirty != NULL)
        free_if_gone(take_dirty(node));
    assert(node->conns == NULL && node->queue == NULL);
    node_free_asks(node, node->free_ask_count);
    spares_free(&node->spares);
    run_close(&node->run);
    while (node->spare_work_count > 0)
        free(node->spare_works[--node->spare_work_count]);
    waits_close(&node->waits);
    persist_close(node);
    walk_leaf_close(&node->leaf);
    prune_close(&node->prune);
    herd_store_free(node->store);
    free((char *)(uintptr_t)node->flood_prefix.data);
    free(node);
}

void herd_node_configure(struct herd_node *node, const struct herd_node_options *options)
{
    node->options.output_max = options->output_max;
    node->options.pipeline_max = options->pipeline_max;
    conn_set_limits(&node->options, options);
    node->options.safety_timeout_ns = options->safety_timeout_ns;
    prune_configure(node, options->prune);
    node->options.on_line = options->on_line;
    node->options.on_line_arg = options->on_line_arg;
}

struct neighbour *node_neighbour(const struct herd_node *node, struct herd_slice name)
{
    for (size_t i = 0; i < node->neighbour_count; i++) {
        struct neighbour *neighbour = node->neighbours[i];
        if (herd_slice_equal(name, herd_slice_of(neighbour->name)) && !neighbour->link.removed)
            return neighbour;
    }
    return NULL;
}

uint32_t node_new_source(struct herd_node *node)
{
    return ++node->source_last;
}

/* A server that has dialled before it was a neighbour is not known as one on that connection: its
 * marks and digests say nothing there. It dials anew. */
static void send_strangers_away(struct herd_node *node)
{
    for (struct herd_conn *conn = node->conns; conn != NULL; conn = conn->next) {
        if (conn->stranger && !conn->closing)
            conn_close(conn);
    }
}

static int make_cursors(struct herd_node *node, struct link *link)
{
    int rc = herd_cursor_new(node->store, &link->cursor);
    if (rc < 0)
        return rc;
    rc = herd_cursor_new(node->store, &link->held.cursor);
    if (rc < 0)
        herd_cursor_free(node->store, link->cursor);
    return rc;
}

int herd_node_add_neighbour(struct herd_node *node, struct herd_now now, const char *name,
                            void *data)
{
    size_t len = strlen(name);
    assert(len > 0 && len <= HERD_NAME_MAX);
    if (node_neighbour(node, herd_slice_of(name)) != NULL)
        return HERD_EEXISTS;
    struct neighbour **grown =
        realloc(node->neighbours, (node->neighbour_count + 1) * sizeof(struct neighbour *));
    if (grown == NULL)
        return HERD_ENOMEM;
    node->neighbours = grown;
    struct neighbour *neighbour = calloc(1, sizeof(*neighbour));
    if (neighbour == NULL || make_cursors(node, &neighbour->link) < 0) {
        free(neighbour);
        return HERD_ENOMEM;
    }
    memcpy(neighbour->name, name, len + 1);
    neighbour->source = node_new_source(node);
    neighbour->sound = UINT64_MAX;
    reconcile_init(&neighbour->reconcile);
    node->neighbours[node->neighbour_count++] = neighbour;
    link_init(neighbour, node, data, now);
    send_strangers_away(node);
    return 0;
}

static void forget_inbound(struct neighbour *neighbour)
{
    prune_on_inbound_lost(neighbour);
    if (neighbour->inbound != NULL)
        neighbour->inbound->neighbour = NULL;
    neighbour->inbound = NULL;
}

int herd_node_remove_neighbour(struct herd_node *node, struct herd_now now, const char *name)
{
    struct neighbour *neighbour = node_neighbour(node, herd_slice_of(name));
    if (neighbour == NULL)
        return HERD_ENOTFOUND;
    neighbour->link.removed = true;
    node->persist.marks_changed |= neighbour->mark.sequence > 0;
    if (neighbour->inbound != NULL)
        conn_close(neighbour->inbound);
    forget_inbound(neighbour);
    if (!link_stop(&neighbour->link, now))
        node_forget_neighbour(node, neighbour);
    return 0;
}

void node_forget_neighbour(struct herd_node *node, struct neighbour *neighbour)
{
    size_t i = 0;
    while (node->neighbours[i] != neighbour)
        i++;
    memmove(node->neighbours + i, node->neighbours + i + 1,
            (--node->neighbour_count - i) * sizeof(struct neighbour *));
    node->link_next = 0;
    free_neighbour(node, neighbour);
}

int herd_node_accept(struct herd_node *node, void *data, struct herd_conn **out)
{
    struct herd_conn *conn = malloc(sizeof(*conn));
    if (conn == NULL)
        return HERD_ENOMEM;
    conn_init(conn, node, data);
    conn->next = node->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    node->conns = conn;
    *out = conn;
    return 0;
}

static void accepted_closed(struct herd_conn *conn)
{
    struct herd_node *node = conn->node;
    if (conn->neighbour != NULL) {
        prune_on_inbound_lost(conn->neighbour);
        conn->neighbour->inbound = NULL;
    }
    conn->neighbour = NULL;
    conn_reset(conn);
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        node->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    conn->close_told = true;
    conn->gone = true;
    free_if_gone(conn);
}

void herd_conn_closed(struct herd_conn *conn, struct herd_now now, const char *reason)
{
    if (!conn->is_link) {
        accepted_closed(conn);
        return;
    }
    remove_ready(conn->node, conn);
    link_closed(conn_link(conn), now, reason);
}

void node_touch_links(struct herd_node *node)
{
    node->links_left = node->neighbour_count;
}

int node_apply(struct herd_node *node, struct herd_now now, const struct herd_record *record,
               uint32_t source)
{
    int rc = 0;
    if (!herd_store_is_expired(node->store, record, now.wall_ns))
        rc = herd_store_apply(node->store, record, source, ended_by(node, now, record));
    if (rc > 0) {
        node->stats.records_applied++;
        node_touch_links(node);
        waits_on_record(node, record);
    } else if (rc == 0) {
        node->stats.records_old++;
    }
    return rc;
}

void node_want(struct herd_node *node, struct herd_slice client)
{
    for (size_t i = 0; i < node->neighbour_count; i++) {
        struct neighbour *neighbour = node->neighbours[i];
        struct herd_conn *conn = neighbour->inbound;
        if (conn == NULL && neighbour->link.state == LINK_UP)
            conn = &neighbour->link.conn;
        if (conn == NULL || !conn_has_room(conn))
            continue;
        if (herd_append_want(conn_front(conn), client) < 0)
            conn_abort(conn);
        conn_touch(conn);
    }
}

void node_notice(struct herd_node *node, enum herd_notice_kind kind, const char *peer,
                 uint64_t epoch, uint64_t sequence, const char *reason, ...)
{
    if (node->notice_count == NODE_NOTICES_MAX) {
        node->notice_first = (node->notice_first + 1) % NODE_NOTICES_MAX;
        node->notice_count--;
        node->stats.notices_lost++;
        node->stats.limits_reached++;
    }
    unsigned at = (node->notice_first + node->notice_count++) % NODE_NOTICES_MAX;
    struct herd_notice *notice = &node->notices[at];
    *notice = (struct herd_notice){.kind = kind, .epoch = epoch, .sequence = sequence};
    snprintf(notice->peer, sizeof(notice->peer), "%s", peer);
    va_list args;
    va_start(args, reason);
    vsnprintf(notice->reason, sizeof(notice->reason), reason, args);
    va_end(args);
}

void node_trace(const struct herd_conn *conn, enum herd_direction direction, struct herd_slice line)
{
    const struct herd_node_options *options = &conn->node->options;
    if (options->on_line != NULL)
        options->on_line(options->on_line_arg, conn, direction, line);
}

void herd_node_recycle(struct herd_node *node, struct herd_buf *take_buf)
{
    spares_keep(&node->spares, take_buf);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t herd_node_wakeup(const struct herd_node *node)
{
    if (node->ready != NULL)
        return INT64_MIN;
    int64_t at = earlier(waits_wakeup(&node->waits), persist_wakeup(node));
    if (node->options.record_ttl_ns > 0)
        at = earlier(at, node->expire_at_ns);
    for (size_t i = 0; i < node->neighbour_count; i++) {
        at = earlier(at, link_wakeup(&node->neighbours[i]->link));
        at = earlier(at, heartbeat_wakeup(node->neighbours[i]));
        at = earlier(at, acks_wakeup(node->neighbours[i]));
        at = earlier(at, reconcile_wakeup(node->neighbours[i]));
    }
    return at;
}

/* Up to the end of that second: it is in seconds that ends are looked for. */
void node_expire_to(struct herd_node *node, struct herd_now now, int64_t end_ns)
{
    int64_t to_ns = (end_ns / HERD_NS_PER_S + 1) * HERD_NS_PER_S;
    if (to_ns > node->expire_to_ns)
        node->expire_to_ns = to_ns;
    node->expire_at_ns = now.mono_ns;
}

static void expire(struct herd_node *node, struct herd_now now)
{
    if (node->options.record_ttl_ns == 0 || now.mono_ns < node->expire_at_ns)
        return;
    size_t before = herd_store_count(node->store);
    bool ahead = node->expire_to_ns > now.wall_ns;
    bool all = herd_store_expire(node->store, ahead ? node->expire_to_ns : now.wall_ns);
    if (all)
        node->expire_to_ns = 0;
    node->stats.records_expired += before - herd_store_count(node->store);
    node->expire_at_ns = now.mono_ns + (all ? EXPIRE_MS * HERD_NS_PER_MS : 0);
}

void herd_node_tick(struct herd_node *node, struct herd_now now)
{
    for (size_t i = 0; i < node->neighbour_count; i++) {
        link_tick(&node->neighbours[i]->link, now);
        heartbeat_tick(node->neighbours[i], now);
        if (now.mono_ns >= acks_wakeup(node->neighbours[i]))
            acks_send(node->neighbours[i]);
        if (reconcile_tick(node->neighbours[i], now) < 0)
            conn_abort(node->neighbours[i]->inbound);
    }
    waits_tick(node, now);
    expire(node, now);
    persist_tick(node, now);
    /* Those that use up their budget again come back behind the last one of this turn. */
    struct herd_conn **end = node->ready_end;
    while (node->ready != NULL && node->dirty_count < HERD_TOUCHED_MAX) {
        bool last = end == &node->ready->next_ready;
        struct herd_conn *conn = take_ready(node);
        if (conn->gone)
            free_if_gone(conn);
        else
            conn_go_on(conn, now);
        if (last)
            break;
    }
}

void herd_node_stop(struct herd_node *node, struct herd_now now)
{
    node->stopping = true;
    waits_give_up(node, now); /* no flood will come any more */
    persist_stop(node, now);
    for (struct herd_conn *conn = node->conns; conn != NULL; conn = conn->next) {
        if (!conn->has_more)
            herd_conn_cut(conn, now);
    }
}

void herd_node_each(struct herd_node *node, void (*visit)(void *arg, struct herd_conn *conn),
                    void *arg)
{
    for (struct herd_conn *conn = node->conns; conn != NULL; conn = conn->next)
        visit(arg, conn);
}

void herd_node_abort(struct herd_node *node)
{
    for (struct herd_conn *conn = node->conns; conn != NULL; conn = conn->next)
        conn_abort(conn);
}

/* The last client has its answers, so what it was told can go out and the links can close. */
static void stop_links(struct herd_node *node, struct herd_now now)
{
    node->links_stopped = true;
    for (size_t i = 0; i < node->neighbour_count; i++)
        link_stop(&node->neighbours[i]->link, now);
}

static bool next_link_effect(struct herd_node *node, struct herd_now now, struct herd_effect *out)
{
    while (node->links_left > 0 && node->neighbour_count > 0) {
        if (node->link_next >= node->neighbour_count)
            node->link_next = 0;
        struct link *link = &node->neighbours[node->link_next]->link;
        if (link_effect(link, now, out))
            return true;
        node->link_next++;
        node->links_left--;
    }
    return false;
}

static bool next_conn_effect(struct herd_node *node, struct herd_effect *out)
{
    while (node->dirty != NULL) {
        struct herd_conn *conn = node->dirty;
        bool found = !conn->gone && conn_effect(conn, out);
        if (found && conn_may_have_effect(conn))
            return true;
        conn_end_work(take_dirty(node));
        free_if_gone(conn);
        if (found)
            return true;
    }
    return false;
}

static bool next_notice(struct herd_node *node, struct herd_effect *out)
{
    if (node->notice_count == 0)
        return false;
    *out = (struct herd_effect){.kind = HERD_EFFECT_NOTICE,
                                .notice = node->notices[node->notice_first]};
    node->notice_first = (node->notice_first + 1) % NODE_NOTICES_MAX;
    node->notice_count--;
    return true;
}

bool herd_node_is_crowded(const struct herd_node *node)
{
    return node->dirty_count >= HERD_TOUCHED_MAX || node->dirty_bytes >= HERD_TOUCHED_BYTES;
}

size_t herd_node_read_max(const struct herd_node *node)
{
    unsigned to_others = node->ready != NULL ? node->options.turn_lines_clients / 2 : 0;
    if (node->lines_left <= to_others)
        return 0;
    return node->ready_count < HERD_TOUCHED_MAX ? SIZE_MAX : NODE_CROWD_READ_BYTES;
}

bool herd_node_waits_for_neighbours(const struct herd_node *node)
{
    return node->options.durability == HERD_DURABILITY_HERD;
}

bool herd_node_early_effect(struct herd_node *node, struct herd_now now, struct herd_effect *out)
{
    return next_link_effect(node, now, out) || next_conn_effect(node, out);
}

bool herd_node_effect(struct herd_node *node, struct herd_now now, struct herd_effect *out)
{
    if (node->stopping && !node->links_stopped && node->conns == NULL)
        stop_links(node, now);
    /* Questions before answers: some are answered at once, and go out with what is there already. */
    if (next_link_effect(node, now, out) || node_next_places(node, out) ||
        next_conn_effect(node, out) || persist_effect(node, now, out) || next_notice(node, out))
        return true;
    node->turn++;
    node->lines_left = node->options.turn_lines_clients;
    node->places_left = TURN_PLACES_BYTES;
    return false;
}

const struct herd_node_stats *herd_node_stats(const struct herd_node *node)
{
    return &node->stats;
}

const struct herd_store *herd_node_store(const struct herd_node *node)
{
    return node->store;
}

uint64_t herd_node_epoch(const struct herd_node *node)
{
    return node->epoch;
}

const char *herd_node_name(const struct herd_node *node)
{
    return node->name;
}

bool herd_node_link(const struct herd_node *node, size_t i, struct herd_link_status *out)
{
    if (i >= node->neighbour_count)
        return false;
    const struct neighbour *neighbour = node->neighbours[i];
    const struct link *link = &neighbour->link;
    /* It is sent all records, for it may be another now; more likely it hangs. */
    bool silent = link->state == LINK_PLAIN && link->unanswered;
    *out = (struct herd_link_status){
        .peer = neighbour->name,
        .state = silent ? "silent" : link_state_name(link->state),
        .up = link->state == LINK_UP || (link->state == LINK_PLAIN && !silent),
        .inbound = neighbour->inbound != NULL,
        .sequence = herd_cursor_sequence(node->store, link->cursor),
        .acked = link->acked,
        .in_flight = link_in_flight(link),
    };
    return true;
}
