/*
 * Before a node handles a line, the model says what should come of it; when the next line comes, or
 * the event is over, it is seen whether that is what came.
 */
#include <stdlib.h>

#include "core/conn.h"
#include "phone.h"
#include "server.h"
#include "shortage.h"
#include "words.h"

enum {
    WAIT_DEFAULT_MS = 2000,
    ENDED_EARLY_MS = 4000, /* before its end by its server's clock, a record may go */
    CLOCKS_MS = 3000,      /* what clocks may differ by, but for this part of the time to live: */
    CLOCKS_PARTS = 4,
    TOLD_MS = 1000 /* after it was told that it has ended */
};

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

static void resolve_waits(struct server *server, const struct model_record *record);

/* Memory was short for a record: who has sent it has to learn that it was not kept. */
static void check_dies(struct server *server, const struct model_record *record)
{
    if (!server->taking->conn->closing)
        sim_fail(&server->world->sim, SIM_LOST,
                 "%s has no memory for it, and does not say so: %.*s", server->name,
                 (int)record->text.len, record->text.data);
}

static void let_go(struct server *server, const struct model_record *record)
{
    if (server->disk != NULL)
        disk_on_ended(server->disk, record);
    model_drop(&server->world->model, server->index, record->client);
}

/* It has all but ended here, and had ended where the other one was received: clocks differ. */
static bool gives_way(const struct server *server, const struct model_record *held,
                      const struct model_record *record)
{
    int64_t ttl_ns = server->world->options.record_ttl_ns, most_ns = CLOCKS_MS * SIM_MS;
    int64_t end_ns = held->fields.received_ns + ttl_ns;
    int64_t left_ns = end_ns - server_now(server).wall_ns;
    return ttl_ns > 0 && end_ns <= record->fields.received_ns && left_ns <= most_ns &&
           left_ns <= ttl_ns / CLOCKS_PARTS &&
           !model_is_news(&server->world->model, server->index, record);
}

/* What has ended, and has not been removed yet, stands in the way of nothing. */
static const struct model_record *ended_before(const struct server *server,
                                               const struct model_record *record)
{
    const struct model_record *held =
        model_held(&server->world->model, server->index, record->client);
    bool ended = held != NULL && held != record &&
                 (server_has_ended(server, held) || gives_way(server, held, record));
    return ended ? held : NULL;
}

static void keep(struct server *server, struct model_record *record, uint64_t sequence)
{
    const struct model_record *ended = ended_before(server, record);
    if (ended != NULL)
        let_go(server, ended);
    model_keep(&server->world->model, server->index, record, sequence);
}

void mirror_settle(struct server *server)
{
    struct sim *sim = &server->world->sim;
    struct model_record *expected = server->expected;
    uint64_t sequence = herd_store_sequence(herd_node_store(server->node));
    server->expected = NULL;
    bool starved = server->starved || (server->inside && shortage_failures() > 0);
    if (starved && expected != NULL && sequence == server->sequence) {
        check_dies(server, expected);
        expected = NULL;
    }
    if (!server->inside)
        server->starved = false;
    if (sequence != server->sequence + (expected != NULL)) {
        sim_fail(sim, SIM_ORDER, "%s has kept %llu records of a line, not %d: %.*s", server->name,
                 (unsigned long long)(sequence - server->sequence), expected != NULL,
                 expected != NULL ? (int)expected->text.len : 0,
                 expected != NULL ? expected->text.data : "");
    } else if (expected != NULL) {
        keep(server, expected, sequence);
        if (server->disk != NULL)
            disk_on_kept(server->disk, expected, server->by_neighbour, sequence);
        resolve_waits(server, expected);
        check_kept(server, expected);
    }
    server->sequence = sequence;
}

/* A neighbour has said so, and its clock may be right: so it goes, a little early. */
static bool may_end_early(const struct server *server, const struct model_record *held)
{
    int64_t told_ns = (server->told_ended_ns / SIM_S + 1) * SIM_S;
    int64_t end_ns = held->fields.received_ns + server->world->options.record_ttl_ns;
    int64_t since_ns = server->world->sim.now_ns - TOLD_MS * SIM_MS;
    return held->fields.received_ns <= told_ns &&
           end_ns <= server_latest_ns(server, since_ns) + ENDED_EARLY_MS * SIM_MS;
}

void mirror_expire(struct server *server)
{
    struct model *model = &server->world->model;
    uint64_t expired = herd_node_stats(server->node)->records_expired;
    struct herd_record found;
    if (expired == server->records_expired)
        return;
    server->records_expired = expired;
    for (uint32_t client = 0; client < model->client_count; client++) {
        const struct model_record *held = model_held(model, server->index, client);
        if (held != NULL && (server_has_ended(server, held) || may_end_early(server, held)) &&
            !herd_store_find(herd_node_store(server->node), held->fields.client, &found))
            let_go(server, held);
    }
}

static void expect(struct server *server, struct model_record *record)
{
    if (server_has_ended(server, record))
        record->refused_by |= UINT64_C(1) << server->index % 64;
    else if (model_is_news(&server->world->model, server->index, record) ||
             ended_before(server, record) != NULL)
        server->expected = record;
}

/* FLOOD <sender> <canonical text> */
static void take_flood(struct server *server, struct herd_slice line)
{
    const char *end = line.data + line.len;
    const char *text = memchr(line.data + 6, ' ', line.len - 6);
    struct model_record *record = NULL;
    server->by_neighbour = true;
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
    struct model_record *kept = server->expected;
    if (kept == NULL)
        kept = model_held(model, server->index, record->client);
    phone_taken_iamat(plug->end, line, record, kept);
}

static double number_of(struct herd_slice field)
{
    char text[64];
    snprintf(text, sizeof(text), "%.*s", (int)field.len, field.data);
    return strtod(text, NULL);
}

/* The AT line, and places by what was asked. */
static void write_answer(struct herd_buf *out, const struct model_record *record, double radius_m,
                         unsigned count)
{
    struct herd_location where = {0};
    herd_location_parse(record->fields.location, &where);
    words_append(out, record->at);
    words_places(out, where, radius_m, count);
}

static void write_invalid(struct herd_buf *out, struct herd_slice line)
{
    words_append(out, herd_slice_of("? "));
    words_append(out, line);
    words_append(out, herd_slice_of("\n"));
}

/* Takes it out of the list. */
static void resolve(struct server_wait **at, const struct model_record *record)
{
    struct server_wait *wait = *at;
    struct herd_buf answer = {0};
    if (record != NULL)
        write_answer(&answer, record, wait->radius_m, wait->count);
    else
        write_invalid(&answer, herd_buf_slice(&wait->line));
    phone_resolve(wait->plug->end, wait->number, herd_buf_slice(&answer));
    herd_buf_free(&answer);
    *at = wait->next;
    herd_buf_free(&wait->line);
    free(wait);
}

static void resolve_waits(struct server *server, const struct model_record *record)
{
    for (struct server_wait **at = &server->waits; *at != NULL;) {
        if ((*at)->client == record->client && record->fields.sent_ns >= (*at)->after_ns)
            resolve(at, record);
        else
            at = &(*at)->next;
    }
}

void mirror_give_up(struct server *server, int64_t mono_ns)
{
    for (struct server_wait **at = &server->waits; *at != NULL;) {
        if ((*at)->deadline_ns <= mono_ns)
            resolve(at, NULL);
        else
            at = &(*at)->next;
    }
}

void mirror_forget_waits(struct server *server, const struct plug *plug)
{
    for (struct server_wait **at = &server->waits; *at != NULL;) {
        struct server_wait *wait = *at;
        if (plug != NULL && wait->plug != plug) {
            at = &wait->next;
            continue;
        }
        *at = wait->next;
        herd_buf_free(&wait->line);
        free(wait);
    }
}

static void begin_wait(struct plug *plug, struct herd_slice line, const struct herd_slice *fields,
                       size_t count)
{
    struct server *server = plug->server;
    int64_t wait_ms = count == 8 ? (int64_t)number_of(fields[7]) : WAIT_DEFAULT_MS;
    struct server_wait *wait = sim_alloc(1, sizeof(*wait));
    *wait = (struct server_wait){.next = server->waits,
                                 .plug = plug,
                                 .number = phone_taken_open(plug->end, line),
                                 .client = model_client(&server->world->model, fields[1]),
                                 .after_ns = model_time(fields[5]),
                                 .deadline_ns = server_now(server).mono_ns + wait_ms * SIM_MS,
                                 .radius_m = number_of(fields[2]) * 1000,
                                 .count = (unsigned)number_of(fields[3])};
    words_append(&wait->line, line);
    server->waits = wait;
}

/* WHATSAT <client> <radius> <count> [AFTER <time> [WAIT <ms>]] */
static void take_whatsat(struct plug *plug, struct herd_slice line, const struct herd_slice *fields,
                         size_t count)
{
    struct server *server = plug->server;
    struct model *model = &server->world->model;
    struct model_record *held = model_held(model, server->index, model_client(model, fields[1]));
    struct herd_buf answer = {0};
    bool found = held != NULL && !server_has_ended(server, held) &&
                 (count < 6 || held->fields.sent_ns >= model_time(fields[5]));
    if (!found && count >= 6 && !server->stopping) {
        begin_wait(plug, line, fields, count);
        return;
    }
    if (found)
        write_answer(&answer, held, number_of(fields[2]) * 1000, (unsigned)number_of(fields[3]));
    else
        write_invalid(&answer, line);
    phone_taken(plug->end, line, herd_buf_slice(&answer));
    herd_buf_free(&answer);
}

static void take_nonsense(struct plug *plug, struct herd_slice line, bool blank)
{
    struct herd_buf answer = {0};
    if (!blank)
        write_invalid(&answer, line);
    phone_taken(plug->end, line, herd_buf_slice(&answer));
    herd_buf_free(&answer);
}

/* ENDED <server_time_received> */
static void note_ended(struct server *server, struct herd_slice line)
{
    if (line.len < 6 || memcmp(line.data, "ENDED ", 6) != 0)
        return;
    int64_t received_ns = model_time(herd_slice(line.data + 6, line.len - 6));
    if (received_ns > server->told_ended_ns)
        server->told_ended_ns = received_ns;
}

void mirror_line(struct plug *plug, struct herd_slice line)
{
    struct server *server = plug->server;
    struct herd_slice fields[WORDS_FIELDS_MAX];
    mirror_settle(server);
    mirror_expire(server);
    server->taking = plug;
    server->by_neighbour = false;
    if (plug->neighbour != SERVER_NOBODY) {
        note_ended(server, line);
        return; /* else what a listener says changes no store */
    }
    if (line.len > 6 && memcmp(line.data, "FLOOD ", 6) == 0 && !words_is_nonsense(line)) {
        take_flood(server, line);
        return;
    }
    uint32_t peer = net_peer(plug->end)->host->index;
    if (peer < server->world->graph.size) {
        mark_check(server, peer, line);
        return;
    }
    size_t count = words_split(line, fields);
    if (count == 0 || words_is_nonsense(line))
        take_nonsense(plug, line, count == 0);
    else if (herd_slice_equal(fields[0], herd_slice_of("IAMAT")))
        take_iamat(plug, line, fields);
    else
        take_whatsat(plug, line, fields, count);
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
