#include <stdlib.h>
#include <string.h>

#include "phone.h"
#include "plain.h"
#include "server.h"
#include "words.h"
#include "world.h"

const char *world_server_name(uint32_t i, char room[16])
{
    static const char *const names[] = {"Hill", "Jaquez", "Smith", "Campbell", "Singleton"};
    if (i < sizeof(names) / sizeof(names[0]))
        snprintf(room, 16, "%s", names[i]);
    else
        snprintf(room, 16, "S%u", (unsigned)i);
    return room;
}

/* Simple servers, here and there, but so that ours are connected without them: a simple one does
 * not pass on what it once failed to. */
static void choose_plain(struct world *world)
{
    uint32_t size = world->graph.size;
    uint32_t left = world->options.plain;
    uint32_t ours = size;
    for (uint32_t i = 0; i < size; i++)
        world->ours[i] = true;
    for (uint32_t tries = 0; left > 0 && tries < size * 4; tries++) {
        uint32_t i = (uint32_t)rng_below(&world->rng, size);
        bool was = world->ours[i];
        world->ours[i] = false;
        if (was && ours > 1 && graph_connected(&world->graph, world->ours)) {
            left--;
            ours--;
        } else {
            world->ours[i] = was;
        }
    }
    world->options.plain -= left;
}

static enum plain_manner manner_of(struct world *world, uint32_t i)
{
    static const char letters[] = "m1cs"; /* as in enum plain_manner */
    if (world->options.kinds == NULL)
        return (enum plain_manner)rng_below(&world->rng, PLAIN_MANNERS);
    return (enum plain_manner)(strchr(letters, world->options.kinds[i]) - letters);
}

static void make_servers(struct world *world)
{
    uint32_t size = world->graph.size;
    world->servers = sim_alloc(size, sizeof(struct server *));
    world->plains = sim_alloc(size, sizeof(struct plain *));
    world->hosts = sim_alloc(size, sizeof(struct net_host *));
    world->ours = sim_alloc(size, sizeof(bool));
    choose_plain(world);
    for (uint32_t i = 0; i < size; i++) {
        if (world->options.kinds != NULL)
            world->ours[i] = world->options.kinds[i] == 'o';
        if (world->ours[i]) {
            world->servers[i] = server_new(world, i);
            world->hosts[i] = &world->servers[i]->host;
        } else {
            world->plains[i] = plain_new(world, i, manner_of(world, i));
            world->hosts[i] = &world->plains[i]->host;
        }
    }
}

static void make_phones(struct world *world)
{
    char name[16];
    world->phones = sim_alloc(world->options.phones, sizeof(struct phone *));
    for (uint32_t i = 0; i < world->options.phones; i++) {
        snprintf(name, sizeof(name), "phone%u", (unsigned)i);
        world->phones[i] = phone_new(world, world->graph.size + 2 + i, name, false);
    }
    world->probe = phone_new(world, world->graph.size, "client", true);
    fault_make_stranger(world, world->graph.size + 1);
}

static void make_model(struct world *world)
{
    uint32_t clients = world->options.clients;
    struct herd_buf *ids = sim_alloc(clients, sizeof(*ids));
    struct herd_slice *slices = sim_alloc(clients, sizeof(*slices));
    for (uint32_t i = 0; i < clients; i++) {
        if (world->options.names != NULL)
            words_append(&ids[i], herd_slice_of(world->options.names[i]));
        else
            words_id(&ids[i], i);
        slices[i] = herd_buf_slice(&ids[i]);
    }
    model_init(&world->model, &world->sim, world->graph.size, clients, slices,
               world->options.max_skew_ns);
    for (uint32_t i = 0; i < clients; i++)
        herd_buf_free(&ids[i]);
    free(ids);
    free(slices);
}

void world_init(struct world *world, const struct world_options *options)
{
    *world = (struct world){.options = *options, .calm_ns = SIM_NEVER};
    world->rng.state = options->seed;
    sim_init(&world->sim);
    world->sim.trace = options->trace;
    graph_init(&world->graph, options->graph, options->servers, &world->rng);
    net_init(&world->net, &world->sim, &options->net, rng_next(&world->rng), world->graph.size);
    plant_init(&world->plant, options->plant, rng_next(&world->rng));
    make_model(world);
    make_servers(world);
    make_phones(world);
}

void world_start(struct world *world)
{
    for (uint32_t i = 0; i < world->graph.size; i++) {
        if (world->ours[i])
            server_start(world->servers[i]);
        else
            plain_start(world->plains[i]);
    }
}

void world_close(struct world *world)
{
    world->closing = true;
    for (uint32_t i = 0; i < world->graph.size; i++) {
        server_free(world->servers[i]);
        plain_free(world->plains[i]);
    }
    for (uint32_t i = 0; i < world->options.phones; i++)
        phone_free(world->phones[i]);
    phone_free(world->probe);
    free(world->phones);
    free(world->servers);
    free(world->plains);
    free(world->hosts);
    free(world->ours);
    net_close_all(&world->net);
    model_close(&world->model);
    graph_close(&world->graph);
    plant_close(&world->plant);
    sim_close(&world->sim);
}

static bool begins(struct herd_slice line, const char *word)
{
    size_t len = strlen(word);
    return line.len >= len && memcmp(line.data, word, len) == 0;
}

void world_line_sent(struct world *world, uint32_t to, struct herd_slice line, bool mends)
{
    if (!begins(line, "FLOOD ")) {
        bool asks = !world->ours[to] && begins(line, "HELLO "); /* whether it is plain indeed */
        world->asked = world->asked || (asks && world->quiet);
        world->counts.controls++;
        world->counts.control_bytes += line.len + 1;
        if (world->quiet && !asks && !begins(line, "PING") && !begins(line, "PONG"))
            sim_fail(&world->sim, SIM_QUIET, "said when all was said: %.*s", (int)line.len,
                     line.data);
        return;
    }
    world->counts.floods++;
    world->counts.flood_bytes += line.len + 1;
    /* One that closes because it was asked gets all records anew. */
    if (world->quiet && !(world->asked && !world->ours[to]))
        sim_fail(&world->sim, SIM_QUIET, "a flood that does not end: %.*s", (int)line.len,
                 line.data);
    if (!world->count_floods)
        return;
    const char *text = memchr(line.data + 6, ' ', line.len - 6);
    size_t skip = text != NULL ? (size_t)(text - line.data) + 1 : line.len;
    struct model_record *record =
        model_find(&world->model, herd_slice(line.data + skip, line.len - skip));
    if (record != NULL)
        (*(mends ? &record->mends : &record->floods))++;
}

void world_heal(struct world *world)
{
    uint32_t size = world->graph.size;
    world->faulty = false;
    world->healed_ns = world->sim.now_ns;
    world->net.slow = 0;
    memset(world->net.cuts, 0, (size_t)size * size);
    for (uint32_t i = 0; i < size; i++) {
        struct server *server = world->servers[i];
        for (uint32_t near = 0; server != NULL && near < size; near++)
            server_configure(server, near, graph_joined(&world->graph, i, near));
        if (server != NULL) {
            server->starve_at = 0;
            fault_set_clock_right(server);
        }
        if (server != NULL && server->disk != NULL)
            disk_heal(server->disk);
        if (server != NULL && server->node == NULL)
            server_start(server);
    }
}

bool world_has_ended(const struct world *world, const struct model_record *record)
{
    bool ended = record->ended;
    for (uint32_t i = 0; i < world->graph.size && world->options.record_ttl_ns > 0; i++)
        ended = ended || (world->ours[i] && server_has_ended(world->servers[i], record));
    return ended;
}

bool world_is_up(const struct world *world)
{
    for (uint32_t i = 0; i < world->graph.size; i++) {
        if (world->ours[i] ? world->servers[i]->node == NULL || world->servers[i]->stopping
                           : !world->plains[i]->running)
            return false;
    }
    return true;
}

/* A simple server says what it learns once. What gets lost then, it keeps to itself; all others
 * hold at least what our servers hold. */
static bool is_plain_even(const struct world *world, uint32_t i, uint32_t client,
                          const struct model_record *newest)
{
    const struct model_record *held = model_held(&world->model, i, client);
    if (held == newest)
        return true;
    bool ours_near = false;
    for (uint32_t near = 0; near < world->graph.size; near++)
        ours_near = ours_near || (world->ours[near] && graph_joined(&world->graph, i, near));
    if (!ours_near)
        return true;
    if (held == NULL || (newest != NULL && model_compare(held, newest) < 0))
        return false;
    return world->counts.plain_dropped > 0 || world->counts.deaths > 0;
}

/* Servers whose clocks differ let a record go at different times: till then they differ. */
static bool is_ending(const struct world *world, uint32_t client)
{
    bool ending = false;
    for (uint32_t i = 0; i < world->graph.size && world->options.record_ttl_ns > 0; i++) {
        const struct model_record *held = model_held(&world->model, i, client);
        ending = ending || (held != NULL && world_has_ended(world, held));
    }
    return ending;
}

/* The first server that does not hold what it should, and of which client. */
static bool find_difference(const struct world *world, uint32_t *server, uint32_t *of)
{
    for (uint32_t client = 0; client < world->model.client_count; client++) {
        const struct model_record *newest = model_newest(&world->model, client, world->ours);
        if (is_ending(world, client))
            continue;
        for (uint32_t i = 0; i < world->graph.size; i++) {
            *server = i;
            *of = client;
            if (world->ours[i] ? model_held(&world->model, i, client) != newest
                               : !is_plain_even(world, i, client, newest))
                return true;
        }
    }
    return false;
}

bool world_is_even(const struct world *world)
{
    uint32_t server, client;
    return world_is_up(world) && !find_difference(world, &server, &client);
}

void world_fail_uneven(struct world *world)
{
    uint32_t server, client;
    if (!find_difference(world, &server, &client))
        return;
    const struct model_record *newest = model_newest(&world->model, client, world->ours);
    const struct model_record *held = model_held(&world->model, server, client);
    sim_fail(&world->sim, SIM_EQUAL, "%s holds `%.*s`, not `%.*s`", world->hosts[server]->name,
             held != NULL ? (int)held->text.len : 0, held != NULL ? held->text.data : "",
             newest != NULL ? (int)newest->text.len : 0, newest != NULL ? newest->text.data : "");
}

/* A connection that a link has dialled, or on which a neighbour has said HELLO: those a server asks
 * whether they live. Others are their kernel's business. */
static bool is_watched(struct net_end *end)
{
    const struct plug *plug = end->data;
    return plug != NULL && plug->conn != NULL && herd_conn_peer(plug->conn) != NULL;
}

bool world_is_whole(const struct world *world)
{
    for (uint32_t i = 0; i < world->graph.size; i++) {
        if (!world->ours[i] && plain_is_busy(world->plains[i]))
            return false;
        struct net_end *end = world->ours[i] ? world->hosts[i]->ends : NULL;
        for (; end != NULL; end = end->next) {
            enum net_state peer = net_peer(end)->state;
            if (is_watched(end) && (end->wire->hole || peer == NET_GONE || peer == NET_CLOSED))
                return false;
        }
    }
    return true;
}

bool world_is_linked(const struct world *world)
{
    struct herd_link_status status;
    for (uint32_t i = 0; i < world->graph.size; i++) {
        const struct server *server = world->servers[i];
        if (server == NULL)
            continue;
        if (server->node == NULL)
            return false;
        uint64_t sequence = herd_store_sequence(herd_node_store(server->node));
        for (size_t k = 0; herd_node_link(server->node, k, &status); k++) {
            if (!status.up || status.sequence < sequence)
                return false;
        }
    }
    return true;
}

static bool is_calm(const struct world *world)
{
    bool calm = world_is_up(world) && world_is_whole(world) && world_is_linked(world) &&
                net_is_settled(&world->net);
    for (uint32_t i = 0; i < world->graph.size && calm; i++) {
        const struct server *server = world->servers[i];
        calm = world->hosts[i]->stalled_until_ns <= world->sim.now_ns &&
               (server == NULL || server->disk == NULL || disk_is_sound(server->disk)) &&
               (server == NULL || !server_doubts(server));
    }
    return calm;
}

void world_note_calm(struct world *world)
{
    if (!is_calm(world))
        world->calm_ns = SIM_NEVER;
    else if (world->calm_ns == SIM_NEVER)
        world->calm_ns = world->sim.now_ns;
}

bool world_is_left(const struct world *world)
{
    for (uint32_t i = 0; i < world->options.phones; i++) {
        if (world->phones[i]->host.ends != NULL)
            return false;
    }
    for (uint32_t i = 0; i < world->graph.size; i++) {
        for (struct net_end *end = world->hosts[i]->ends; end != NULL; end = end->next) {
            if (net_peer(end)->host->index >= world->graph.size)
                return false;
        }
    }
    return true;
}

uint64_t world_waiting(const struct world *world)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < world->options.phones; i++)
        count += phone_waits(world->phones[i]);
    return count;
}

void world_audit(struct world *world)
{
    for (uint32_t i = 0; i < world->graph.size; i++) {
        if (world->ours[i] && world->servers[i]->node != NULL)
            server_audit(world->servers[i]);
    }
}

void world_check_digests(struct world *world)
{
    const struct server *first = NULL;
    for (uint32_t i = 0; i < world->graph.size; i++) {
        const struct server *server = world->servers[i];
        if (server == NULL || server->node == NULL)
            continue;
        if (first == NULL)
            first = server;
        if (herd_store_digest(herd_node_store(server->node)) !=
            herd_store_digest(herd_node_store(first->node)))
            sim_fail(&world->sim, SIM_EQUAL, "%s and %s hold the same, and their digests differ",
                     first->name, server->name);
    }
}

static bool holds(const struct world *world, uint32_t i, const struct model_record *promised)
{
    const struct model_record *own = model_held(&world->model, i, promised->client);
    return own != NULL && model_compare(own, promised) >= 0 &&
           (!world->ours[i] || server_holds(world->servers[i], own));
}

void world_check_promises(struct world *world)
{
    for (uint32_t client = 0; client < world->model.client_count; client++) {
        const struct model_record *promised = world->model.clients[client].promised;
        bool kept = promised == NULL || world_has_ended(world, promised);
        for (uint32_t i = 0; i < world->graph.size && !kept; i++)
            kept = holds(world, i, promised);
        if (!kept)
            sim_fail(&world->sim, SIM_LOST, "nobody holds %.*s", (int)promised->text.len,
                     promised->text.data);
    }
}
