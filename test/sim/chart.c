/*
 * Each link is a wire with two lines of messages: what the dialler says, and what the listener does.
 * Events are: the first message of a line arrives; an update comes; a connection breaks. Time stands
 * still while somebody chooses; then it passes, and all arrives in order.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <herd/posix_time.h>

#include "chart.h"
#include "sim.h"

enum {
    WIRES_MAX = 6,
    EVENT_UPDATE = 2 * WIRES_MAX, /* from here on; before, two a wire */
    EVENT_BREAK = EVENT_UPDATE + CHART_UPDATES_MAX,
    MESSAGES_MAX = 64,
    STEP_MS = 10,
    SETTLE_MS = 400, /* marks are told, and a broken link is dialled again */
    FINISH_MS = 8000
};

struct wire;

struct end {
    struct wire *wire;
    struct herd_conn *conn;
    unsigned server;
    struct herd_buf queue[MESSAGES_MAX]; /* what it has said, and has not arrived */
    size_t first, count;
};

struct wire {
    struct chart *chart;
    struct end ends[2]; /* 0 dials 1 */
    bool open;
};

struct chart {
    struct chart_case what;
    struct herd_node *nodes[CHART_SERVERS_MAX];
    struct wire wires[WIRES_MAX];
    size_t wire_count;
    struct herd_now now;
    unsigned updates_done, breaks_done; /* as bits; how many */
    unsigned floods[WIRES_MAX];
    bool counts;
};

static const char *const names[] = {"Hill", "Jaquez", "Smith"};

/* In the usual form, so that the texts tell which is newer. */
static const char *time_of(const struct chart_update *update)
{
    return update->later ? "0000001000.500000000" : "0000001000.000000000";
}

static const char *place_of(const struct chart_update *update)
{
    return update->elsewhere ? "+02.0+002.0" : "+01.0+001.0";
}

static void write_update(const struct chart_update *update, char *out, size_t size)
{
    snprintf(out, size, "IAMAT client %s %s\n", place_of(update), time_of(update));
}

void chart_print_case(const struct chart_case *what)
{
    printf("  %u servers%s, %u breaks\n", what->servers, what->closed ? ", closed" : "",
           what->breaks);
    for (unsigned i = 0; i < what->updates; i++) {
        char line[64];
        write_update(&what->update[i], line, sizeof(line));
        printf("  event %u: %s says %s", EVENT_UPDATE + i, names[what->update[i].server], line);
    }
}

static void clear_queue(struct end *end)
{
    for (; end->count > 0; end->count--, end->first = (end->first + 1) % MESSAGES_MAX)
        herd_buf_free(&end->queue[end->first]);
}

static void settle(struct chart *chart, unsigned server);

static void close_wire(struct wire *wire, const char *reason)
{
    if (!wire->open)
        return;
    wire->open = false;
    for (unsigned side = 0; side < 2; side++) {
        struct end *end = &wire->ends[side];
        clear_queue(end);
        herd_conn_closed(end->conn, wire->chart->now, reason);
    }
    wire->ends[1].conn = NULL;
}

static void count_floods(struct chart *chart, const struct end *end, struct herd_slice bytes)
{
    const char *at = bytes.data;
    while (at < bytes.data + bytes.len) {
        chart->floods[end->wire - chart->wires] += memcmp(at, "FLOOD", 5) == 0;
        at = (const char *)memchr(at, '\n', (size_t)(bytes.data + bytes.len - at)) + 1;
    }
}

static void on_write(struct chart *chart, struct end *end, struct herd_effect *effect)
{
    herd_conn_wrote(effect->conn, chart->now, effect->output.len);
    if (end == NULL || !end->wire->open) { /* to a client */
        herd_buf_free(&effect->output);
        return;
    }
    if (chart->counts)
        count_floods(chart, end, herd_buf_slice(&effect->output));
    assert(end->count < MESSAGES_MAX);
    end->queue[(end->first + end->count++) % MESSAGES_MAX] = effect->output;
}

/* Connects at once: dials wait for time to pass. */
static void dial(struct chart *chart, struct wire *wire, struct herd_conn *conn)
{
    struct end *to = &wire->ends[1];
    wire->ends[0].conn = conn;
    int rc = herd_node_accept(chart->nodes[to->server], to, &to->conn);
    assert(rc == 0);
    wire->open = true;
    herd_link_dialled(conn, chart->now, NULL);
}

static void on_effect(struct chart *chart, struct herd_effect *effect)
{
    struct end *end = effect->conn != NULL ? herd_conn_data(effect->conn) : NULL;
    switch (effect->kind) {
    case HERD_EFFECT_DIAL:
        dial(chart, end->wire, effect->conn);
        break;
    case HERD_EFFECT_WRITE:
        on_write(chart, end, effect);
        break;
    case HERD_EFFECT_CLOSE:
        if (end != NULL)
            close_wire(end->wire, "closed");
        else
            herd_conn_closed(effect->conn, chart->now, "closed");
        break;
    default:
        break;
    }
}

static void settle(struct chart *chart, unsigned server)
{
    struct herd_effect effect;
    while (herd_node_effect(chart->nodes[server], chart->now, &effect))
        on_effect(chart, &effect);
}

static void add_link(struct chart *chart, unsigned from, unsigned to)
{
    struct wire *wire = &chart->wires[chart->wire_count++];
    wire->chart = chart;
    for (unsigned side = 0; side < 2; side++)
        wire->ends[side] = (struct end){.wire = wire, .server = side == 0 ? from : to};
    int rc = herd_node_add_neighbour(chart->nodes[from], chart->now, names[to], &wire->ends[0]);
    assert(rc == 0);
}

static void deliver(struct chart *chart, struct end *from)
{
    struct end *to = &from->wire->ends[from == &from->wire->ends[0]];
    struct herd_buf message = from->queue[from->first];
    from->first = (from->first + 1) % MESSAGES_MAX;
    from->count--;
    herd_conn_receive(to->conn, chart->now, message.data, message.len);
    herd_buf_free(&message);
    settle(chart, to->server);
}

static struct end *end_of(struct chart *chart, unsigned event)
{
    return &chart->wires[event / 2].ends[event % 2];
}

/* All that is on its way, line by line. */
static bool deliver_some(struct chart *chart)
{
    bool some = false;
    for (unsigned event = 0; event < 2 * chart->wire_count; event++) {
        if (end_of(chart, event)->count > 0) {
            deliver(chart, end_of(chart, event));
            some = true;
        }
    }
    return some;
}

static void pass_time(struct chart *chart, int64_t ms)
{
    for (; ms > 0; ms -= STEP_MS) {
        for (unsigned i = 0; i < chart->what.servers; i++) {
            if (herd_node_wakeup(chart->nodes[i]) <= chart->now.mono_ns)
                herd_node_tick(chart->nodes[i], chart->now);
            settle(chart, i);
        }
        while (deliver_some(chart)) {
        }
        chart->now.mono_ns += STEP_MS * HERD_NS_PER_MS;
    }
}

struct chart *chart_new(const struct chart_case *what)
{
    struct chart *chart = sim_alloc(1, sizeof(*chart));
    chart->what = *what;
    chart->now = (struct herd_now){.wall_ns = 2000 * HERD_NS_PER_S, .mono_ns = HERD_NS_PER_S};
    for (unsigned i = 0; i < what->servers; i++) {
        const struct herd_node_options options = {
            .name = names[i], .seed = i + 1, .output_max = 65536, .pipeline_max = 16};
        int rc = herd_node_new(&options, &chart->nodes[i]);
        assert(rc == 0);
    }
    for (unsigned i = 0; i + (what->closed ? 0 : 1) < what->servers; i++) {
        add_link(chart, i, (i + 1) % what->servers);
        add_link(chart, (i + 1) % what->servers, i);
    }
    pass_time(chart, SETTLE_MS);
    chart->counts = true;
    return chart;
}

uint32_t chart_enabled(const struct chart *chart)
{
    uint32_t enabled = 0;
    for (unsigned event = 0; event < 2 * chart->wire_count; event++) {
        const struct wire *wire = &chart->wires[event / 2];
        if (wire->open && wire->ends[event % 2].count > 0)
            enabled |= 1u << event;
    }
    for (unsigned i = 0; i < chart->what.updates; i++) {
        if (!(chart->updates_done & 1u << i))
            enabled |= 1u << (EVENT_UPDATE + i);
    }
    if (chart->breaks_done < chart->what.breaks && chart->wires[0].open)
        enabled |= 1u << EVENT_BREAK;
    return enabled;
}

/* The servers at which it happens, as bits. */
static unsigned places_of(const struct chart *chart, unsigned event)
{
    if (event == EVENT_BREAK)
        return 1u << chart->wires[0].ends[0].server | 1u << chart->wires[0].ends[1].server;
    if (event >= EVENT_UPDATE)
        return 1u << chart->what.update[event - EVENT_UPDATE].server;
    return 1u << chart->wires[event / 2].ends[event % 2 == 0].server;
}

bool chart_is_independent(const struct chart *chart, unsigned a, unsigned b)
{
    return (places_of(chart, a) & places_of(chart, b)) == 0;
}

static void say_update(struct chart *chart, unsigned i)
{
    const struct chart_update *update = &chart->what.update[i];
    struct herd_conn *conn;
    char line[64];
    write_update(update, line, sizeof(line));
    int rc = herd_node_accept(chart->nodes[update->server], NULL, &conn);
    assert(rc == 0);
    herd_conn_receive(conn, chart->now, line, strlen(line));
    settle(chart, update->server);
    herd_conn_closed(conn, chart->now, "gone");
    settle(chart, update->server);
    chart->updates_done |= 1u << i;
}

void chart_happen(struct chart *chart, unsigned event)
{
    if (event == EVENT_BREAK) {
        chart->breaks_done++;
        close_wire(&chart->wires[0], "broken");
        settle(chart, chart->wires[0].ends[0].server);
        settle(chart, chart->wires[0].ends[1].server);
    } else if (event >= EVENT_UPDATE) {
        say_update(chart, event - EVENT_UPDATE);
    } else {
        deliver(chart, end_of(chart, event));
    }
}

/* The newest by time, then by who took it, then by place; all are received at the same time. */
static const struct chart_update *newest_of(const struct chart_case *what)
{
    const struct chart_update *newest = &what->update[0];
    for (unsigned i = 1; i < what->updates; i++) {
        const struct chart_update *other = &what->update[i];
        if (other->later != newest->later ? other->later
            : other->server != newest->server
                ? strcmp(names[other->server], names[newest->server]) > 0
                : other->elsewhere && !newest->elsewhere)
            newest = other;
    }
    return newest;
}

static bool holds(const struct chart *chart, unsigned server, const struct chart_update *newest)
{
    struct herd_record record;
    return herd_store_find(herd_node_store(chart->nodes[server]), herd_slice_of("client"),
                           &record) &&
           herd_slice_equal(record.origin, herd_slice_of(names[newest->server])) &&
           herd_slice_equal(record.location, herd_slice_of(place_of(newest))) &&
           herd_slice_equal(record.sent, herd_slice_of(time_of(newest)));
}

static const char *check(const struct chart *chart, const char *wrong)
{
    for (unsigned i = 0; i < chart->what.servers; i++) {
        if (!holds(chart, i, newest_of(&chart->what)))
            return wrong;
    }
    return NULL;
}

const char *chart_finish(struct chart *chart)
{
    const char *wrong =
        chart->breaks_done == 0 ? check(chart, "all has arrived, and they disagree") : NULL;
    if (wrong != NULL)
        return wrong;
    for (size_t i = 0; i < chart->wire_count; i++) {
        if (chart->floods[i] > chart->what.updates)
            return "an update was said twice to a neighbour";
    }
    pass_time(chart, chart->breaks_done > 0 ? SETTLE_MS : STEP_MS);
    wrong = check(chart, "links are up, and they disagree");
    if (wrong == NULL && chart->breaks_done > 0) {
        for (unsigned i = 1; i < chart->what.servers; i++) {
            if (herd_store_digest(herd_node_store(chart->nodes[i])) !=
                herd_store_digest(herd_node_store(chart->nodes[0])))
                return "they hold the same, and their digests differ";
        }
    }
    return wrong;
}

void chart_free(struct chart *chart)
{
    for (size_t i = 0; i < chart->wire_count; i++)
        close_wire(&chart->wires[i], "over");
    for (unsigned i = 0; i < chart->what.servers; i++) {
        struct herd_effect effect;
        while (herd_node_effect(chart->nodes[i], chart->now, &effect))
            herd_buf_free(&effect.output);
        herd_node_free(chart->nodes[i]);
    }
    free(chart);
}
