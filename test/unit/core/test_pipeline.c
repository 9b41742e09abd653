/* 300 commands of all kinds on one connection: however their bytes arrive, in whatever order the
 * places are answered, and however slowly the answers are read, the answers are the same. */
#include <herd/err.h>

#include "check.h"
#include "core/rng.h"
#include "driver.h"

enum { COMMANDS = 300 };

struct conversation {
    struct herd_buf commands, answers;
    unsigned clients; /* known so far: p0, p1, … */
};

static void add(struct conversation *talk, const char *command, const char *answer)
{
    assert_int_equal(herd_buf_append_text(&talk->commands, command), 0);
    assert_int_equal(herd_buf_append_text(&talk->answers, answer), 0);
}

static void add_iamat(struct conversation *talk, unsigned i)
{
    char command[128], answer[128];
    talk->clients++;
    snprintf(command, sizeof(command), "IAMAT p%u +%u.5-%u.25/ 1699999999.%03u\n", i, i % 90, i, i);
    snprintf(answer, sizeof(answer), "AT Hill +0.%03u000000 p%u +%u.5-%u.25/ 1699999999.%03u\n",
             1000 - i, i, i % 90, i, i);
    if (i == 0) /* 1000 ms are a second */
        snprintf(answer, sizeof(answer), "AT Hill +1.000000000 p0 +0.5-0.25/ 1699999999.000\n");
    add(talk, command, answer);
}

/* `i` is of a client that is known. */
static void add_whatsat(struct conversation *talk, unsigned i, unsigned radius_km, unsigned count)
{
    char command[128], at[128], answer[512], places[256];
    struct herd_location where = {i % 90 + 0.5, -(i + 0.25)};
    size_t len = driver_places(where, radius_km * 1000.0, count, places, sizeof(places));
    unsigned ms = 1000 - i;
    snprintf(command, sizeof(command), "WHATSAT p%u %u %u\r\n", i, radius_km, count);
    snprintf(at, sizeof(at), "AT Hill +%u.%03u000000 p%u +%u.5-%u.25/ 1699999999.%03u\n", ms / 1000,
             ms % 1000, i, i % 90, i, i);
    snprintf(answer, sizeof(answer), "%s%.*s", at, (int)len, places);
    add(talk, command, answer);
}

static void add_invalid(struct conversation *talk, struct rng *rng, unsigned i)
{
    static const char *const forms[] = {
        "nonsense %u",   "IAMAT x%u +1+1",   "WHATSAT unknown%u 10 5",
        "  spaces %u  ", "WHATSAT p0 51 %u", "RESUME %u",
        "\xc3\xa9 %u"};
    char line[64], command[80], answer[80];
    const char *form = forms[rng_below(rng, COUNT_OF(forms))];
    size_t mark = (size_t)(strchr(form, '%') - form);
    snprintf(line, sizeof(line), "%.*s%u%s", (int)mark, form, i, form + mark + 2);
    snprintf(command, sizeof(command), "%s%s", line, i % 2 == 0 ? "\n" : "\r\n");
    snprintf(answer, sizeof(answer), "? %s\n", line);
    add(talk, command, answer);
}

static void add_silent(struct conversation *talk, struct rng *rng, unsigned i)
{
    static const char *const forms[] = {"\n", "  \t\r\n", "PONG\n", "MARK 0000000000000001 7\n"};
    char flood[128];
    snprintf(flood, sizeof(flood), "FLOOD Jaquez f%u +1+1 %u 1.0 Jaquez +0.5\n", i, i);
    add(talk, i % 2 == 0 ? flood : forms[rng_below(rng, COUNT_OF(forms))], "");
}

static void make(struct conversation *talk, struct rng *rng)
{
    *talk = (struct conversation){0};
    for (unsigned i = 0; i < COMMANDS; i++) {
        uint64_t kind = rng_below(rng, 10);
        if (kind < 3 || talk->clients == 0)
            add_iamat(talk, talk->clients);
        else if (kind < 7)
            add_whatsat(talk, (unsigned)rng_below(rng, talk->clients), (unsigned)rng_below(rng, 51),
                        (unsigned)rng_below(rng, 21));
        else if (kind < 8)
            add_invalid(talk, rng, i);
        else if (kind < 9)
            add_silent(talk, rng, i);
        else
            add(talk, "PING\n", "PONG\n");
    }
    /* The last has no LF and counts once the other side closes its half. */
    add(talk, "WHATSAT nobody 1 1", "? WHATSAT nobody 1 1\n");
}

static void free_conversation(struct conversation *talk)
{
    herd_buf_free(&talk->commands);
    herd_buf_free(&talk->answers);
}

/* How the bytes come and go. */
struct manner {
    const char *name;
    size_t piece_max; /* bytes of a piece: 1 to this many */
    bool waits;       /* until the node wants to read */
    bool slow_reader;
    bool places_late; /* answered at random times in a random order, else at once */
    unsigned pipeline_max;
    size_t output_max;
    size_t places_bytes; /* 0: they are kept, else asked again */
};

static const struct manner manners[] = {
    {"in one piece", SIZE_MAX, false, false, false, 64, 65536, 0},
    {"in one piece, places late", SIZE_MAX, false, false, true, 64, 65536, 0},
    {"in one piece, all places late", SIZE_MAX, false, false, true, COMMANDS, 1 << 20, 0},
    {"byte by byte", 1, true, false, false, 64, 65536, 0},
    {"byte by byte, places late", 1, true, false, true, 64, 65536, 0},
    {"in odd pieces, places late", 37, true, false, true, 64, 65536, 0},
    {"in odd pieces, reads slowly", 53, true, true, true, 8, 2000, 0},
    {"in larger pieces, reads slowly", 700, true, true, true, 3, 300, 0},
    {"one question at a time", 211, true, false, true, 1, 65536, 0},
    {"one answer at a time", 97, true, true, false, 64, 1, 0},
    {"asks again, reads slowly", 700, true, true, true, 64, 500, 150},
    {"asks again, one answer at a time", 211, true, true, false, 64, 1, 1},
    {"asks again, in one piece", SIZE_MAX, false, true, true, COMMANDS, 4000, 300},
};

/* One of the things that may happen meanwhile: an answer of the provider, bytes read. */
static void happen(struct wire *wire, struct rng *rng)
{
    struct driver *driver = wire->driver;
    if (driver->ask_count > 0 && rng_below(rng, 2) == 0)
        driver_answer(driver, rng_below(rng, driver->ask_count));
    else
        wire_wrote(wire, 1 + rng_below(rng, 500));
}

static bool is_idle(const struct wire *wire)
{
    return wire->driver->ask_count == 0 && wire->unwritten == 0;
}

static void converse(const struct conversation *talk, const struct manner *manner, struct rng *rng,
                     uint64_t round)
{
    struct herd_node_options options = driver_options("Hill");
    options.pipeline_max = manner->pipeline_max;
    options.output_max = manner->output_max;
    struct driver *driver = driver_new_with(&options);
    struct wire *wire = driver_accept(driver);
    struct herd_slice left = herd_buf_slice(&talk->commands);
    driver->places_bytes = manner->places_bytes;
    driver->answers_places = !manner->places_late;
    driver->reports_writes = !manner->slow_reader;
    while (left.len > 0) {
        size_t n = 1 + (manner->piece_max > 1 ? rng_below(rng, manner->piece_max) : 0);
        n = n < left.len ? n : left.len;
        wire_send(wire, herd_slice(left.data, n));
        left = herd_slice(left.data + n, left.len - n);
        if (rng_below(rng, 3) == 0)
            happen(wire, rng);
        while (manner->waits && !wire->reading) {
            CHECK_TRUE(("%s, round %d", manner->name, (int)round), !is_idle(wire));
            happen(wire, rng);
        }
    }
    wire_end(wire);
    while (wire->open && !is_idle(wire))
        happen(wire, rng);
    CHECK_SLICE(("%s, round %d", manner->name, (int)round), wire_take(wire),
                herd_buf_slice(&talk->answers));
    CHECK_TRUE(("%s, round %d", manner->name, (int)round), !wire->open && !wire->aborted);
    driver_free(driver);
}

static void test_answers_do_not_depend_on_how_bytes_arrive(void **state)
{
    struct rng rng = {81};
    (void)state;
    for (uint64_t round = 0; round < 50; round++) {
        struct conversation talk;
        make(&talk, &rng);
        for (size_t i = 0; i < COUNT_OF(manners); i++)
            converse(&talk, &manners[i], &rng, round);
        free_conversation(&talk);
    }
}

/* Several such connections at once do not get into each other's way. */
static void test_many_connections(void **state)
{
    enum { WIRES = 16 };
    struct rng rng = {82};
    struct conversation talk;
    struct wire *wires[WIRES];
    size_t at[WIRES] = {0};
    size_t done = 0;
    struct driver *driver = driver_new("Hill", 0);
    (void)state;
    make(&talk, &rng);
    driver->answers_places = false;
    for (size_t i = 0; i < WIRES; i++)
        wires[i] = driver_accept(driver);
    while (done < WIRES) {
        size_t i = rng_below(&rng, WIRES);
        size_t n = talk.commands.len - at[i];
        if (driver->ask_count > 0 && rng_below(&rng, 3) > 0)
            driver_answer(driver, rng_below(&rng, driver->ask_count));
        if (n == 0 || !wires[i]->reading)
            continue;
        n = n < 900 ? n : rng_below(&rng, 900);
        wire_send(wires[i], herd_slice(talk.commands.data + at[i], n));
        at[i] += n;
        if (at[i] == talk.commands.len) {
            wire_end(wires[i]);
            done++;
        }
    }
    while (driver->ask_count > 0)
        driver_answer(driver, rng_below(&rng, driver->ask_count));
    for (size_t i = 0; i < WIRES; i++) {
        CHECK_SLICE(("wire %zu", i), wire_take(wires[i]), herd_buf_slice(&talk.answers));
        CHECK_TRUE(("wire %zu", i), !wires[i]->open && !wires[i]->aborted);
    }
    free_conversation(&talk);
    driver_free(driver);
}

static void on_write_count(void *arg, struct wire *wire, struct herd_slice bytes)
{
    unsigned *writes = arg;
    (void)wire;
    (void)bytes;
    (*writes)++;
}

/* Questions that are answered at once are answered before anything is written. */
static void test_answers_of_a_turn_are_one_write(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    unsigned writes = 0;
    driver->on_write = on_write_count;
    driver->on_write_arg = &writes;
    wire_say(wire, "IAMAT p +1+1 1\nWHATSAT p 10 0\nWHATSAT p 10 0\nIAMAT p +1+1 2\n"
                   "WHATSAT p 10 5\n");
    assert_int_equal(driver->renders, 3);
    assert_int_equal(writes, 1);
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_do_not_depend_on_how_bytes_arrive),
        cmocka_unit_test(test_many_connections),
        cmocka_unit_test(test_answers_of_a_turn_are_one_write),
    };
    return cmocka_run_group_tests_name("pipeline", tests, NULL, NULL);
}
