/*
 * An end is one side of a connection. A link's lives as long as its neighbour; an accepted one is
 * made when it is dialled. What one end writes reaches the other after the latency, in order.
 */
#include <stdio.h>
#include <stdlib.h>

#include <herd/posix_time.h>

#include "driver.h"
#include "mesh.h"

struct mesh_end {
    struct mesh *mesh;
    struct herd_node *node;
    struct herd_conn *conn;
    struct herd_node *peer; /* of a link; NULL: accepted */
    struct mesh_end *other; /* NULL: not connected, or a client's */
    struct mesh_end *next;
    unsigned life; /* steps with each connection */
    bool is_open;
};

enum packet_kind { PACKET_DIALLED, PACKET_FAILED, PACKET_DATA, PACKET_CLOSED };

struct mesh_packet {
    enum packet_kind kind;
    struct mesh_end *to;
    unsigned life; /* of `to`; another one: it comes too late */
    int64_t at_ns;
    struct herd_buf bytes;
    struct mesh_packet *next;
};

static void *zeroed(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        driver_fail("no memory for the test itself");
    return memory;
}

struct mesh *mesh_new(void)
{
    struct mesh *mesh = zeroed(sizeof(*mesh));
    mesh->now.mono_ns = HERD_NS_PER_S;
    mesh->now.wall_ns = MESH_WALL_S * HERD_NS_PER_S;
    return mesh;
}

static struct mesh_end *new_end(struct mesh *mesh, struct herd_node *node)
{
    struct mesh_end *end = zeroed(sizeof(*end));
    end->mesh = mesh;
    end->node = node;
    end->next = mesh->ends;
    mesh->ends = end;
    return end;
}

struct herd_node *mesh_add(struct mesh *mesh, const struct herd_node_options *options)
{
    if (mesh->count == MESH_NODES_MAX || herd_node_new(options, &mesh->nodes[mesh->count]) < 0)
        driver_fail("no node");
    return mesh->nodes[mesh->count++];
}

void mesh_join(struct mesh *mesh, struct herd_node *a, struct herd_node *b)
{
    struct mesh_end *ab = new_end(mesh, a), *ba = new_end(mesh, b);
    ab->peer = b;
    ba->peer = a;
    if (herd_node_add_neighbour(a, mesh->now, herd_node_name(b), ab) < 0 ||
        herd_node_add_neighbour(b, mesh->now, herd_node_name(a), ba) < 0)
        driver_fail("no neighbour");
}

struct mesh *mesh_new_row(size_t count, unsigned records)
{
    static const char *const names[] = {"Hill", "Jaquez", "Blake"};
    struct mesh *mesh = mesh_new();
    for (size_t i = 0; i < count; i++)
        mesh_add(mesh,
                 &(struct herd_node_options){
                     .name = names[i], .seed = i + 1, .output_max = 262144, .pipeline_max = 64});
    for (size_t i = 0; i + 1 < count; i++)
        mesh_join(mesh, mesh->nodes[i], mesh->nodes[i + 1]);
    for (size_t i = 0; i < count; i++) {
        struct herd_node *node = mesh->nodes[i];
        herd_node_restore_epoch(node, i + 1);
        herd_node_restore_life(node, &(struct herd_life){0, 0}); /* that began empty */
        for (unsigned n = 0; n < records; n++) {
            char text[160];
            int len = snprintf(text, sizeof(text),
                               "device-%08u +34.068930-118.445127 1699990000.%09u "
                               "1699990000.%09u Hill +0.100000000",
                               n, n, n);
            if (herd_node_restore_record(node, mesh->now, n + 1, herd_slice(text, (size_t)len)) < 0)
                driver_fail("no record");
        }
        for (size_t k = 0; k < count; k++)
            herd_node_restore_neighbour(node, herd_slice_of(names[k]),
                                        &(struct herd_mark){.epoch = k + 1, .sequence = records});
        herd_node_restore_end(node, records);
    }
    return mesh;
}

static void post(struct mesh *mesh, enum packet_kind kind, struct mesh_end *to, int trips,
                 struct herd_buf *take_bytes)
{
    struct mesh_packet *packet = zeroed(sizeof(*packet));
    packet->kind = kind;
    packet->to = to;
    packet->life = to->life;
    packet->at_ns = mesh->now.mono_ns + trips * MESH_LATENCY_MS * HERD_NS_PER_MS;
    if (take_bytes != NULL)
        packet->bytes = *take_bytes;
    struct mesh_packet **at = &mesh->packets;
    while (*at != NULL && (*at)->at_ns <= packet->at_ns)
        at = &(*at)->next;
    packet->next = *at;
    *at = packet;
}

static enum herd_verb verb_of(struct herd_slice line)
{
    const char *space = memchr(line.data, ' ', line.len);
    struct herd_slice word =
        herd_slice(line.data, space != NULL ? (size_t)(space - line.data) : line.len);
    for (enum herd_verb verb = HERD_VERB_IAMAT; verb < HERD_VERB_COUNT; verb++) {
        if (herd_slice_equal(word, herd_slice_of(herd_verb_name(verb))))
            return verb;
    }
    return HERD_VERB_NONE; /* `? …` */
}

static size_t dialler_of(const struct mesh_end *end)
{
    const struct herd_node *node = end->peer != NULL ? end->node : end->other->node;
    size_t i = 0;
    while (end->mesh->nodes[i] != node)
        i++;
    return i;
}

static void count_line(struct mesh_end *end, enum herd_verb verb, size_t len)
{
    struct mesh *mesh = end->mesh;
    struct mesh_traffic *traffic = &mesh->traffic[verb];
    mesh->link_bytes[dialler_of(end)][verb] += len + 1;
    traffic->lines++;
    traffic->bytes += len + 1;
    traffic->last_ns = mesh->now.mono_ns;
    if (traffic->first_ns == 0)
        traffic->first_ns = mesh->now.mono_ns;
    mesh->longest = len > mesh->longest ? len : mesh->longest;
}

/* Counts the lines, and leaves out those that are lost. */
static void pass_lines(struct mesh_end *end_of_link, struct herd_buf *bytes)
{
    const struct mesh *mesh = end_of_link->mesh;
    size_t kept = 0;
    for (char *at = bytes->data, *end = at + bytes->len, *lf; at < end; at = lf + 1) {
        lf = memchr(at, '\n', (size_t)(end - at));
        if (lf == NULL)
            driver_fail("half a line in a WRITE");
        enum herd_verb verb = verb_of(herd_slice(at, (size_t)(lf - at)));
        size_t len = (size_t)(lf - at) + 1;
        if (verb == HERD_VERB_FLOOD && mesh->loses_floods)
            continue;
        count_line(end_of_link, verb, len - 1);
        memmove(bytes->data + kept, at, len);
        kept += len;
    }
    bytes->len = kept;
}

static void on_write(struct mesh_end *end, struct herd_effect *effect)
{
    struct mesh *mesh = end->mesh;
    herd_conn_wrote(end->conn, mesh->now, effect->output.len);
    if (end->other == NULL) {
        herd_buf_append_slice(&mesh->answers, herd_buf_slice(&effect->output));
        herd_node_recycle(end->node, &effect->output);
        return;
    }
    pass_lines(end, &effect->output);
    post(mesh, PACKET_DATA, end->other, 1, &effect->output);
}

static void close_end(struct mesh_end *end, const char *reason)
{
    struct herd_conn *conn = end->conn;
    if (end->other != NULL && end->is_open)
        post(end->mesh, PACKET_CLOSED, end->other, 1, NULL);
    end->is_open = false;
    end->other = NULL;
    end->life++;
    if (end->peer == NULL)
        end->conn = NULL;
    herd_conn_closed(conn, end->mesh->now, reason);
}

static void on_effect(struct mesh *mesh, struct herd_node *node, struct herd_effect *effect)
{
    struct mesh_end *end = effect->conn != NULL ? herd_conn_data(effect->conn) : NULL;
    switch (effect->kind) {
    case HERD_EFFECT_DIAL:
        end->conn = effect->conn;
        post(mesh, mesh->is_cut ? PACKET_FAILED : PACKET_DIALLED, end, 2, NULL);
        break;
    case HERD_EFFECT_WRITE:
        on_write(end, effect);
        break;
    case HERD_EFFECT_CLOSE:
        close_end(end, "closed by this side");
        break;
    case HERD_EFFECT_PLACES:
        herd_ask_answer(effect->ask, mesh->now, herd_places_of_text("{}\n\n"));
        break;
    case HERD_EFFECT_PERSIST:
        driver_fail("no disk here");
    case HERD_EFFECT_READ:
    case HERD_EFFECT_NOTICE:
        break;
    }
    (void)node;
}

/* All that a node has to do now. */
static void settle(struct mesh *mesh, struct herd_node *node)
{
    struct herd_effect effect;
    for (unsigned ticks = 0;; ticks++) {
        while (herd_node_effect(node, mesh->now, &effect))
            on_effect(mesh, node, &effect);
        if (herd_node_wakeup(node) > mesh->now.mono_ns)
            return;
        if (ticks == 1000000)
            driver_fail("a node wants to be called for ever");
        herd_node_tick(node, mesh->now);
    }
}

static void connect_ends(struct mesh_end *link)
{
    struct mesh_end *accepted = new_end(link->mesh, link->peer);
    if (herd_node_accept(link->peer, accepted, &accepted->conn) < 0)
        driver_fail("no connection");
    accepted->other = link;
    link->other = accepted;
    accepted->is_open = link->is_open = true;
    herd_link_dialled(link->conn, link->mesh->now, NULL);
}

static void deliver(struct mesh *mesh, struct mesh_packet *packet)
{
    struct mesh_end *to = packet->to;
    bool in_time = packet->life == to->life;
    if (packet->kind == PACKET_DIALLED && mesh->is_cut)
        packet->kind = PACKET_FAILED;
    if (in_time && packet->kind == PACKET_DIALLED)
        connect_ends(to);
    else if (in_time && packet->kind == PACKET_FAILED)
        herd_link_dialled(to->conn, mesh->now, "cut");
    else if (in_time && packet->kind == PACKET_DATA && to->is_open)
        herd_conn_receive(to->conn, mesh->now, packet->bytes.data, packet->bytes.len);
    else if (in_time && packet->kind == PACKET_CLOSED && to->is_open)
        close_end(to, "closed by the other side");
    herd_buf_free(&packet->bytes);
}

static void settle_all(struct mesh *mesh)
{
    for (size_t i = 0; i < mesh->count; i++)
        settle(mesh, mesh->nodes[i]);
}

static int64_t next_event(const struct mesh *mesh)
{
    int64_t next = mesh->packets != NULL ? mesh->packets->at_ns : INT64_MAX;
    for (size_t i = 0; i < mesh->count; i++) {
        int64_t wakeup = herd_node_wakeup(mesh->nodes[i]);
        next = wakeup < next ? wakeup : next;
    }
    return next;
}

static void go_to(struct mesh *mesh, int64_t mono_ns)
{
    mesh->now.wall_ns += mono_ns - mesh->now.mono_ns;
    mesh->now.mono_ns = mono_ns;
}

void mesh_run_ms(struct mesh *mesh, int64_t ms)
{
    int64_t until_ns = mesh->now.mono_ns + ms * HERD_NS_PER_MS, next_ns;
    settle_all(mesh);
    while ((next_ns = next_event(mesh)) <= until_ns) {
        go_to(mesh, next_ns);
        while (mesh->packets != NULL && mesh->packets->at_ns <= mesh->now.mono_ns) {
            struct mesh_packet *packet = mesh->packets;
            mesh->packets = packet->next;
            deliver(mesh, packet);
            free(packet);
        }
        settle_all(mesh);
    }
    go_to(mesh, until_ns);
}

bool mesh_is_equal(const struct mesh *mesh)
{
    const struct herd_store *first = herd_node_store(mesh->nodes[0]);
    for (size_t i = 1; i < mesh->count; i++) {
        const struct herd_store *store = herd_node_store(mesh->nodes[i]);
        if (herd_store_digest(store) != herd_store_digest(first) ||
            herd_store_count(store) != herd_store_count(first))
            return false;
    }
    return true;
}

int64_t mesh_run_to_equal(struct mesh *mesh, int64_t ms_max)
{
    for (int64_t ms = 0; ms < ms_max; ms += 10) {
        if (mesh_is_equal(mesh))
            return ms;
        mesh_run_ms(mesh, 10);
    }
    return -1;
}

void mesh_say(struct mesh *mesh, struct herd_node *node, struct herd_slice lines)
{
    struct mesh_end *client = new_end(mesh, node);
    mesh->answers.len = 0;
    if (herd_node_accept(node, client, &client->conn) < 0)
        driver_fail("no connection");
    client->is_open = true;
    herd_conn_receive(client->conn, mesh->now, lines.data, lines.len);
    settle(mesh, node);
    if (client->conn != NULL)
        close_end(client, "gone");
    settle(mesh, node);
}

void mesh_cut(struct mesh *mesh)
{
    mesh->is_cut = true;
    for (struct mesh_end *end = mesh->ends; end != NULL; end = end->next) {
        end->other = NULL; /* no packet tells of it */
        if (end->is_open)
            close_end(end, "cut");
    }
    settle_all(mesh);
}

void mesh_heal(struct mesh *mesh)
{
    mesh->is_cut = false;
}

void mesh_forget_traffic(struct mesh *mesh)
{
    memset(mesh->traffic, 0, sizeof(mesh->traffic));
    memset(mesh->link_bytes, 0, sizeof(mesh->link_bytes));
    mesh->longest = 0;
}

uint64_t mesh_bytes(const struct mesh *mesh, const enum herd_verb *verbs)
{
    uint64_t bytes = 0;
    for (; *verbs != HERD_VERB_NONE; verbs++)
        bytes += mesh->traffic[*verbs].bytes;
    return bytes;
}

uint64_t mesh_link_bytes(const struct mesh *mesh, size_t dialler, const enum herd_verb *verbs)
{
    uint64_t bytes = 0;
    for (; *verbs != HERD_VERB_NONE; verbs++)
        bytes += mesh->link_bytes[dialler][*verbs];
    return bytes;
}

void mesh_describe(const struct mesh *mesh, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (enum herd_verb verb = HERD_VERB_NONE; verb < HERD_VERB_COUNT; verb++) {
        const struct mesh_traffic *traffic = &mesh->traffic[verb];
        if (traffic->lines > 0 && len < size)
            len += (size_t)snprintf(out + len, size - len, " %s %llu/%llu",
                                    verb == HERD_VERB_NONE ? "?" : herd_verb_name(verb),
                                    (unsigned long long)traffic->lines,
                                    (unsigned long long)traffic->bytes);
    }
}

void mesh_free(struct mesh *mesh)
{
    while (mesh->packets != NULL) {
        struct mesh_packet *packet = mesh->packets;
        mesh->packets = packet->next;
        herd_buf_free(&packet->bytes);
        free(packet);
    }
    mesh_cut(mesh);
    while (mesh->packets != NULL) { /* of dials after the cut */
        struct mesh_packet *packet = mesh->packets;
        mesh->packets = packet->next;
        free(packet);
    }
    for (size_t i = 0; i < mesh->count; i++)
        herd_node_free(mesh->nodes[i]);
    while (mesh->ends != NULL) {
        struct mesh_end *end = mesh->ends;
        mesh->ends = end->next;
        free(end);
    }
    herd_buf_free(&mesh->answers);
    free(mesh);
}
