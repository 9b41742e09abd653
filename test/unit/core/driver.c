/*
 * A turn of the loop is driver_run: effects until there are none, then a tick if one is due, and
 * again. Virtual time stands still meanwhile, so a node that wants to be called for ever at one
 * instant, or has effects for ever, is found out by counting.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver.h"

enum { TICKS_AT_ONE_INSTANT_MAX = 200000, EFFECTS_OF_A_TURN_MAX = 200000 };

/* Tests of memory shortage name functions that never run short. */
#ifdef DRIVER_REALLOC
void *DRIVER_REALLOC(void *old, size_t size);
void DRIVER_FREE(void *memory);
#else
#define DRIVER_REALLOC realloc
#define DRIVER_FREE    free
#endif

/* What a question was answered with. */
struct places_found {
    struct driver *driver;
    char json[256];
    size_t len;
};

_Noreturn void driver_fail(const char *what)
{
    fprintf(stderr, "driver: %s\n", what);
    abort();
}

static void *zeroed(size_t size)
{
    void *memory = DRIVER_REALLOC(NULL, size);
    if (memory == NULL)
        driver_fail("no memory for the test itself");
    return memset(memory, 0, size);
}

static void tape_append(struct tape *tape, struct herd_slice bytes)
{
    if (tape->len + bytes.len > tape->cap) {
        tape->cap = 2 * (tape->len + bytes.len);
        tape->data = DRIVER_REALLOC(tape->data, tape->cap);
        if (tape->data == NULL)
            driver_fail("no memory for the test itself");
    }
    if (bytes.len > 0)
        memcpy(tape->data + tape->len, bytes.data, bytes.len);
    tape->len += bytes.len;
}

static struct wire *new_wire(struct driver *driver)
{
    struct wire *wire = zeroed(sizeof(*wire));
    struct wire **wires =
        DRIVER_REALLOC(driver->wires, (driver->wire_count + 1) * sizeof(struct wire *));
    if (wires == NULL)
        driver_fail("no memory for the test itself");
    driver->wires = wires;
    wire->driver = driver;
    wire->reading = true;
    driver->wires[driver->wire_count++] = wire;
    return wire;
}

struct herd_node_options driver_options(const char *name)
{
    return (struct herd_node_options){
        .name = name, .seed = 1, .output_max = 65536, .pipeline_max = 64};
}

struct driver *driver_new_with(const struct herd_node_options *options)
{
    struct driver *driver = zeroed(sizeof(*driver));
    driver->now.wall_ns = DRIVER_WALL_S * HERD_NS_PER_S;
    driver->now.mono_ns = HERD_NS_PER_S;
    driver->answers_places = driver->reports_writes = driver->closes = driver->ticks = true;
    if (herd_node_new(options, &driver->node) < 0) {
        DRIVER_FREE(driver);
        return NULL;
    }
    return driver;
}

struct driver *driver_new(const char *name, int64_t max_skew_ns)
{
    struct herd_node_options options = driver_options(name);
    options.max_skew_ns = max_skew_ns;
    return driver_new_with(&options);
}

size_t driver_places(struct herd_location where, double radius_m, unsigned count, char *out,
                     size_t size)
{
    int len = snprintf(out, size, "{\"lat\":%.6f,\"lon\":%.6f,\"radius\":%.3f,\"count\":%u}\n\n",
                       where.latitude, where.longitude, radius_m, count);
    return (size_t)len;
}

static size_t places_length(const void *data, unsigned count)
{
    const struct places_found *found = data;
    (void)count; /* it was known */
    return found->driver->places_padding + found->len;
}

static int render_places(const void *data, unsigned count, struct herd_buf *out)
{
    const struct places_found *found = data;
    int rc = herd_buf_reserve(out, places_length(data, count));
    for (size_t i = 0; rc == 0 && i < found->driver->places_padding; i++)
        out->data[out->len++] = ' ';
    if (rc == 0)
        rc = herd_buf_append(out, found->json, found->len);
    if (rc == 0)
        found->driver->renders++;
    return rc;
}

static void let_places_go(void *data)
{
    struct places_found *found = data;
    found->driver->places_held--;
    DRIVER_FREE(found);
}

static void answer(struct driver *driver, const struct question *question)
{
    static const struct herd_places_type type = {render_places, let_places_go, places_length};
    struct places_found *found = zeroed(sizeof(*found));
    found->driver = driver;
    found->len = driver_places(question->where, question->radius_m, question->count, found->json,
                               sizeof(found->json));
    driver->places_held++;
    herd_ask_answer(question->ask, driver->now,
                    (struct herd_places){&type, found, driver->places_bytes});
}

void driver_answer(struct driver *driver, size_t i)
{
    struct question question = driver->asks[i];
    memmove(driver->asks + i, driver->asks + i + 1,
            (--driver->ask_count - i) * sizeof(driver->asks[0]));
    answer(driver, &question);
    driver_run(driver);
}

/* What is true of a wire between two connections. */
static void rest(struct wire *wire)
{
    wire->open = wire->dialling = false;
    wire->unwritten = 0;
    if (wire->peer[0] == '\0')
        wire->conn = NULL;
}

static void report_closed(struct wire *wire, const char *reason)
{
    struct herd_conn *conn = wire->conn;
    rest(wire);
    herd_conn_closed(conn, wire->driver->now, reason);
}

static void on_dial(struct wire *wire)
{
    if (wire->peer[0] == '\0' || wire->open || wire->dialling)
        driver_fail("DIAL of what is no link, or is open");
    wire->dialling = true;
    wire->reading = true;
    wire->closing = wire->aborted = false;
    wire->got.len = wire->taken = wire->answered = 0;
    wire->dials++;
}

static bool is_upkeep(struct herd_slice line)
{
    return (line.len > 7 && memcmp(line.data, "DIGEST ", 7) == 0) ||
           (line.len > 4 && memcmp(line.data, "ACK ", 4) == 0);
}

/* Whole lines; those that only a test of them looks at are left out unless it asks for them. */
static void receive(struct wire *wire, struct herd_slice bytes)
{
    while (bytes.len > 0 && !wire->driver->keeps_upkeep) {
        const char *lf = memchr(bytes.data, '\n', bytes.len);
        size_t len = lf != NULL ? (size_t)(lf - bytes.data) + 1 : bytes.len;
        if (!is_upkeep(herd_slice(bytes.data, len)))
            tape_append(&wire->got, herd_slice(bytes.data, len));
        bytes = herd_slice(bytes.data + len, bytes.len - len);
    }
    tape_append(&wire->got, bytes);
}

void wire_answer_pings(struct wire *wire)
{
    static const char ping[] = "\nPING\n";
    const char *end = wire->got.data + wire->got.len - wire->unwritten;
    const char *at = wire->got.data + wire->answered;
    if (!wire->driver->answers_pings || wire->peer[0] == '\0')
        return;
    while ((at = memmem(at, (size_t)(end - at), ping, sizeof(ping) - 1)) != NULL) {
        at += sizeof(ping) - 2; /* the LF may begin the next */
        wire->answered = (size_t)(at - wire->got.data);
        herd_conn_receive(wire->conn, wire->driver->now, "PONG\n", sizeof("PONG\n") - 1);
    }
}

static void on_write(struct driver *driver, struct wire *wire, struct herd_effect *effect)
{
    size_t len = effect->output.len;
    if (!wire->open || wire->closing)
        driver_fail("WRITE to what is not open");
    if (len == 0)
        driver_fail("an empty WRITE");
    if (driver->on_write != NULL)
        driver->on_write(driver->on_write_arg, wire, herd_buf_slice(&effect->output));
    receive(wire, herd_buf_slice(&effect->output));
    wire->unwritten += len;
    wire->writes++;
    herd_node_recycle(driver->node, &effect->output);
    if (effect->output.data != NULL)
        driver_fail("recycle took no ownership");
    if (driver->reports_writes) {
        wire->unwritten = 0;
        herd_conn_wrote(wire->conn, driver->now, len);
        wire_answer_pings(wire);
    }
}

static void on_read(struct wire *wire, bool read)
{
    if (wire->reading == read || wire->closing)
        driver_fail("READ that changes nothing");
    wire->reading = read;
    wire->resumes += read;
}

static void on_close(struct driver *driver, struct wire *wire, bool abort)
{
    if (wire->closing || (!wire->open && !wire->dialling))
        driver_fail("CLOSE of what is closed");
    wire->closing = true;
    wire->aborted = abort;
    if (driver->closes)
        report_closed(wire, "closed by this side");
}

static void on_places(struct driver *driver, const struct herd_effect *effect)
{
    struct question question = {effect->ask, effect->where, effect->radius_m, effect->count};
    if (driver->answers_places) {
        answer(driver, &question);
        return;
    }
    if (driver->ask_count == DRIVER_ASKS_MAX)
        driver_fail("too many asks");
    driver->asks[driver->ask_count++] = question;
}

static void on_notice(struct driver *driver, const struct herd_notice *notice)
{
    if (driver->notice_count == DRIVER_NOTICES_MAX)
        driver->notice_count = 0;
    driver->notices[driver->notice_count++] = *notice;
}

static void on_effect(struct driver *driver, struct herd_effect *effect)
{
    struct wire *wire = effect->conn != NULL ? herd_conn_data(effect->conn) : NULL;
    if (wire != NULL && wire->conn == NULL)
        wire->conn = effect->conn;
    switch (effect->kind) {
    case HERD_EFFECT_DIAL:
        on_dial(wire);
        break;
    case HERD_EFFECT_WRITE:
        on_write(driver, wire, effect);
        break;
    case HERD_EFFECT_READ:
        on_read(wire, effect->read);
        break;
    case HERD_EFFECT_CLOSE:
        on_close(driver, wire, effect->abort);
        break;
    case HERD_EFFECT_PLACES:
        on_places(driver, effect);
        break;
    case HERD_EFFECT_PERSIST:
        if (driver->on_persist == NULL)
            driver_fail("a node without a disk wants to write to it");
        driver->on_persist(driver->on_persist_arg, effect->batch);
        break;
    case HERD_EFFECT_NOTICE:
        on_notice(driver, &effect->notice);
        break;
    }
}

static void take_effects(struct driver *driver)
{
    struct herd_effect effect;
    unsigned effects = 0;
    while (herd_node_effect(driver->node, driver->now, &effect)) {
        on_effect(driver, &effect);
        if (++effects == EFFECTS_OF_A_TURN_MAX)
            driver_fail("the node has effects for ever");
    }
}

void driver_run(struct driver *driver)
{
    take_effects(driver);
    for (unsigned ticks = 0; driver->ticks && herd_node_wakeup(driver->node) <= driver->now.mono_ns;
         ticks++) {
        if (ticks == TICKS_AT_ONE_INSTANT_MAX)
            driver_fail("the node wants to be called for ever");
        herd_node_tick(driver->node, driver->now);
        take_effects(driver);
    }
}

void driver_advance_ms(struct driver *driver, int64_t ms)
{
    int64_t until = driver->now.mono_ns + ms * HERD_NS_PER_MS;
    int64_t next;
    driver_run(driver);
    while ((next = herd_node_wakeup(driver->node)) <= until) {
        if (next > driver->now.mono_ns)
            driver->now.mono_ns = next;
        driver_run(driver);
    }
    driver->now.mono_ns = until;
}

int64_t driver_advance_to_dial(struct driver *driver, const struct wire *link)
{
    int64_t began_ns = driver->now.mono_ns;
    while (!link->dialling) {
        int64_t next = herd_node_wakeup(driver->node);
        if (next == INT64_MAX)
            driver_fail("it will never dial");
        if (next > driver->now.mono_ns)
            driver->now.mono_ns = next;
        driver_run(driver);
    }
    return (driver->now.mono_ns - began_ns) / HERD_NS_PER_MS;
}

struct wire *driver_accept(struct driver *driver)
{
    struct wire *wire = new_wire(driver);
    if (herd_node_accept(driver->node, wire, &wire->conn) < 0) {
        wire->conn = NULL;
        return NULL;
    }
    wire->open = true;
    driver_run(driver);
    return wire;
}

struct wire *driver_add_neighbour(struct driver *driver, const char *name)
{
    struct wire *wire = new_wire(driver);
    snprintf(wire->peer, sizeof(wire->peer), "%s", name);
    if (herd_node_add_neighbour(driver->node, driver->now, name, wire) < 0)
        return NULL;
    driver_run(driver);
    return wire;
}

void driver_remove_neighbour(struct driver *driver, const char *name)
{
    if (herd_node_remove_neighbour(driver->node, driver->now, name) < 0)
        driver_fail("no such neighbour");
    driver_run(driver);
}

void driver_stop(struct driver *driver)
{
    herd_node_stop(driver->node, driver->now);
    driver_run(driver);
}

void wire_dialled(struct wire *wire, const char *failure)
{
    if (!wire->dialling)
        driver_fail("nothing is being dialled");
    wire->dialling = false;
    wire->open = failure == NULL;
    herd_link_dialled(wire->conn, wire->driver->now, failure);
    driver_run(wire->driver);
}

void wire_send(struct wire *wire, struct herd_slice bytes)
{
    if (!wire->open)
        return;
    /* In memory of its own, so that a sanitizer sees who keeps a pointer into it. */
    char *copy = zeroed(bytes.len > 0 ? bytes.len : 1);
    if (bytes.len > 0)
        memcpy(copy, bytes.data, bytes.len);
    herd_conn_receive(wire->conn, wire->driver->now, copy, bytes.len);
    DRIVER_FREE(copy);
    driver_run(wire->driver);
}

void wire_say(struct wire *wire, const char *text)
{
    wire_send(wire, herd_slice_of(text));
}

void wire_sayf(struct wire *wire, const char *format, ...)
{
    char text[HERD_LINE_MAX * 2];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    assert(len >= 0 && (size_t)len < sizeof(text));
    wire_send(wire, herd_slice(text, (size_t)len));
}

void wire_end(struct wire *wire)
{
    if (!wire->open)
        return;
    herd_conn_end(wire->conn, wire->driver->now);
    driver_run(wire->driver);
}

void wire_close(struct wire *wire, const char *reason)
{
    if (!wire->open && !(wire->dialling && wire->closing))
        return;
    report_closed(wire, reason);
    driver_run(wire->driver);
}

void wire_wrote(struct wire *wire, size_t len)
{
    if (!wire->open || wire->unwritten == 0)
        return;
    len = len < wire->unwritten ? len : wire->unwritten;
    wire->unwritten -= len;
    herd_conn_wrote(wire->conn, wire->driver->now, len);
    wire_answer_pings(wire);
    driver_run(wire->driver);
}

struct herd_slice wire_take(struct wire *wire)
{
    if (wire->taken == wire->got.len) /* maybe nothing ever came, and data is NULL */
        return herd_slice("", 0);
    struct herd_slice news = herd_slice(wire->got.data + wire->taken, wire->got.len - wire->taken);
    wire->taken = wire->got.len;
    return news;
}

size_t driver_count_notices(const struct driver *driver, enum herd_notice_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < driver->notice_count; i++)
        count += driver->notices[i].kind == kind;
    return count;
}

const struct herd_notice *driver_last_notice(const struct driver *driver,
                                             enum herd_notice_kind kind)
{
    for (size_t i = driver->notice_count; i > 0; i--) {
        if (driver->notices[i - 1].kind == kind)
            return &driver->notices[i - 1];
    }
    return NULL;
}

const char *driver_link_state(const struct driver *driver, const char *name)
{
    struct herd_link_status status;
    for (size_t i = 0; herd_node_link(driver->node, i, &status); i++) {
        if (strcmp(status.peer, name) == 0)
            return status.state;
    }
    return "";
}

void driver_free(struct driver *driver)
{
    driver->ticks = true;
    driver->closes = true;
    driver->answers_places = true;
    while (driver->ask_count > 0)
        driver_answer(driver, driver->ask_count - 1);
    for (size_t i = 0; i < driver->wire_count; i++) {
        struct wire *wire = driver->wires[i];
        if (wire->peer[0] == '\0')
            wire_close(wire, "the test is over");
    }
    take_effects(driver);
    if (driver->places_held > 0)
        driver_fail("places that the node has not let go of");
    herd_node_free(driver->node);
    for (size_t i = 0; i < driver->wire_count; i++) {
        DRIVER_FREE(driver->wires[i]->got.data);
        DRIVER_FREE(driver->wires[i]);
    }
    DRIVER_FREE(driver->wires);
    DRIVER_FREE(driver);
}
