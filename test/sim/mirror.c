/*
 * Before a node handles a line, the model says what should come of it; when the next line comes, or
 * the event is over, it is seen whether that is what came.
 */
#include <stdlib.h>

#include "phone.h"
#include "server.h"
#include "words.h"

bool server_holds(const struct server *server, const struct model_record *record)
{
    struct herd_record held;
    const struct herd_record *own = &record->fields;
    return herd_store_find(herd_node_store(server->node), own->client, &held) &&
           herd_slice_equal(own->location, held.location) &&
           herd_slice_equal(own->sent, held.sent) &&
           herd_slice_equal(own->received, held.received) &&
           herd_slice_equal(own->origin, held.origin) && herd_slice_equal(own->diff, held.diff);
}

static void check_kept(struct server *server, const struct model_record *record)
{
    if (!server_holds(server, record))
        sim_fail(&server->world->sim, SIM_ORDER, "%s does not hold %.*s", server->name,
                 (int)record->text.len, record->text.data);
}

void mirror_settle(struct server *server)
{
    struct sim *sim = &server->world->sim;
    struct model_record *expected = server->expected;
    uint64_t sequence = herd_store_sequence(herd_node_store(server->node));
    server->expected = NULL;
    if (sequence != server->sequence + (expected != NULL)) {
        sim_fail(sim, SIM_ORDER, "%s has kept %llu records of a line, not %d: %.*s", server->name,
                 (unsigned long long)(sequence - server->sequence), expected != NULL,
                 expected != NULL ? (int)expected->text.len : 0,
                 expected != NULL ? expected->text.data : "");
    } else if (expected != NULL) {
        model_keep(&server->world->model, server->index, expected, sequence);
        if (server->disk != NULL)
            disk_on_kept(server->disk, expected);
        check_kept(server, expected);
    }
    server->sequence = sequence;
}

static void expect(struct server *server, struct model_record *record)
{
    if (model_is_news(&server->world->model, server->index, record))
        server->expected = record;
}

/* FLOOD <sender> <canonical text> */
static void take_flood(struct server *server, struct herd_slice line)
{
    const char *end = line.data + line.len;
    const char *text = memchr(line.data + 6, ' ', line.len - 6);
    struct model_record *record = NULL;
    if (text != NULL)
        record = model_find(&server->world->model, herd_slice(text + 1, (size_t)(end - text) - 1));
    if (record == NULL)
        sim_fail(&server->world->sim, SIM_SAME, "nobody has made what %s is sent: %.*s",
                 server->name, (int)line.len, line.data);
    else
        expect(server, record);
}

static void take_iamat(struct plug *plug, struct herd_slice line, const struct herd_slice *fields)
{
    struct server *server = plug->server;
    struct model *model = &server->world->model;
    struct model_record *record =
        model_birth(model, server->index, model_client(model, fields[1]),
                    herd_slice_of(server->name), fields[2], fields[3], server_now(server).wall_ns);
    expect(server, record);
    phone_taken(plug->end, line, record, herd_slice(NULL, 0));
}

static double number_of(struct herd_slice field)
{
    char text[64];
    snprintf(text, sizeof(text), "%.*s", (int)field.len, field.data);
    return strtod(text, NULL);
}

static void take_whatsat(struct plug *plug, struct herd_slice line, const struct herd_slice *fields)
{
    struct server *server = plug->server;
    struct model *model = &server->world->model;
    struct model_record *held = model_held(model, server->index, model_client(model, fields[1]));
    struct herd_buf answer = {0};
    if (held == NULL) {
        words_append(&answer, herd_slice_of("? "));
        words_append(&answer, line);
        words_append(&answer, herd_slice_of("\n"));
    } else {
        struct herd_location where = {0};
        herd_location_parse(held->fields.location, &where);
        words_append(&answer, held->at);
        words_places(&answer, where, number_of(fields[2]) * 1000, (unsigned)number_of(fields[3]));
    }
    phone_taken(plug->end, line, NULL, herd_buf_slice(&answer));
    herd_buf_free(&answer);
}

static void take_nonsense(struct plug *plug, struct herd_slice line, bool blank)
{
    struct herd_buf answer = {0};
    if (!blank) {
        words_append(&answer, herd_slice_of("? "));
        words_append(&answer, line);
        words_append(&answer, herd_slice_of("\n"));
    }
    phone_taken(plug->end, line, NULL, herd_buf_slice(&answer));
    herd_buf_free(&answer);
}

void mirror_line(struct plug *plug, struct herd_slice line)
{
    struct server *server = plug->server;
    struct herd_slice fields[WORDS_FIELDS_MAX];
    mirror_settle(server);
    if (plug->neighbour != SERVER_NOBODY)
        return; /* what a listener says changes no store */
    if (line.len > 6 && memcmp(line.data, "FLOOD ", 6) == 0 && !words_is_nonsense(line)) {
        take_flood(server, line);
        return;
    }
    if (net_peer(plug->end)->host->index < server->world->graph.size)
        return;
    size_t count = words_split(line, fields);
    if (count == 0 || words_is_nonsense(line))
        take_nonsense(plug, line, count == 0);
    else if (herd_slice_equal(fields[0], herd_slice_of("IAMAT")))
        take_iamat(plug, line, fields);
    else
        take_whatsat(plug, line, fields);
}

void server_audit(struct server *server)
{
    struct world *world = server->world;
    const struct herd_store *store = herd_node_store(server->node);
    size_t count = 0;
    for (uint32_t client = 0; client < world->model.client_count; client++) {
        struct model_record *record = model_held(&world->model, server->index, client);
        if (record == NULL)
            continue;
        check_kept(server, record);
        count++;
    }
    if (herd_store_count(store) != count)
        sim_fail(&world->sim, SIM_ORDER, "%s holds %zu clients, not %zu", server->name,
                 herd_store_count(store), count);
}
