/*
 * Four bytes say how, the rest is what comes on an accepted connection, in arbitrary pieces, with
 * its end. A model that takes one line after the other says what has to come back: the same bytes,
 * whatever the pieces, the order in which places are answered, and how slowly the answers are read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <herd/err.h>
#include <herd/proto.h>

#include "core/rng.h"
#include "driver.h"
#include "fuzz.h"
#include "plain_lines.h"

enum {
    FOREIGN_LINES_MAX = 3,
    PLACES_LATE = 1, /* bits of how */
    READS_SLOWLY = 2,
    WAITS = 4,         /* sends only while the node reads */
    IS_RESET = 8,      /* the connection is gone at some point, without an end */
    MAY_ASK_AGAIN = 16 /* places need not be kept */
};

struct model {
    struct herd_store *store;
    struct herd_buf expected;
    bool is_open; /* the stream asks for what other servers or the time decide */
    bool closed;  /* the node has to close behind this line */
    unsigned foreign;
    bool is_peer; /* HELLO of the one neighbour has come */
    uint64_t epoch, sequence;
};

static void say(struct model *model, const char *text)
{
    FUZZ_CHECK(herd_buf_append_text(&model->expected, text) == 0);
}

/* False: a command that does not fit, and is invalid therefore. */
static bool on_iamat(struct model *model, struct herd_record *record)
{
    char received[HERD_TIME_TEXT_MAX], diff[HERD_TIME_TEXT_MAX];
    record->received_ns = DRIVER_WALL_S * HERD_NS_PER_S;
    record->received = herd_slice(received, herd_time_format(record->received_ns, received));
    record->diff =
        herd_slice(diff, herd_time_diff_format(record->received_ns - record->sent_ns, diff));
    record->origin = herd_slice_of("Hill");
    if (!herd_record_fits(record))
        return false;
    FUZZ_CHECK(herd_store_apply(model->store, record, 0, 0) >= 0);
    FUZZ_CHECK(herd_buf_printf(&model->expected, "AT Hill %.*s %.*s %.*s %.*s\n",
                               (int)record->diff.len, record->diff.data, (int)record->client.len,
                               record->client.data, (int)record->location.len,
                               record->location.data, (int)record->sent.len,
                               record->sent.data) == 0);
    return true;
}

static bool on_whatsat(struct model *model, const struct herd_command *command)
{
    struct herd_record held;
    struct herd_location where;
    char places[256];
    model->is_open = model->is_open || command->has_after;
    if (!herd_store_find(model->store, command->record.client, &held))
        return false;
    FUZZ_CHECK(herd_record_append_at(&held, &model->expected) == 0);
    FUZZ_CHECK(herd_location_parse(held.location, &where) == 0);
    size_t len = driver_places(where, command->radius_m, command->count, places, sizeof(places));
    FUZZ_CHECK(herd_buf_append(&model->expected, places, len) == 0);
    return true;
}

static void on_hello(struct model *model, const struct herd_command *command)
{
    if (herd_slice_equal(command->server, herd_slice_of("Hill"))) {
        say(model, "REFUSE this is my own name\n");
        model->closed = true;
        return;
    }
    if (command->max_skew_ns != 0) {
        char theirs[64];
        int64_t rest_ns = command->max_skew_ns % HERD_NS_PER_S;
        int len =
            snprintf(theirs, sizeof(theirs), "%" PRId64, command->max_skew_ns / HERD_NS_PER_S);
        if (rest_ns != 0)
            snprintf(theirs + len, sizeof(theirs) - (size_t)len, ".%09" PRId64, rest_ns);
        FUZZ_CHECK(herd_buf_printf(&model->expected,
                                   "REFUSE max_skew_s differs (mine is 0, yours %s); it must be "
                                   "the same in the whole herd\n",
                                   theirs) == 0);
        model->closed = true;
        return;
    }
    uint64_t sequence = 0;
    if (herd_slice_equal(command->server, herd_slice_of("Peer"))) {
        if (model->epoch != command->epoch || model->sequence > command->sequence)
            model->sequence = 0;
        model->epoch = command->epoch;
        model->is_peer = true;
        sequence = model->sequence;
    }
    FUZZ_CHECK(herd_append_position(&model->expected, HERD_VERB_RESUME, command->epoch, sequence) ==
               0);
}

static bool on_command(struct model *model, struct herd_command *command)
{
    switch (command->verb) {
    case HERD_VERB_IAMAT:
        return on_iamat(model, &command->record);
    case HERD_VERB_WHATSAT:
        return on_whatsat(model, command);
    case HERD_VERB_FLOOD:
        FUZZ_CHECK(herd_store_apply(model->store, &command->record, 0, 0) >= 0);
        return true;
    case HERD_VERB_HELLO:
        on_hello(model, command);
        return true;
    case HERD_VERB_MARK:
        if (model->is_peer && model->epoch == command->epoch)
            model->sequence = command->sequence;
        return true;
    case HERD_VERB_PING:
        say(model, "PONG\n");
        return true;
    case HERD_VERB_TREE:
        model->is_open = model->is_open || model->is_peer;
        return model->is_peer && command->prefix_len < 4;
    case HERD_VERB_HAVE: /* what of it is held, a neighbour is told */
        model->is_open = model->is_open || model->is_peer;
        return true;
    case HERD_VERB_PONG:
    case HERD_VERB_NONE:
    case HERD_VERB_LOST:
    case HERD_VERB_FASTER:
    case HERD_VERB_DIGEST:
    case HERD_VERB_WANT:
        return true;
    default:
        return false; /* RESUME, REFUSE, ACK, KEYS … are for listeners to say */
    }
}

static void on_line(struct model *model, struct herd_slice line)
{
    struct herd_command command;
    if (herd_command_parse(line, &command) == 0 && on_command(model, &command)) {
        model->foreign = 0;
        return;
    }
    FUZZ_CHECK(herd_append_invalid(&model->expected, line) == 0);
    model->foreign = herd_line_is_foreign(line) ? model->foreign + 1 : 0;
    model->closed = model->foreign == FOREIGN_LINES_MAX;
}

/* All that has to come back. */
static void run_model(struct model *model, struct herd_slice stream)
{
    struct herd_slice line;
    int rc;
    FUZZ_CHECK(herd_store_new(1, 0, &model->store) == 0);
    while (!model->closed && (rc = plain_line(&stream, &line)) != 0) {
        if (rc > 0) {
            on_line(model, line);
            continue;
        }
        FUZZ_CHECK(herd_append_invalid(&model->expected, line) == 0);
        model->closed = true;
    }
}

/* One of the things that may happen meanwhile. */
static void happen(struct wire *wire, struct rng *rng)
{
    struct driver *driver = wire->driver;
    if (driver->ask_count > 0 && rng_below(rng, 2) == 0)
        driver_answer(driver, rng_below(rng, driver->ask_count));
    else
        wire_wrote(wire, 1 + rng_below(rng, 3000));
}

static bool is_idle(const struct wire *wire)
{
    return wire->driver->ask_count == 0 && wire->unwritten == 0;
}

static void send_pieces(struct wire *wire, struct herd_slice stream, unsigned how, struct rng *rng)
{
    uint64_t piece_max = (uint64_t)1 << rng_below(rng, 14);
    while (stream.len > 0 && wire->open) {
        size_t n = 1 + rng_below(rng, piece_max);
        n = n < stream.len ? n : stream.len;
        wire_send(wire, herd_slice(stream.data, n));
        stream = herd_slice(stream.data + n, stream.len - n);
        if (rng_below(rng, 4) == 0)
            happen(wire, rng);
        while (wire->open && how & WAITS && !wire->reading && !wire->closing) {
            FUZZ_CHECK(!is_idle(wire));
            happen(wire, rng);
        }
        if (how & IS_RESET && rng_below(rng, 8) == 0)
            return;
    }
}

/* The connection was reset: what has come is the beginning of what was expected. */
static void check_beginning(struct wire *wire, const struct model *model)
{
    wire_close(wire, "reset");
    struct herd_slice got = wire_take(wire);
    FUZZ_CHECK(got.len <= model->expected.len);
    fuzz_expect("the beginning", got, herd_slice(model->expected.data, got.len));
}

static void check_all(struct wire *wire, const struct model *model, struct rng *rng)
{
    struct driver *driver = wire->driver;
    wire_end(wire);
    while (wire->open && !is_idle(wire))
        happen(wire, rng);
    struct herd_slice got = wire_take(wire);
    fuzz_expect("what came back", got, herd_buf_slice(&model->expected));
    FUZZ_CHECK(!wire->open && !wire->aborted);
    FUZZ_CHECK(herd_store_count(herd_node_store(driver->node)) == herd_store_count(model->store));
    FUZZ_CHECK(herd_store_digest(herd_node_store(driver->node)) == herd_store_digest(model->store));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, data + size};
    struct rng rng = {fuzz_short(&input)};
    unsigned how = fuzz_byte(&input);
    unsigned limits = fuzz_byte(&input);
    struct herd_slice stream = fuzz_bytes(&input, size);
    struct model model = {0};
    struct herd_node_options options = driver_options("Hill");
    options.pipeline_max = limits % 8 + 1;
    options.output_max = (size_t)1 << (limits / 8 % 16);
    run_model(&model, stream);

    struct driver *driver = driver_new_with(&options);
    struct wire *link = driver_add_neighbour(driver, "Peer");
    struct wire *wire = driver_accept(driver);
    FUZZ_CHECK(link != NULL && wire != NULL);
    driver->places_bytes = how & MAY_ASK_AGAIN ? 100 : 0;
    driver->answers_places = !(how & PLACES_LATE);
    driver->reports_writes = !(how & READS_SLOWLY);
    send_pieces(wire, stream, how, &rng);
    if (model.is_open) /* what comes back is right, but not foretold */
        wire_end(wire);
    else if (how & IS_RESET)
        check_beginning(wire, &model);
    else
        check_all(wire, &model, &rng);
    driver_free(driver);
    herd_store_free(model.store);
    herd_buf_free(&model.expected);
    return 0;
}
