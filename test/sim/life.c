/*
 * A server's life: it starts with the edges of its configuration, stops as asked, or dies. A death
 * takes the node apart as its contract asks, and throws its effects away.
 */
#include <assert.h>
#include <stdlib.h>

#include "server.h"

enum { STOP_MAX_S = 5 /* what a server that stops has for its last answers */ };

void server_list_plug(struct plug *plug)
{
    struct server *server = plug->server;
    plug->next = server->plugs;
    if (plug->next != NULL)
        plug->next->prev = plug;
    server->plugs = plug;
}

void server_free_plug(struct plug *plug)
{
    struct server *server = plug->server;
    if (plug->prev != NULL)
        plug->prev->next = plug->next;
    else
        server->plugs = plug->next;
    if (plug->next != NULL)
        plug->next->prev = plug->prev;
    free(plug);
}

struct server *server_new(struct world *world, uint32_t index)
{
    struct server *server = sim_alloc(1, sizeof(*server));
    int64_t skew_ns = world->options.skew_max_ns;
    server->world = world;
    server->starved_ns = -1;
    server->index = index;
    world_server_name(index, server->name);
    server->host = (struct net_host){.name = server->name,
                                     .actor = &server_actor,
                                     .owner = server,
                                     .net = &world->net,
                                     .index = index};
    server->skew_ns = skew_ns > 0 ? rng_between(&world->rng, -skew_ns, skew_ns) : 0;
    server->links = sim_alloc(world->graph.size, sizeof(struct plug *));
    server->edges = sim_alloc(world->graph.size, sizeof(bool));
    server->disk = world->options.disks ? disk_new(server) : NULL;
    for (uint32_t i = 0; i < world->graph.size; i++)
        server->edges[i] = graph_joined(&world->graph, index, i);
    return server;
}

/* Reports all that is open as closed, all that is asked as answered, and wants nothing more. */
static void take_apart(struct server *server)
{
    mirror_forget_waits(server, NULL);
    struct herd_now now = server_now(server);
    struct herd_effect effect;
    for (struct plug *plug = server->plugs; plug != NULL; plug = plug->next) {
        if (plug->neighbour == SERVER_NOBODY)
            herd_conn_closed(plug->conn, now, "crash");
    }
    for (struct server_ask *ask = server->asks; ask != NULL; ask = ask->next) {
        if (ask->ask != NULL)
            herd_ask_answer(ask->ask, now, (struct herd_places){0});
        ask->ask = NULL;
    }
    while (herd_node_effect(server->node, now, &effect)) {
        if (effect.kind == HERD_EFFECT_PLACES)
            herd_ask_answer(effect.ask, now, (struct herd_places){0});
        herd_buf_free(&effect.output);
    }
    herd_node_free(server->node);
    server->node = NULL;
    while (server->plugs != NULL)
        server_free_plug(server->plugs);
    for (uint32_t i = 0; i < server->world->graph.size; i++)
        server->links[i] = NULL;
}

void server_free(struct server *server)
{
    if (server == NULL)
        return;
    if (server->node != NULL)
        take_apart(server);
    while (server->asks != NULL)
        server_free_ask(server->asks);
    disk_free(server->disk);
    free(server->links);
    free(server->edges);
    free(server->sets);
    free(server);
}

static void add_link(struct server *server, uint32_t neighbour)
{
    char room[16];
    struct plug *plug = sim_alloc(1, sizeof(*plug));
    *plug = (struct plug){.server = server, .neighbour = neighbour};
    server_list_plug(plug);
    server->links[neighbour] = plug;
    if (herd_node_add_neighbour(server->node, server_now(server),
                                world_server_name(neighbour, room), plug) < 0)
        abort();
}

void server_start(struct server *server)
{
    struct world *world = server->world;
    assert(server->node == NULL);
    server->lives++;
    struct herd_node_options options = {
        .name = server->name,
        .seed = rng_next(&world->rng),
        .max_skew_ns = world->options.max_skew_ns,
        .output_max = world->options.output_max,
        .pipeline_max = world->options.pipeline_max,
        .batch_records_max = world->options.batch_records_max,
        .batch_step_max = world->options.batch_step_max,
        .prune = world->options.prune,
        .durability = world->options.durability,
        .has_disk = server->disk != NULL,
        .record_ttl_ns = world->options.record_ttl_ns,
        .safety_timeout_ns = world->options.safety_timeout_ns,
        .on_line = server_on_line,
        .on_line_arg = server,
    };
    sim_trace(&world->sim, server->name, "..", "-", "(starts)");
    if (herd_node_new(&options, &server->node) < 0)
        abort();
    server->mono_base_ns = rng_between(&world->rng, 0, 1000000 * SIM_S);
    server->tick_at_ns = SIM_NEVER;
    server->turn_pending = false;
    server->stopping = false;
    server->sequence = 0;
    server->records_expired = 0;
    server->told_ended_ns = 0;
    server->starve_at = 0;
    server->starved = server->inside = false;
    server->expected = NULL;
    server->host.listening = true;
    server->host.dark = false;
    server->host.stalled_until_ns = 0;
    for (uint32_t i = 0; i < world->graph.size; i++) {
        if (server->edges[i])
            add_link(server, i);
    }
    if (server->disk != NULL && disk_has_life(server->disk))
        disk_restore(server->disk);
    server_after_event(server);
}

void server_configure(struct server *server, uint32_t neighbour, bool edge)
{
    char room[16];
    struct plug *plug = server->links[neighbour];
    bool same = server->edges[neighbour] == edge;
    server->edges[neighbour] = edge;
    if (same || server->node == NULL || server->stopping)
        return;
    sim_trace(&server->world->sim, server->name, "..", world_server_name(neighbour, room),
              edge ? "(becomes its neighbour)" : "(is its neighbour no more)");
    if (edge) {
        add_link(server, neighbour);
    } else {
        int rc = herd_node_remove_neighbour(server->node, server_now(server),
                                            world_server_name(neighbour, room));
        assert(rc == 0);
        (void)rc;
        server->links[neighbour] = NULL;
        plug->removed = true;
        if (plug->end == NULL)
            server_free_plug(plug); /* else once it is closed */
    }
    server_after_event(server);
}

void server_crash(struct server *server, bool loud)
{
    if (server->node == NULL)
        return;
    sim_trace(&server->world->sim, server->name, "..", "-", loud ? "(crashes)" : "(goes dark)");
    server->world->counts.deaths++;
    net_crash(&server->host, loud);
    if (server->disk != NULL)
        disk_crash(server->disk);
    take_apart(server);
    server->disturbed_ns = server->world->sim.now_ns;
    model_forget(&server->world->model, server->index);
}

void server_forget(struct server *server)
{
    if (server->node == NULL)
        return;
    net_crash(&server->host, true);
    if (server->disk != NULL) {
        server->disk->pending = NULL;
        disk_lose(server->disk);
    }
    take_apart(server);
    server_start(server);
}

/* Connections, or records that are not on disk yet; one that fails is not waited for. */
static bool has_more_to_do(const struct server *server)
{
    const struct plug *plug = server->plugs;
    const struct disk *disk = server->disk;
    while (plug != NULL && plug->end == NULL)
        plug = plug->next;
    return plug != NULL || (disk != NULL && disk->fails_until_ns <= server->world->sim.now_ns &&
                            !herd_node_is_persisted(server->node));
}

static void on_stopped(void *owner, uint64_t life)
{
    struct server *server = owner;
    if (server->node == NULL || server->lives != life || has_more_to_do(server))
        return;
    if (server->disk != NULL)
        disk_check_stopped(server->disk);
    server_crash(server, true);
}

void server_check_stopped(struct server *server)
{
    struct sim *sim = &server->world->sim;
    if (!has_more_to_do(server))
        sim_at(sim, sim->now_ns, on_stopped, server, server->lives);
}

static void on_stop_limit(void *owner, uint64_t life)
{
    struct server *server = owner;
    if (server->node != NULL && server->lives == life)
        server_crash(server, true);
}

void server_stop(struct server *server)
{
    struct sim *sim = &server->world->sim;
    if (server->node == NULL || server->stopping)
        return;
    sim_trace(sim, server->name, "..", "-", "(stops)");
    server->stopping = true;
    server->host.listening = false;
    server->disturbed_ns = sim->now_ns;
    mirror_give_up(server, INT64_MAX);
    herd_node_stop(server->node, server_now(server));
    sim_at(sim, sim->now_ns + STOP_MAX_S * SIM_S, on_stop_limit, server, server->lives);
    server_after_event(server);
}
