#include <assert.h>
#include <stdlib.h>

#include <herd/frame.h>

#include "phone.h"
#include "plain.h"
#include "server.h"
#include "words.h"

/* A connection: one that was accepted, or one that carries a FLOOD away. */
struct plain_conn {
    struct plain *plain;
    struct net_end *end;
    struct plain_conn *prev, *next;
    struct herd_frame frame;
    struct model_record *record; /* to be sent; NULL: accepted */
    bool over;                   /* takes no more lines */
};

static const char *const manners[PLAIN_MANNERS] = {
    [PLAIN_MANY] = "many",
    [PLAIN_ONE] = "one",
    [PLAIN_CLOSES] = "closes",
    [PLAIN_SILENT] = "silent",
};

const char *plain_manner_name(enum plain_manner manner)
{
    return manners[manner];
}

static struct plain_conn *add_conn(struct plain *plain, struct model_record *record)
{
    struct plain_conn *conn = sim_alloc(1, sizeof(*conn));
    *conn = (struct plain_conn){.plain = plain, .record = record, .next = plain->conns};
    if (conn->next != NULL)
        conn->next->prev = conn;
    plain->conns = conn;
    return conn;
}

static void free_conn(struct plain_conn *conn)
{
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        conn->plain->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    herd_frame_free(&conn->frame);
    free(conn);
}

/* The FLOOD it was for may not have come. */
static void count_dropped(struct plain_conn *conn)
{
    if (conn->record != NULL)
        conn->plain->world->counts.plain_dropped++;
    conn->record = NULL;
}

void plain_flood(struct plain *plain, uint32_t neighbour, struct model_record *record)
{
    struct plain_conn *conn = add_conn(plain, record);
    sim_trace(&plain->world->sim, plain->name, "..", plain->world->hosts[neighbour]->name,
              "(dials)");
    conn->end = net_dial(&plain->host, plain->world->hosts[neighbour], conn);
}

bool plain_is_busy(const struct plain *plain)
{
    const struct plain_conn *conn = plain->conns;
    while (conn != NULL && conn->record == NULL)
        conn = conn->next;
    return conn != NULL;
}

static void on_dialled(void *owner, struct net_end *end, const char *failure)
{
    struct plain *plain = owner;
    struct plain_conn *conn = end->data;
    struct world *world = plain->world;
    if (failure != NULL) {
        count_dropped(conn);
        free_conn(conn);
        return;
    }
    struct herd_buf line = {0};
    words_printf(&line, "FLOOD %s ", plain->name);
    words_append(&line, conn->record->text);
    sim_trace(&world->sim, plain->name, "->", net_peer(end)->host->name, "%.*s", (int)line.len,
              line.data);
    world_line_sent(world, net_peer(end)->host->index, herd_buf_slice(&line), false);
    words_append(&line, herd_slice_of("\n"));
    net_write(end, line.data, line.len);
    herd_buf_free(&line);
    net_close(end);
}

static void say(struct plain_conn *conn, struct herd_slice text)
{
    struct world *world = conn->plain->world;
    sim_trace(&world->sim, conn->plain->name, "->", net_peer(conn->end)->host->name, "%.*s",
              (int)text.len - 1, text.data);
    net_write(conn->end, text.data, text.len);
}

static void keep(struct plain *plain, struct model_record *record, struct herd_slice sender)
{
    struct world *world = plain->world;
    if (!model_is_news(&world->model, plain->index, record))
        return;
    model_keep(&world->model, plain->index, record, 0);
    for (uint32_t i = 0; i < world->graph.size; i++) {
        if (graph_joined(&world->graph, plain->index, i) &&
            !herd_slice_equal(sender, herd_slice_of(world->hosts[i]->name)))
            plain_flood(plain, i, record);
    }
}

static void take_flood(struct plain *plain, struct herd_slice line)
{
    const char *end = line.data + line.len;
    const char *sender = line.data + 6;
    const char *text = memchr(sender, ' ', line.len - 6);
    struct model_record *record = NULL;
    if (text != NULL)
        record = model_find(&plain->world->model, herd_slice(text + 1, (size_t)(end - text) - 1));
    if (record == NULL)
        sim_fail(&plain->world->sim, SIM_SAME, "nobody has made what %s is sent: %.*s", plain->name,
                 (int)line.len, line.data);
    else
        keep(plain, record, herd_slice(sender, (size_t)(text - sender)));
}

static void take_iamat(struct plain_conn *conn, struct herd_slice line,
                       const struct herd_slice *fields)
{
    struct plain *plain = conn->plain;
    struct model *model = &plain->world->model;
    struct model_record *record =
        model_birth(model, plain->index, model_client(model, fields[1]), herd_slice_of(plain->name),
                    fields[2], fields[3], world_wall_ns(plain->world));
    phone_taken_iamat(conn->end, line, record, record);
    say(conn, record->at);
    keep(plain, record, herd_slice_of(plain->name));
}

/* A simple server has no places to tell of. */
static void take_whatsat(struct plain_conn *conn, struct herd_slice line,
                         const struct herd_slice *fields)
{
    struct model *model = &conn->plain->world->model;
    struct model_record *held =
        model_held(model, conn->plain->index, model_client(model, fields[1]));
    struct herd_buf answer = {0};
    words_append(&answer, held != NULL ? held->at : herd_slice_of("? "));
    words_append(&answer, held != NULL ? herd_slice_of("{}\n\n") : line);
    words_append(&answer, held != NULL ? herd_slice_of("") : herd_slice_of("\n"));
    phone_taken(conn->end, line, herd_buf_slice(&answer));
    say(conn, herd_buf_slice(&answer));
    herd_buf_free(&answer);
}

static void take_unknown(struct plain_conn *conn, struct herd_slice line, bool from_phone)
{
    enum plain_manner manner = conn->plain->manner;
    struct herd_buf answer = {0};
    words_append(&answer, herd_slice_of("? "));
    words_append(&answer, line);
    words_append(&answer, herd_slice_of("\n"));
    if (from_phone)
        phone_taken(conn->end, line, herd_buf_slice(&answer));
    if (from_phone || (manner != PLAIN_SILENT && manner != PLAIN_CLOSES))
        say(conn, herd_buf_slice(&answer));
    conn->over = !from_phone && manner == PLAIN_CLOSES;
    herd_buf_free(&answer);
}

static void take_line(struct plain_conn *conn, struct herd_slice line)
{
    struct plain *plain = conn->plain;
    struct herd_slice fields[WORDS_FIELDS_MAX];
    size_t count = words_split(line, fields);
    bool from_phone = net_peer(conn->end)->host->index >= plain->world->graph.size;
    if (count == 0) {
        if (from_phone)
            phone_taken(conn->end, line, herd_slice(NULL, 0));
    } else if (words_is_nonsense(line)) {
        take_unknown(conn, line, true);
    } else if (herd_slice_equal(fields[0], herd_slice_of("FLOOD"))) {
        take_flood(plain, line);
    } else if (herd_slice_equal(fields[0], herd_slice_of("IAMAT"))) {
        take_iamat(conn, line, fields);
    } else if (herd_slice_equal(fields[0], herd_slice_of("WHATSAT"))) {
        take_whatsat(conn, line, fields);
    } else {
        take_unknown(conn, line, false);
    }
    conn->over = conn->over || plain->manner == PLAIN_ONE;
}

static void hang_up(struct plain_conn *conn, bool unread)
{
    conn->over = true;
    if (conn->end->state != NET_OPEN)
        return;
    /* A kernel that has unread bytes of a connection which is closed resets it. */
    if (unread)
        net_abort(conn->end);
    else
        net_close(conn->end);
}

static void on_accept(void *owner, struct net_end *end)
{
    struct plain_conn *conn = add_conn(owner, NULL);
    conn->end = end;
    end->data = conn;
}

static void on_bytes(void *owner, struct net_end *end, const char *data, size_t len)
{
    struct plain_conn *conn = end->data;
    struct herd_slice input = herd_slice(data, len);
    struct herd_slice line;
    (void)owner;
    while (!conn->over && herd_frame_next(&conn->frame, &input, &line) > 0) {
        take_line(conn, line);
        if (conn->over)
            hang_up(conn, input.len > 0);
    }
}

static void on_end(void *owner, struct net_end *end)
{
    struct plain_conn *conn = end->data;
    (void)owner;
    hang_up(conn, false);
}

static void on_wrote(void *owner, struct net_end *end, size_t len)
{
    struct plain_conn *conn = end->data;
    (void)owner;
    (void)len;
    if (net_untaken(end) == 0)
        conn->record = NULL; /* it has come */
}

static void on_closed(void *owner, struct net_end *end, const char *reason)
{
    struct plain_conn *conn = end->data;
    (void)owner;
    (void)reason;
    count_dropped(conn);
    free_conn(conn);
}

static const struct net_actor actor = {.on_accept = on_accept,
                                       .on_dialled = on_dialled,
                                       .on_bytes = on_bytes,
                                       .on_end = on_end,
                                       .on_wrote = on_wrote,
                                       .on_closed = on_closed};

struct plain *plain_new(struct world *world, uint32_t index, enum plain_manner manner)
{
    struct plain *plain = sim_alloc(1, sizeof(*plain));
    plain->world = world;
    plain->index = index;
    plain->manner = manner;
    world_server_name(index, plain->name);
    plain->host = (struct net_host){.name = plain->name,
                                    .actor = &actor,
                                    .owner = plain,
                                    .net = &world->net,
                                    .index = index,
                                    .keepalive = true};
    return plain;
}

void plain_free(struct plain *plain)
{
    if (plain == NULL)
        return;
    while (plain->conns != NULL)
        free_conn(plain->conns);
    free(plain);
}

/* By then its neighbours know how many lines it takes a connection. */
enum { KNOWN_AFTER_MS = 6000 };

void plain_start(struct plain *plain)
{
    assert(!plain->running);
    sim_trace(&plain->world->sim, plain->name, "..", "-", "(starts, plain: %s)",
              manners[plain->manner]);
    plain->running = true;
    plain->started_ns = plain->world->sim.now_ns;
    plain->host.listening = true;
    plain->host.dark = false;
    plain->host.stalled_until_ns = 0;
}

void plain_crash(struct plain *plain, bool loud)
{
    if (!plain->running)
        return;
    sim_trace(&plain->world->sim, plain->name, "..", "-", loud ? "(crashes)" : "(goes dark)");
    plain->world->counts.deaths++;
    plain->running = false;
    plain->alive_ns = plain->world->sim.now_ns;
    plain->end_shows = loud && plain->manner != PLAIN_ONE &&
                       plain->alive_ns - plain->started_ns >= KNOWN_AFTER_MS * SIM_MS;
    net_crash(&plain->host, loud);
    while (plain->conns != NULL) {
        count_dropped(plain->conns);
        free_conn(plain->conns);
    }
    model_forget(&plain->world->model, plain->index);
}
