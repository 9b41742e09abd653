/*
 * The input plays the neighbour of a node that prunes: it takes connections or does not, says anything, reads
 * or does not, dials as well, and goes away; clients send updates meanwhile, and time passes. All
 * that the node says on its link is checked; in the end the neighbour behaves, and has to learn
 * all.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <herd/err.h>
#include <herd/proto.h>

#include "core/link.h"
#include "driver.h"
#include "fuzz.h"

enum { CLIENTS = 16, SLACK_BYTES = 8192 /* control lines, and the line that fills the window */ };

struct game {
    struct driver *driver;
    struct wire *link;    /* NULL while the edge is removed */
    struct wire *inbound; /* the neighbour's own connection, or NULL */
    struct wire *other;   /* of another neighbour, which brings records of the server Far */
    struct wire *client;
    uint64_t marked; /* by MARK, on this connection of the link */
    unsigned dials;  /* at the last look */
    /* In the end: what the neighbour has learnt on the last connection, as in its own store. */
    struct herd_store *learnt;
};

static uint64_t epoch_of(const struct game *game)
{
    return herd_node_epoch(game->driver->node);
}

/* A FLOOD has the record that is held now, as it is held. */
static void check_flood(struct game *game, const struct herd_command *command)
{
    struct herd_record held;
    const struct herd_store *store = herd_node_store(game->driver->node);
    fuzz_expect("who sends it", command->server, herd_slice_of("Hill"));
    FUZZ_CHECK(herd_store_find(store, command->record.client, &held));
    FUZZ_CHECK(herd_record_compare(&held, &command->record, 0) == 0);
    if (game->learnt != NULL)
        FUZZ_CHECK(herd_store_apply(game->learnt, &command->record, 0, 0) >= 0);
}

static bool is_taken_for_plain(const struct game *game)
{
    const char *state = driver_link_state(game->driver, "Peer");
    return strcmp(state, "plain") == 0 || strcmp(state, "silent") == 0;
}

static void check_line(struct game *game, struct herd_slice line)
{
    struct herd_command command;
    FUZZ_CHECK(line.len <= HERD_LINE_MAX);
    FUZZ_CHECK(herd_command_parse(line, &command) == 0);
    switch (command.verb) {
    case HERD_VERB_HELLO:
        FUZZ_CHECK(game->link->got.len == 0 || is_taken_for_plain(game)); /* where it comes again */
        FUZZ_CHECK(command.epoch == epoch_of(game));
        break;
    case HERD_VERB_FLOOD:
        check_flood(game, &command);
        break;
    case HERD_VERB_MARK:
        FUZZ_CHECK(command.epoch == epoch_of(game));
        FUZZ_CHECK(command.sequence >= game->marked);
        FUZZ_CHECK(command.passed <= herd_store_sequence(herd_node_store(game->driver->node)));
        game->marked = command.sequence;
        break;
    case HERD_VERB_DIGEST:
    case HERD_VERB_TREE:
    case HERD_VERB_KEYS:
    case HERD_VERB_HAVE:
    case HERD_VERB_LOST:
    case HERD_VERB_FASTER:
        break; /* of the store as it is now; the unit tests look at them */
    default:
        FUZZ_CHECK(command.verb == HERD_VERB_PING || command.verb == HERD_VERB_PONG);
    }
}

static void on_write(void *arg, struct wire *wire, struct herd_slice bytes)
{
    struct game *game = arg;
    if (strcmp(wire->peer, "Peer") != 0)
        return;
    if (wire->dials != game->dials) {
        game->dials = wire->dials;
        game->marked = 0;
    }
    FUZZ_CHECK(wire->unwritten + bytes.len <= LINK_WINDOW_BYTES + SLACK_BYTES);
    while (bytes.len > 0) {
        const char *end = memchr(bytes.data, '\n', bytes.len);
        FUZZ_CHECK(end != NULL);
        struct herd_slice line = herd_slice(bytes.data, (size_t)(end - bytes.data));
        check_line(game, line);
        bytes = herd_slice(end + 1, bytes.len - line.len - 1);
    }
}

static void play_raw(struct game *game, struct fuzz_input *input)
{
    struct herd_slice bytes = fuzz_bytes(input, fuzz_byte(input));
    if (game->link != NULL)
        wire_send(game->link, bytes);
}

static void play_resume(struct game *game, struct fuzz_input *input)
{
    unsigned sequence = fuzz_byte(input);
    char life[48] = "";
    if (sequence >= 192)
        snprintf(life, sizeof(life), " recovered life=%016x", sequence % 4);
    if (game->link != NULL)
        wire_sayf(game->link, "RESUME %016" PRIx64 " %u%s\n", epoch_of(game), sequence % 64, life);
}

static void play_word(struct game *game, struct fuzz_input *input)
{
    static const char *const words[] = {"PONG\n", "PING\n", "? HELLO Hill\n", "REFUSE no\n"};
    unsigned word = fuzz_byte(input) % 4;
    if (game->link != NULL)
        wire_say(game->link, words[word]);
}

static void play_time(struct game *game, struct fuzz_input *input)
{
    driver_advance_ms(game->driver, fuzz_short(input) % 8000);
}

static void play_dialled(struct game *game, struct fuzz_input *input)
{
    bool refused = fuzz_byte(input) % 4 == 3;
    if (game->link != NULL && game->link->dialling && !(game->link->closing && !refused))
        wire_dialled(game->link, refused ? "refused" : NULL);
}

static void play_end(struct game *game, struct fuzz_input *input)
{
    bool half = fuzz_byte(input) % 2;
    if (game->link == NULL)
        return;
    if (half)
        wire_end(game->link);
    else
        wire_close(game->link, "reset");
}

/* An update that may be newer than the one that is held, or not. */
static void play_update(struct game *game, struct fuzz_input *input)
{
    unsigned client = fuzz_byte(input);
    unsigned second = fuzz_byte(input);
    wire_sayf(game->client, "IAMAT c%u +1+%u %u\n", client % CLIENTS, client / CLIENTS, second);
}

/* Some of these fill a window. */
static void play_large_updates(struct game *game, struct fuzz_input *input)
{
    unsigned second = fuzz_byte(input);
    for (unsigned i = 0; i < 2; i++)
        wire_sayf(game->client, "IAMAT large%u +1.%03800d-1 %u\n", second % 64 + i, 0, second);
}

static void open_inbound(struct game *game)
{
    if (game->inbound == NULL || !game->inbound->open)
        game->inbound = driver_accept(game->driver);
}

static void play_inbound_raw(struct game *game, struct fuzz_input *input)
{
    open_inbound(game);
    wire_send(game->inbound, fuzz_bytes(input, fuzz_byte(input)));
}

static void play_inbound_hello(struct game *game, struct fuzz_input *input)
{
    unsigned epoch = fuzz_byte(input);
    unsigned sequence = fuzz_byte(input);
    char life[64] = "";
    unsigned number = epoch / 4 % 4;
    if (number > 0)
        snprintf(life, sizeof(life), " life=%016x from=%u", number, sequence / 2 + 1);
    open_inbound(game);
    wire_sayf(game->inbound, "HELLO Peer 2 %016x %u -%s%s\n", epoch % 4, sequence,
              epoch >= 128 ? " prune" : "", life);
}

/* It brings a record, or goes away. */
static void play_other(struct game *game, unsigned client, unsigned second)
{
    if (game->other == NULL || !game->other->open) {
        game->other = driver_accept(game->driver);
        wire_say(game->other, "HELLO Other 2 00000000000000ee 0 - prune\n");
    }
    if (client == 255)
        wire_close(game->other, "reset");
    else
        wire_sayf(game->other, "FLOOD Other c%u +2+%u %u 1.0 Far +0.0\n", client % CLIENTS,
                  client / CLIENTS, second);
}

static void play_inbound_flood(struct game *game, struct fuzz_input *input)
{
    unsigned client = fuzz_byte(input);
    unsigned second = fuzz_byte(input);
    if (second >= 128) {
        play_other(game, client, second - 128);
        return;
    }
    open_inbound(game);
    wire_sayf(game->inbound, "FLOOD Peer c%u +2+%u %u 1.0 Peer +0.0\n", client % CLIENTS,
              client / CLIENTS, second);
}

static void play_inbound_end(struct game *game, struct fuzz_input *input)
{
    bool half = fuzz_byte(input) % 2;
    if (game->inbound == NULL)
        return;
    if (half)
        wire_end(game->inbound);
    else
        wire_close(game->inbound, "reset");
}

/* The loop is slow: with WRITEs, or with closing. */
static void play_slow(struct game *game, struct fuzz_input *input)
{
    unsigned how = fuzz_byte(input);
    struct driver *driver = game->driver;
    driver->reports_writes = how & 1;
    driver->closes = how & 2;
    for (size_t i = 0; i < driver->wire_count; i++) {
        struct wire *wire = driver->wires[i];
        if (driver->reports_writes)
            wire_wrote(wire, SIZE_MAX);
        if (driver->closes && wire->closing)
            wire_close(wire, "closed at last");
    }
}

static void play_wrote(struct game *game, struct fuzz_input *input)
{
    size_t len = (size_t)fuzz_short(input) * 8;
    if (game->link != NULL)
        wire_wrote(game->link, len);
}

static void play_edge(struct game *game, struct fuzz_input *input)
{
    (void)input;
    if (game->link != NULL) {
        driver_remove_neighbour(game->driver, "Peer");
        game->link = NULL;
        return;
    }
    game->link = driver_add_neighbour(game->driver, "Peer");
    game->dials = 0;
}

static void (*const moves[])(struct game *game, struct fuzz_input *input) = {
    play_raw,           play_resume,      play_word,          play_time,        play_dialled,
    play_end,           play_update,      play_large_updates, play_inbound_raw, play_inbound_hello,
    play_inbound_flood, play_inbound_end, play_slow,          play_wrote,       play_edge,
};

/* The neighbour has lost all it knew, and answers HELLO as one of ours does. */
static void learn_all(struct game *game)
{
    struct driver *driver = game->driver;
    static const uint8_t both[] = {3}; /* writes are reported and connections closed at once */
    struct fuzz_input honest = {both, both + sizeof(both)};
    play_slow(game, &honest);
    if (game->link == NULL)
        play_edge(game, &honest);
    if (game->inbound != NULL)
        wire_close(game->inbound, "reset");
    game->inbound = driver_accept(driver);
    wire_say(game->inbound, "HELLO Peer 2 00000000000000ff 0 -\n");
    wire_close(game->link, "reset");
    driver_advance_to_dial(driver, game->link);
    FUZZ_CHECK(herd_store_new(2, 0, &game->learnt) == 0);
    wire_dialled(game->link, NULL);
    struct herd_slice got = wire_take(game->link);
    FUZZ_CHECK(got.len > 6 && memcmp(got.data, "HELLO ", 6) == 0);
    wire_sayf(game->link, "RESUME %016" PRIx64 " 0\n", epoch_of(game));
    driver_advance_ms(driver, 1000);
    const struct herd_store *store = herd_node_store(driver->node);
    FUZZ_CHECK(herd_store_count(game->learnt) == herd_store_count(store));
    FUZZ_CHECK(herd_store_digest(game->learnt) == herd_store_digest(store));
    FUZZ_CHECK(game->marked == herd_store_sequence(store));
    FUZZ_CHECK(strcmp(driver_link_state(driver, "Peer"), "up") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, data + size};
    struct herd_node_options options = driver_options("Hill");
    options.prune = true;
    struct game game = {.driver = driver_new_with(&options)};
    game.driver->on_write = on_write;
    game.driver->on_write_arg = &game;
    game.client = driver_accept(game.driver);
    driver_add_neighbour(game.driver, "Other"); /* its link never comes up */
    game.link = driver_add_neighbour(game.driver, "Peer");
    while (input.at < input.end)
        moves[fuzz_byte(&input) % (sizeof(moves) / sizeof(moves[0]))](&game, &input);
    learn_all(&game);
    driver_stop(game.driver);
    FUZZ_CHECK(!game.link->open && !game.link->dialling);
    driver_free(game.driver);
    herd_store_free(game.learnt);
    return 0;
}
