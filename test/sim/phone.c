/*
 * A phone speaks on one connection: it dials a server, sends commands, sometimes many at once, and
 * moves on. What has to come back is known once a server has taken the line: the mirror says it
 * then, and each byte that comes is compared.
 */
#include <assert.h>
#include <stdlib.h>

#include "phone.h"
#include "plain.h"
#include "server.h"
#include "words.h"

enum {
    PATIENCE_S = 30, /* then an undisturbed server should have answered */
    GIVE_UP_S = 10,  /* then a client turns to another server */
    WAKE_MS = 1000,  /* it looks around at least so often */
    BURST_MAX = 150,
    HOP_READS_MAX = 5,
    ENDED_MS = 1000,       /* for a server to look at what waits for a record that it has let go */
    ENDED_EARLY_MS = 4000, /* before its end, a record may count as ended */
    ROAM_ON_PERCENT = 80,  /* that goes on to the next one */
    SHOWN_MAX = 120        /* bytes of an answer in a message */
};

static struct phone_request *request_at(struct phone *phone, uint32_t i)
{
    return &phone->ring[(phone->first + i) % PHONE_PENDING_MAX];
}

static struct sim *sim_of(struct phone *phone)
{
    return &phone->world->sim;
}

/* Of the server that the connection is with: 0 when it has died before it was known to be up. */
static uint64_t life_of(struct phone *phone)
{
    const struct server *server = phone->world->servers[phone->server];
    return server != NULL && net_peer(phone->end)->state != NET_GONE ? server->lives : 0;
}

static int shown(size_t len)
{
    return (int)(len < SHOWN_MAX ? len : SHOWN_MAX);
}

static void drop_first(struct phone *phone)
{
    struct phone_request *request = request_at(phone, 0);
    request->line.len = request->text.len = 0;
    phone->first = (phone->first + 1) % PHONE_PENDING_MAX;
    phone->count--;
    if (phone->taken > 0)
        phone->taken--;
    phone->matched = 0;
}

/* What it has said itself it has to see at every other server. */
static void check_after(struct phone *phone, const struct phone_request *request)
{
    struct herd_slice answer = request->answer;
    struct herd_slice fields[WORDS_FIELDS_MAX];
    struct world_counts *counts = &phone->world->counts;
    if (answer.len < 3 || memcmp(answer.data, "AT ", 3) != 0) {
        counts->after_expired++;
        return;
    }
    counts->after++;
    counts->after_waited += request->waited;
    size_t len = (size_t)((const char *)memchr(answer.data, '\n', answer.len) - answer.data);
    if (words_split(herd_slice(answer.data, len), fields) != 6 ||
        model_time(fields[5]) < request->after_ns)
        sim_fail(sim_of(phone), SIM_STALE, "%s asked `%.*s`, and was told %.*s", phone->name,
                 shown(request->line.len), request->line.data, (int)len, answer.data);
}

static void on_hop(void *owner, uint64_t arg);

/* Elsewhere it should see at once what it has said; in so many of a hundred of those cases. */
static void roam(struct phone *phone, unsigned percent)
{
    unsigned roams = phone->world->options.roam_percent;
    if (roams > 0 && phone->acked != NULL && phone->count == 1 &&
        rng_percent(&phone->world->rng, roams * percent / 100))
        sim_at(sim_of(phone), sim_of(phone)->now_ns, on_hop, phone, 0);
}

/* The first answer has come whole. */
static void on_answer(struct phone *phone)
{
    struct phone_request *request = request_at(phone, 0);
    phone_check_prompt(phone, request);
    if (request->answer.len > 0)
        phone->world->counts.answers++;
    if (request->after_ns > 0) {
        check_after(phone, request);
        roam(phone, ROAM_ON_PERCENT);
    }
    if (request->iamat && request->record != NULL) {
        phone->acked = request->record;
        phone->acked_by = phone->server;
        roam(phone, 100);
        model_acknowledge(&phone->world->model, request->record);
        phone_check_safe(phone, request);
    }
    phone->hopeful_ns = sim_of(phone)->now_ns;
    drop_first(phone);
}

/* What needs no answer is answered when it is taken. */
static void pass_empty_answers(struct phone *phone)
{
    while (phone->count > 0 && request_at(phone, 0)->taken && !request_at(phone, 0)->open &&
           phone->matched == request_at(phone, 0)->answer.len)
        on_answer(phone);
}

static void fail_answer(struct phone *phone, struct herd_slice got)
{
    struct phone_request *request = phone->count > 0 ? request_at(phone, 0) : NULL;
    const char *server = phone->world->hosts[phone->server]->name;
    if (request == NULL || !request->taken) {
        sim_fail(sim_of(phone), SIM_ANSWER, "%s has an answer of %s that it waits for not: %.*s",
                 phone->name, server, shown(got.len), got.data);
        return;
    }
    struct herd_slice line = herd_buf_slice(&request->line);
    if (request->open) {
        sim_fail(sim_of(phone), SIM_STALE, "%s asked %s `%.*s`, which cannot know, and said `%.*s`",
                 phone->name, server, shown(line.len), line.data, shown(got.len), got.data);
        return;
    }
    /* A record's text that differs is another fault than an answer to another question. */
    size_t at_line = request->answer.len >= 3 && memcmp(request->answer.data, "AT ", 3) == 0
                         ? request->answer.len
                         : 0;
    bool same = !request->iamat && phone->matched > 0 && phone->matched < at_line &&
                memchr(request->answer.data, '\n', phone->matched) == NULL;
    enum sim_check check = request->after_ns > 0 ? SIM_STALE : SIM_SAME;
    sim_fail(sim_of(phone), same ? check : SIM_ANSWER,
             "%s asked %s `%.*s`, and had after %zu bytes `%.*s`, not `%.*s`", phone->name, server,
             shown(line.len), line.data, phone->matched, shown(got.len), got.data,
             shown(request->answer.len - phone->matched), request->answer.data + phone->matched);
}

static size_t common(struct herd_slice a, struct herd_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    if (memcmp(a.data, b.data, len) == 0)
        return len;
    size_t same = 0;
    while (a.data[same] == b.data[same])
        same++;
    return same;
}

/* By its server's clock, what an IAMAT has to be kept as has ended since, or was about to. */
static bool has_ended_since(const struct server *server, const struct phone_request *request)
{
    int64_t end_ns = request->kept->fields.received_ns + server->world->options.record_ttl_ns;
    return server_latest_ns(server, request->at_ns) + ENDED_EARLY_MS * SIM_MS >= end_ns;
}

/* A record of its client was let go there before it was answered. */
static bool was_let_go(const struct server *server, const struct phone_request *request)
{
    int64_t let_go_ns =
        model_let_go_ns(&server->world->model, server->index, request->kept->client);
    return let_go_ns > 0 && request->at_ns <= let_go_ns + ENDED_MS * SIM_MS;
}

/* It has ended, or another one that was received at the same time: they may have been taken in one
 * turn, and wait together then. */
static bool ends_with_others(struct phone *phone, const struct phone_request *request)
{
    const struct server *server = phone->world->servers[phone->server];
    int64_t received_ns = request->kept->fields.received_ns;
    bool ends = phone->refused_ns == received_ns;
    for (uint32_t i = 0; i < phone->taken && !ends; i++) {
        const struct phone_request *other = request_at(phone, i);
        ends = other->iamat && other->record != NULL &&
               other->kept->fields.received_ns == received_ns &&
               (was_let_go(server, other) || has_ended_since(server, other));
    }
    if (ends)
        phone->refused_ns = received_ns;
    return ends;
}

/* Whether the record of an IAMAT may not have become safe in time, or before a stop, or before it
 * ended there. */
static bool may_be_refused(struct phone *phone, const struct phone_request *request)
{
    const struct world *world = phone->world;
    const struct server *server = world->servers[phone->server];
    int64_t timeout_ns = world->options.safety_timeout_ns;
    if (!request->iamat || request->record == NULL || server == NULL ||
        world->options.durability < HERD_DURABILITY_COMMIT)
        return false;
    if (world->options.record_ttl_ns > 0 && ends_with_others(phone, request))
        return true;
    return server->node == NULL || server->lives != phone->life || server->stopping ||
           (timeout_ns > 0 && sim_of(phone)->now_ns - request->at_ns >= timeout_ns);
}

/* The first answer begins to come: it is the refusal, and nothing is acknowledged. */
static void expect_refusal(struct phone *phone, struct phone_request *request)
{
    struct herd_slice line = herd_buf_slice(&request->line);
    phone->world->counts.refused++;
    request->record = NULL;
    words_append(&request->text, herd_slice_of("? "));
    words_append(&request->text, line);
    words_append(&request->text, herd_slice_of("\n"));
    request->answer = herd_buf_slice(&request->text);
}

static void on_bytes(void *owner, struct net_end *end, const char *data, size_t len)
{
    struct phone *phone = owner;
    struct herd_slice got = herd_slice(data, len);
    (void)end;
    if (phone->scripted)
        words_append(&phone->seen, got);
    while (got.len > 0) {
        struct phone_request *request = phone->count > 0 ? request_at(phone, 0) : NULL;
        if (request == NULL || !request->taken || request->open) {
            fail_answer(phone, got);
            return;
        }
        if (phone->matched == 0 && got.data[0] == '?' && may_be_refused(phone, request))
            expect_refusal(phone, request);
        struct herd_slice want =
            herd_slice(request->answer.data + phone->matched, request->answer.len - phone->matched);
        size_t same = common(want, got);
        phone->matched += same;
        got = herd_slice(got.data + same, got.len - same);
        if (same < want.len && got.len > 0) {
            fail_answer(phone, got);
            return;
        }
        pass_empty_answers(phone);
    }
}

/* The request that a server has taken as that line; NULL if it has hung up, or never said so. */
static struct phone_request *take_request(struct phone *phone, const struct net_end *end,
                                          struct herd_slice line)
{
    if (phone->end != end)
        return NULL;
    if (phone->taken == phone->count) {
        sim_fail(sim_of(phone), SIM_ANSWER, "%s has not said `%.*s`", phone->name, shown(line.len),
                 line.data);
        return NULL;
    }
    struct phone_request *request = request_at(phone, phone->taken++);
    if (!herd_slice_equal(line, herd_buf_slice(&request->line))) {
        sim_fail(sim_of(phone), SIM_ANSWER, "%s said `%.*s`, and was understood as `%.*s`",
                 phone->name, shown(request->line.len), request->line.data, shown(line.len),
                 line.data);
        return NULL;
    }
    const struct server *server = phone->world->servers[phone->server];
    request->taken = true;
    if (server != NULL && server->disk != NULL)
        request->disk_lives = server->disk->lives;
    return request;
}

uint64_t phone_taken_open(struct net_end *at_server, struct herd_slice line)
{
    struct net_end *end = net_peer(at_server);
    struct phone_request *request = take_request(end->host->owner, end, line);
    if (request == NULL)
        return 0;
    request->open = request->waited = true;
    return request->number;
}

void phone_resolve(struct net_end *at_server, uint64_t number, struct herd_slice text)
{
    struct net_end *end = net_peer(at_server);
    struct phone *phone = end->host->owner;
    uint32_t i = 0;
    while (i < phone->taken && request_at(phone, i)->number != number)
        i++;
    if (phone->end != end || i == phone->taken)
        return; /* it has hung up */
    struct phone_request *request = request_at(phone, i);
    words_append(&request->text, text);
    request->answer = herd_buf_slice(&request->text);
    request->open = false;
}

void phone_taken(struct net_end *at_server, struct herd_slice line, struct herd_slice text)
{
    struct net_end *end = net_peer(at_server);
    struct phone *phone = end->host->owner;
    struct phone_request *request = take_request(phone, end, line);
    if (request == NULL)
        return;
    request->record = request->kept = NULL;
    words_append(&request->text, text);
    request->answer = herd_buf_slice(&request->text);
    pass_empty_answers(phone);
}

void phone_taken_iamat(struct net_end *at_server, struct herd_slice line,
                       struct model_record *record, struct model_record *kept)
{
    struct net_end *end = net_peer(at_server);
    struct phone_request *request = take_request(end->host->owner, end, line);
    if (request == NULL)
        return;
    request->record = record;
    request->kept = kept;
    request->answer = record->at;
}

/* Answers that will not come any more. An IAMAT among them may be said again. */
static void forget_requests(struct phone *phone)
{
    while (phone->count > 0) {
        struct phone_request *request = request_at(phone, 0);
        if (request->iamat && phone->again.len == 0 && !phone->scripted &&
            rng_percent(&phone->world->rng, 50))
            words_append(&phone->again, herd_buf_slice(&request->line));
        drop_first(phone);
    }
    phone->taken = 0;
    phone->end = NULL;
    phone->up = phone->shut = phone->deaf = false;
}

void phone_hang_up(struct phone *phone)
{
    struct net_end *end = phone->end;
    if (end == NULL)
        return;
    forget_requests(phone);
    if (end->state == NET_OPEN && rng_percent(&phone->world->rng, 50))
        net_close(end);
    else
        net_abort(end);
}

/* The last line of a connection may come without its end. */
static void send_request(struct phone *phone, const struct phone_request *request, bool half)
{
    static const char line_end[] = "\r\n";
    bool crlf = !phone->scripted && rng_percent(&phone->world->rng, 10);
    sim_trace(sim_of(phone), phone->name, "->", phone->world->hosts[phone->server]->name, "%.*s",
              (int)request->line.len, request->line.data);
    net_write(phone->end, request->line.data, request->line.len);
    if (!half || request->line.len == 0)
        net_write(phone->end, crlf ? line_end : line_end + 1, crlf ? 2 : 1);
}

static void dial(struct phone *phone, uint32_t server)
{
    assert(phone->end == NULL);
    sim_trace(sim_of(phone), phone->name, "..", phone->world->hosts[server]->name, "(dials)");
    phone->server = server;
    phone->dialled_ns = sim_of(phone)->now_ns;
    phone->hopeful_ns = sim_of(phone)->now_ns;
    phone->end = net_dial(&phone->host, phone->world->hosts[server], NULL);
}

void phone_say(struct phone *phone, uint32_t server, struct herd_slice line)
{
    if (phone->end != NULL && (phone->server != server || phone->shut))
        phone_hang_up(phone);
    if (phone->end == NULL)
        dial(phone, server);
    struct phone_request *request = phone_add_request(phone);
    words_append(&request->line, line);
    request->iamat = line.len > 6 && memcmp(line.data, "IAMAT ", 6) == 0;
    if (phone->up)
        send_request(phone, request, false);
}

static void check_patience(struct phone *phone)
{
    int64_t now_ns = sim_of(phone)->now_ns;
    struct phone_request *request = request_at(phone, 0);
    int64_t since_ns = request->at_ns > phone->hopeful_ns ? request->at_ns : phone->hopeful_ns;
    bool waits_for_others = phone->world->options.durability >= HERD_DURABILITY_COMMIT;
    if (waits_for_others && since_ns < phone->world->healed_ns)
        since_ns = phone->world->healed_ns;
    phone_check_prompt(phone, request);
    if (phone->deaf)
        return;
    if (waits_for_others && phone->world->faulty) {
        if (now_ns - since_ns > GIVE_UP_S * SIM_S)
            phone_hang_up(phone);
        return;
    }
    if (now_ns - since_ns > PATIENCE_S * SIM_S && phone_is_undisturbed(phone, since_ns))
        sim_fail(sim_of(phone), SIM_LIVE, "%s waits for %s's answer to `%.*s` since %.3f",
                 phone->name, phone->world->hosts[phone->server]->name, shown(request->line.len),
                 request->line.data, (double)since_ns / (double)SIM_S);
    if (now_ns - since_ns > GIVE_UP_S * SIM_S && !phone_is_undisturbed(phone, since_ns))
        phone_hang_up(phone);
}

/* It moves to another server, and asks there at once. */
static void on_hop(void *owner, uint64_t arg)
{
    struct phone *phone = owner;
    struct world *world = phone->world;
    uint32_t to = (uint32_t)rng_below(&world->rng, world->graph.size);
    (void)arg;
    if (!world->busy || phone->count > 0 || to == phone->server || !world->ours[to])
        return;
    phone_hang_up(phone);
    dial(phone, to);
    for (int64_t reads = rng_between(&world->rng, 1, HOP_READS_MAX); reads > 0; reads--)
        phone_write_after(phone);
}

static int64_t pause_ns(struct phone *phone, unsigned lines)
{
    const struct world_options *options = &phone->world->options;
    double lines_a_second =
        options->updates * 100 / options->iamat_percent / (double)options->phones;
    int64_t mean_ns = (int64_t)((double)lines * 1e9 / lines_a_second);
    return rng_between(&phone->world->rng, mean_ns / 2, mean_ns + mean_ns / 2);
}

static void hear_again(struct phone *phone)
{
    phone->deaf = false;
    phone->hopeful_ns = sim_of(phone)->now_ns;
    net_read(phone->end, true);
}

/* Things that clients do, and servers do not like. */
static void be_odd(struct phone *phone)
{
    struct rng *rng = &phone->world->rng;
    uint64_t dice = rng_below(rng, 100);
    if (phone->deaf) {
        hear_again(phone);
    } else if (dice < 4) {
        if (phone->world->busy && phone->count < PHONE_PENDING_MAX)
            send_request(phone, phone_write_request(phone), dice < 2);
        phone->shut = true;
        net_shutdown(phone->end);
    } else if (dice < 7) {
        phone_hang_up(phone);
    } else if (dice < 10) {
        phone->deaf = true;
        net_read(phone->end, false);
    }
}

static unsigned speak(struct phone *phone)
{
    struct rng *rng = &phone->world->rng;
    unsigned lines = 1;
    if (!phone->world->options.tidy && rng_percent(rng, 5))
        lines = (unsigned)rng_between(rng, 2, BURST_MAX);
    for (unsigned i = 0; i < lines && phone->count < PHONE_PENDING_MAX; i++)
        send_request(phone, phone_write_request(phone), false);
    return lines;
}

/* All is said: it waits for its answers, and leaves. */
static void finish(struct phone *phone)
{
    if (phone->deaf)
        hear_again(phone);
    if (phone->count == 0)
        phone_hang_up(phone);
}

static void on_wake(void *owner, uint64_t arg)
{
    struct phone *phone = owner;
    struct world *world = phone->world;
    int64_t now_ns = world->sim.now_ns;
    (void)arg;
    if (phone->count > 0)
        check_patience(phone);
    if (!world->busy)
        finish(phone);
    else if (phone->end == NULL)
        dial(phone, (uint32_t)rng_below(&world->rng, world->graph.size));
    else if (phone->up && !phone->shut && now_ns >= phone->speaks_ns)
        phone->speaks_ns = now_ns + pause_ns(phone, speak(phone));
    if (phone->up && !phone->shut && !world->options.tidy)
        be_odd(phone);
    int64_t next_ns = now_ns + WAKE_MS * SIM_MS;
    if (phone->speaks_ns > now_ns && phone->speaks_ns < next_ns)
        next_ns = phone->speaks_ns;
    sim_at(&world->sim, next_ns, on_wake, phone, 0);
}

static void on_dialled(void *owner, struct net_end *end, const char *failure)
{
    struct phone *phone = owner;
    if (failure != NULL) {
        if (phone->end == end)
            forget_requests(phone);
        return;
    }
    phone->up = true;
    phone->life = life_of(phone);
    phone->hopeful_ns = sim_of(phone)->now_ns;
    for (uint32_t i = 0; i < phone->count; i++)
        send_request(phone, request_at(phone, i), false);
}

/* The server has closed: it owes answers to all lines that it took, and it takes all lines. */
static void on_end(void *owner, struct net_end *end)
{
    struct phone *phone = owner;
    struct world *world = phone->world;
    if (phone->end != end)
        return;
    const struct server *server = world->servers[phone->server];
    bool same_life = server != NULL && server->node != NULL && server->lives == phone->life;
    bool owes = phone->taken > 0 || (phone->count > 0 && same_life && !server->stopping);
    /* Where memory was short, it closes what it cannot answer. */
    if (same_life && owes && server->starved_ns < phone->dialled_ns && !phone->end->wire->hole)
        sim_fail(sim_of(phone), SIM_ANSWER, "%s closed and owes %s the answer to `%.*s`",
                 world->hosts[phone->server]->name, phone->name,
                 shown(request_at(phone, 0)->line.len), request_at(phone, 0)->line.data);
    phone_hang_up(phone);
}

static void on_closed(void *owner, struct net_end *end, const char *reason)
{
    struct phone *phone = owner;
    (void)reason;
    if (phone->end == end)
        forget_requests(phone);
}

static void on_wrote(void *owner, struct net_end *end, size_t len)
{
    (void)owner;
    (void)end;
    (void)len;
}

static const struct net_actor actor = {.on_dialled = on_dialled,
                                       .on_bytes = on_bytes,
                                       .on_end = on_end,
                                       .on_wrote = on_wrote,
                                       .on_closed = on_closed};

struct phone *phone_new(struct world *world, uint32_t index, const char *name, bool scripted)
{
    struct phone *phone = sim_alloc(1, sizeof(*phone));
    *phone = (struct phone){.world = world, .scripted = scripted};
    snprintf(phone->name, sizeof(phone->name), "%s", name);
    phone->host = (struct net_host){.name = phone->name,
                                    .actor = &actor,
                                    .owner = phone,
                                    .net = &world->net,
                                    .index = index,
                                    .keepalive = true};
    phone->skew_ns = rng_between(&world->rng, -world->options.phone_skew_max_ns,
                                 world->options.phone_skew_max_ns);
    phone->ring = sim_alloc(PHONE_PENDING_MAX, sizeof(*phone->ring));
    if (!scripted)
        sim_at(&world->sim, pause_ns(phone, 1), on_wake, phone, 0);
    return phone;
}

void phone_free(struct phone *phone)
{
    if (phone == NULL)
        return;
    for (uint32_t i = 0; i < PHONE_PENDING_MAX; i++) {
        herd_buf_free(&phone->ring[i].line);
        herd_buf_free(&phone->ring[i].text);
    }
    free(phone->ring);
    herd_buf_free(&phone->again);
    herd_buf_free(&phone->seen);
    free(phone);
}
