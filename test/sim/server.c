/*
 * A server's turn: an event goes into the node, the model is asked what should have come of each
 * line, and at the end of the turn the node's effects are carried out.
 *
 *   on_bytes, on_wrote, on_end, on_closed, on_dialled, on_tick, on_places
 *     -> herd_… -> after_event -> [the turn ends] -> run_effects -> net_…
 */
#include <assert.h>
#include <stdlib.h>

#include "core/link.h"
#include "phone.h"
#include "server.h"
#include "shortage.h"
#include "words.h"

enum { PLACES_MAX_MS = 300 /* what the provider takes */ };

struct herd_now server_now(const struct server *server)
{
    int64_t now_ns = server->world->sim.now_ns;
    return (struct herd_now){.wall_ns = world_wall_ns(server->world) + server->skew_ns,
                             .mono_ns = server->mono_base_ns + now_ns};
}

void server_set_clock(struct server *server, int64_t skew_ns)
{
    if (server->set_count == server->set_cap) {
        size_t cap = server->set_cap > 0 ? server->set_cap * 2 : 8;
        struct clock_set *sets = sim_alloc(cap, sizeof(*sets));
        for (size_t i = 0; i < server->set_count; i++)
            sets[i] = server->sets[i];
        free(server->sets);
        server->sets = sets;
        server->set_cap = cap;
    }
    server->sets[server->set_count++] =
        (struct clock_set){server->world->sim.now_ns, server_now(server).wall_ns};
    server->skew_ns = skew_ns;
    sim_trace(&server->world->sim, server->name, "..", "-", "(its clock is %.3f s ahead)",
              (double)skew_ns / (double)SIM_S);
}

int64_t server_latest_ns(const struct server *server, int64_t since_ns)
{
    int64_t latest_ns = server_now(server).wall_ns;
    for (size_t i = server->set_count; i-- > 0 && server->sets[i].at_ns >= since_ns;) {
        if (server->sets[i].before_ns > latest_ns)
            latest_ns = server->sets[i].before_ns;
    }
    return latest_ns;
}

bool server_has_ended(const struct server *server, const struct model_record *record)
{
    int64_t ttl_ns = server->world->options.record_ttl_ns;
    return ttl_ns > 0 && record->fields.received_ns <= server_now(server).wall_ns - ttl_ns;
}

bool server_doubts(const struct server *server)
{
    for (uint32_t i = 0; i < server->world->graph.size; i++) {
        const struct plug *plug = server->links[i];
        if (plug != NULL && plug->conn != NULL && conn_link(plug->conn)->refused)
            return true;
    }
    return false;
}

void server_enter(struct server *server)
{
    server->inside = server->starve_at > 0;
    if (server->inside)
        shortage_begin(server->starve_at, false);
}

void server_leave(struct server *server)
{
    struct world *world = server->world;
    if (!server->inside)
        return;
    shortage_end();
    server->inside = false;
    server->starve_at = shortage_left();
    if (server->starve_at > 0)
        return;
    server->starved = true;
    server->starved_ns = world->sim.now_ns;
    if (server->disk != NULL)
        disk_excuse(server->disk, world->sim.now_ns);
    sim_trace(&world->sim, server->name, "..", "-", "(an allocation fails)");
    world->counts.faults[FAULT_STARVE]++;
}

static bool is_stalled(const struct server *server)
{
    return server->host.stalled_until_ns > server->world->sim.now_ns;
}

static const char *name_of_peer(const struct plug *plug)
{
    return plug->end != NULL ? net_peer(plug->end)->host->name : "-";
}

/* With durability commit, ACK <epoch> <sequence> speaks for this server's disk; but to nobody where
 * the dialler has died since, and its sequences may be those of other records now. */
static void check_ack(struct server *server, const struct plug *plug, struct herd_slice line)
{
    struct world *world = server->world;
    struct herd_slice fields[WORDS_FIELDS_MAX];
    if (world->options.durability != HERD_DURABILITY_COMMIT || server->disk == NULL ||
        plug->neighbour != SERVER_NOBODY || line.len < 4 || memcmp(line.data, "ACK ", 4) != 0 ||
        words_split(line, fields) < 3 || net_peer(plug->end)->state == NET_GONE)
        return;
    const struct server *dialler = world->servers[net_peer(plug->end)->host->index];
    if (dialler == NULL || dialler->node == NULL ||
        herd_node_epoch(dialler->node) != strtoull(fields[1].data, NULL, 16))
        return;
    disk_check_acknowledged(server->disk, dialler->disk, strtoull(fields[2].data, NULL, 10));
}

static void see_line(struct server *server, struct plug *plug, enum herd_direction direction,
                     struct herd_slice line)
{
    if (direction == HERD_RECEIVED) {
        mirror_line(plug, line);
        return;
    }
    if (server->world->sim.trace != NULL)
        sim_trace(&server->world->sim, server->name, "->", name_of_peer(plug), "%.*s",
                  line.len > 0 ? (int)line.len : 15, line.len > 0 ? line.data : "(an empty line)");
    if (server->world->closing)
        return;
    uint32_t to = plug->end != NULL ? net_peer(plug->end)->host->index : SERVER_NOBODY;
    if (to >= server->world->graph.size)
        return;
    check_ack(server, plug, line);
    bool mends = plug->mends > 0 && line.len > 6 && memcmp(line.data, "FLOOD ", 6) == 0;
    plug->mends -= mends;
    world_line_sent(server->world, to, line, mends);
}

void server_on_line(void *arg, const struct herd_conn *conn, enum herd_direction direction,
                    struct herd_slice line)
{
    bool on = shortage_pause();
    see_line(arg, herd_conn_data(conn), direction, line);
    shortage_resume(on);
}

static void schedule_tick(struct server *server);

static void on_tick(void *owner, uint64_t arg)
{
    struct server *server = owner;
    struct sim *sim = &server->world->sim;
    (void)arg;
    if (server->node == NULL || sim->now_ns != server->tick_at_ns)
        return;
    server->tick_at_ns = SIM_NEVER;
    if (is_stalled(server)) {
        schedule_tick(server);
        return;
    }
    struct herd_now now = server_now(server);
    if (herd_node_wakeup(server->node) > now.mono_ns) {
        schedule_tick(server);
        return;
    }
    if (plant_is(&server->world->plant, PLANT_NO_TICK, server->index))
        return;
    mirror_give_up(server, now.mono_ns);
    server_enter(server);
    herd_node_tick(server->node, now);
    server_leave(server);
    server_after_event(server);
}

/* One event on the queue: the earliest that was ever asked for. It looks again when it comes. */
static void schedule_tick(struct server *server)
{
    struct sim *sim = &server->world->sim;
    int64_t wakeup_ns = herd_node_wakeup(server->node);
    if (wakeup_ns == INT64_MAX)
        return;
    int64_t at_ns = wakeup_ns == INT64_MIN ? sim->now_ns : wakeup_ns - server->mono_base_ns;
    if (at_ns < sim->now_ns)
        at_ns = sim->now_ns;
    if (at_ns < server->host.stalled_until_ns)
        at_ns = server->host.stalled_until_ns;
    if (at_ns >= server->tick_at_ns)
        return;
    server->tick_at_ns = at_ns;
    sim_at(sim, at_ns, on_tick, server, 0);
}

void server_free_ask(struct server_ask *ask)
{
    struct server *server = ask->server;
    if (ask->prev != NULL)
        ask->prev->next = ask->next;
    else
        server->asks = ask->next;
    if (ask->next != NULL)
        ask->next->prev = ask->prev;
    free(ask);
}

static int render_places(const void *data, unsigned count, struct herd_buf *out)
{
    const struct herd_buf *json = data;
    (void)count;
    return herd_buf_append_slice(out, herd_buf_slice(json));
}

static void let_places_go(void *data)
{
    struct herd_buf *json = data;
    herd_buf_free(json);
    free(json);
}

static struct herd_places places_of(const struct server_ask *ask)
{
    static const struct herd_places_type type = {.render = render_places, .let_go = let_places_go};
    struct herd_buf *json = sim_alloc(1, sizeof(*json));
    words_places(json, ask->where, ask->radius_m,
                 plant_places_count(&ask->server->world->plant, ask->count));
    /* Some are kept, others asked again. */
    return (struct herd_places){&type, json, ask->count % 2 == 0 ? json->cap : 0};
}

static void on_places(void *owner, uint64_t arg)
{
    struct server_ask *ask = owner;
    struct server *server = ask->server;
    (void)arg;
    if (ask->ask != NULL && is_stalled(server)) {
        sim_at(&server->world->sim, server->host.stalled_until_ns, on_places, owner, arg);
        return;
    }
    if (ask->ask != NULL) {
        struct herd_places places = places_of(ask);
        server_enter(server);
        herd_ask_answer(ask->ask, server_now(server), places);
        server_leave(server);
        server_after_event(server);
    }
    server_free_ask(ask);
}

static void ask_places(struct server *server, const struct herd_effect *effect)
{
    struct world *world = server->world;
    struct server_ask *ask = sim_alloc(1, sizeof(*ask));
    *ask = (struct server_ask){.server = server,
                               .ask = effect->ask,
                               .next = server->asks,
                               .where = effect->where,
                               .radius_m = effect->radius_m,
                               .count = effect->count};
    if (ask->next != NULL)
        ask->next->prev = ask;
    server->asks = ask;
    int64_t delay_ns = rng_between(&world->rng, 0, PLACES_MAX_MS * SIM_MS);
    sim_at(&world->sim, world->sim.now_ns + delay_ns, on_places, ask, 0);
}

static void close_plug(struct server *server, struct plug *plug, bool abort_it)
{
    struct sim *sim = &server->world->sim;
    if (plug->neighbour != SERVER_NOBODY)
        sim_trace(sim, server->name, "..", server->world->hosts[plug->neighbour]->name, "(closes)");
    if (plant_is(&server->world->plant, PLANT_FORGET_CLOSE, server->index) &&
        plug->neighbour != SERVER_NOBODY)
        return;
    if (abort_it || plug->end->state != NET_OPEN)
        net_abort(plug->end);
    else
        net_close(plug->end);
}

/* A neighbour that takes nothing holds up the window; a client that takes nothing, its own lines.
 */
static void check_output(struct plug *plug, size_t len)
{
    struct world *world = plug->server->world;
    const struct world_options *options = &world->options;
    size_t under_way = net_untaken(plug->end) + len;
    if (plug->neighbour != SERVER_NOBODY) {
        if (under_way > LINK_WINDOW_BYTES + HERD_LINE_MAX + 256)
            sim_fail(&world->sim, SIM_WINDOW, "%s has %zu bytes on the way to %s",
                     plug->server->name, under_way, name_of_peer(plug));
        return;
    }
    size_t answer_max = 2 * HERD_LINE_MAX; /* and what waits behind it */
    if (under_way > 2 * (options->output_max + answer_max))
        sim_fail(&world->sim, SIM_GROWTH, "%s has %zu bytes on the way to %s", plug->server->name,
                 under_way, name_of_peer(plug));
}

static void write_out(struct server *server, struct herd_effect *effect)
{
    struct plug *plug = herd_conn_data(effect->conn);
    struct plant *plant = &server->world->plant;
    if (plug->end != NULL && plug->end->state == NET_OPEN) {
        check_output(plug, effect->output.len);
        plant_output(plant, plug, &effect->output);
        if (server->world->options.lose_digests)
            plant_lose_lines(&effect->output, "DIGEST ");
        struct herd_slice before =
            plant_before_output(plant, plug, herd_buf_slice(&effect->output));
        plug->planted += before.len;
        net_write(plug->end, before.data, before.len);
        net_write(plug->end, effect->output.data, effect->output.len);
        plant_after_output(plant, plug);
        if (plant_wrote_early(plant, plug))
            herd_conn_wrote(plug->conn, server_now(server), effect->output.len);
    }
    herd_node_recycle(server->node, &effect->output);
}

static void run_effect(struct server *server, struct herd_effect *effect)
{
    struct world *world = server->world;
    struct plug *plug = effect->conn != NULL ? herd_conn_data(effect->conn) : NULL;
    switch (effect->kind) {
    case HERD_EFFECT_DIAL:
        sim_trace(&world->sim, server->name, "..", world->hosts[plug->neighbour]->name, "(dials)");
        plug->conn = effect->conn;
        plug->planted = plug->mends = 0;
        plug->end = net_dial(&server->host, world->hosts[plug->neighbour], plug);
        break;
    case HERD_EFFECT_WRITE:
        write_out(server, effect);
        break;
    case HERD_EFFECT_READ:
        if (plug->end != NULL)
            net_read(plug->end, effect->read);
        break;
    case HERD_EFFECT_CLOSE:
        plug->conn = effect->conn;
        close_plug(server, plug, effect->abort);
        break;
    case HERD_EFFECT_PLACES:
        ask_places(server, effect);
        break;
    case HERD_EFFECT_PERSIST:
        disk_persist(server->disk, effect->batch);
        break;
    case HERD_EFFECT_NOTICE:
        sim_mix(&world->sim, effect->notice.kind);
        break;
    }
}

static bool next_effect(struct server *server, struct herd_now now, struct herd_effect *out)
{
    server_enter(server);
    bool more = herd_node_effect(server->node, now, out);
    server_leave(server);
    return more;
}

static void run_effects(struct server *server)
{
    struct herd_now now = server_now(server);
    struct herd_effect effect;
    while (next_effect(server, now, &effect))
        run_effect(server, &effect);
    schedule_tick(server);
    if (server->stopping)
        server_check_stopped(server);
}

static void on_turn(void *owner, uint64_t life)
{
    struct server *server = owner;
    if (server->node == NULL || server->lives != life)
        return;
    if (is_stalled(server)) {
        sim_at(&server->world->sim, server->host.stalled_until_ns, on_turn, owner, life);
        return;
    }
    server->turn_pending = false;
    run_effects(server);
}

void server_after_event(struct server *server)
{
    struct world *world = server->world;
    mirror_settle(server);
    mirror_expire(server);
    if (world->options.turn_max_ns == 0) {
        run_effects(server);
    } else if (!server->turn_pending) {
        int64_t turn_ns = rng_between(&world->rng, 0, world->options.turn_max_ns);
        server->turn_pending = true;
        sim_at(&world->sim, world->sim.now_ns + turn_ns, on_turn, server, server->lives);
    }
}

static void on_accept(void *owner, struct net_end *end)
{
    struct server *server = owner;
    struct plug *plug = sim_alloc(1, sizeof(*plug));
    *plug = (struct plug){.server = server, .end = end, .neighbour = SERVER_NOBODY};
    server_enter(server);
    int rc = herd_node_accept(server->node, plug, &plug->conn);
    server_leave(server);
    if (rc < 0) {
        free(plug);
        end->data = NULL;
        net_abort(end);
        return;
    }
    server_list_plug(plug);
    end->data = plug;
}

static void on_dialled(void *owner, struct net_end *end, const char *failure)
{
    struct server *server = owner;
    struct plug *plug = end->data;
    if (failure != NULL) {
        sim_trace(&server->world->sim, server->name, "..", end->wire->ends[1].host->name, "(%s)",
                  failure);
        plug->end = NULL;
    }
    server_enter(server);
    herd_link_dialled(plug->conn, server_now(server), failure);
    server_leave(server);
    if (failure != NULL && plug->removed)
        server_free_plug(plug);
    server_after_event(server);
}

/* On a link; what the flood sends, it sends when effects are taken. */
static uint64_t records_sent(const struct plug *plug)
{
    return plug->neighbour != SERVER_NOBODY ? conn_link(plug->conn)->sent : 0;
}

static void on_bytes(void *owner, struct net_end *end, const char *data, size_t len)
{
    struct server *server = owner;
    struct plug *plug = end->data;
    struct herd_slice bytes = plant_input(&server->world->plant, plug, herd_slice(data, len));
    uint64_t sent = records_sent(plug);
    server_enter(server);
    herd_conn_receive(plug->conn, server_now(server), bytes.data, bytes.len);
    server_leave(server);
    plug->mends += records_sent(plug) - sent;
    server_after_event(server);
}

static void on_end(void *owner, struct net_end *end)
{
    struct server *server = owner;
    struct plug *plug = end->data;
    server_enter(server);
    herd_conn_end(plug->conn, server_now(server));
    server_leave(server);
    server_after_event(server);
}

static void on_wrote(void *owner, struct net_end *end, size_t len)
{
    struct server *server = owner;
    struct plug *plug = end->data;
    if (plant_wrote_early(&server->world->plant, plug))
        return;
    size_t planted = len < plug->planted ? len : plug->planted;
    plug->planted -= planted;
    herd_conn_wrote(plug->conn, server_now(server), len - planted);
    server_after_event(server);
}

static void on_closed(void *owner, struct net_end *end, const char *reason)
{
    struct server *server = owner;
    struct plug *plug = end->data;
    if (plug == NULL)
        return; /* it was refused */
    mirror_forget_waits(server, plug);
    server_enter(server);
    herd_conn_closed(plug->conn, server_now(server), reason);
    server_leave(server);
    plug->end = NULL;
    if (plug->neighbour == SERVER_NOBODY || plug->removed)
        server_free_plug(plug);
    server_after_event(server);
}

const struct net_actor server_actor = {.on_accept = on_accept,
                                       .on_dialled = on_dialled,
                                       .on_bytes = on_bytes,
                                       .on_end = on_end,
                                       .on_wrote = on_wrote,
                                       .on_closed = on_closed};
