/* Once it has warmed up, a node allocates nothing for a request: not for one that is answered at
 * once, that waits for the disk, a neighbour or a record, that asks for places, or for a FLOOD. Nor
 * does it call printf for one. */
#include <inttypes.h>

#include <herd/proto.h>

#include "check.h"
#include "driver.h"
#include "formats.h"
#include "shortage.h"

enum { WARM_UP = 1000, TURNS = 1000, TURN_MS = 3, CLIENTS = 500, LINES_BYTES_MAX = 8192 };

enum { CROWD_MAX = 400, CROWD_LINES = 64, CROWD_TURNS = 10 };

/* Hill, between Jaquez and Smith, who say what a neighbour does to what they are sent. */
struct scene {
    struct driver *driver;
    struct wire *client;
    struct wire *jaquez, *smith; /* links; NULL: there are none */
    struct wire *from;           /* Smith's connection */
    unsigned answers, haves;     /* AT and HAVE lines so far */
};

/* As long as herd-bench's: a client, its place and the time have 61 bytes. */
#define CLIENT "bench-device%08u"
#define TIME   "170%07u.000000000"

/* Appends the i-th request; each client says something new every CLIENTS. */
typedef void request_type(struct herd_buf *out, unsigned i);

static void update(struct herd_buf *out, unsigned i)
{
    herd_buf_printf(out, "IAMAT " CLIENT " +34.068930+118.445127 " TIME "\n", i % CLIENTS, i);
}

static void update_and_ask(struct herd_buf *out, unsigned i)
{
    update(out, i);
    herd_buf_printf(out, "WHATSAT " CLIENT " 10 5\n", i % CLIENTS);
}

static void ask(struct herd_buf *out, unsigned i)
{
    herd_buf_printf(out, "WHATSAT " CLIENT " 10 5\n", i % CLIENTS);
}

static void ask_for_none(struct herd_buf *out, unsigned i)
{
    herd_buf_printf(out, "WHATSAT " CLIENT " 10 0\n", i % CLIENTS);
}

static void wait_for_what_it_says(struct herd_buf *out, unsigned i)
{
    herd_buf_printf(out, "WHATSAT " CLIENT " 10 5 AFTER " TIME "\n", i % CLIENTS, i);
    update(out, i);
}

/* Of a neighbour. */
static void flood(struct herd_buf *out, unsigned i)
{
    herd_buf_printf(out,
                    "FLOOD Smith " CLIENT " +34.068930+118.445127 " TIME
                    " 1700000000.000000000 Far +1.000000000\nMARK 00000000000000ff %u\n",
                    i % CLIENTS, i, i + 1);
}

/* And says what else it has held back: one that this server holds no record of, then none. */
static void flood_and_have(struct herd_buf *out, unsigned i)
{
    flood(out, i);
    herd_buf_printf(out, "HAVE 0 %u 0123abcd:nobody:1.5\nHAVE %u %u\n", i + 1, i + 1, i + 2);
}

enum kind { UPDATES, PLACES, AFTER, FLOODS, HAVES, KINDS };

static const struct {
    request_type *append;
    unsigned answers; /* to each */
} kinds[KINDS] = {
    [UPDATES] = {update, 1}, [PLACES] = {update_and_ask, 2}, [AFTER] = {wait_for_what_it_says, 2},
    [FLOODS] = {flood, 0},   [HAVES] = {flood_and_have, 0},
};

enum links { NO_LINKS, LINKS, PRUNED };

static const struct load {
    const char *name;
    enum kind kind;
    unsigned at_once; /* in one turn */
    enum herd_durability durability;
    enum links links;
    /* In each turn: the driver makes places with printf. */
    unsigned formats;
} loads[] = {
    {"alone", UPDATES, 1, HERD_DURABILITY_NONE, NO_LINKS, 0},
    {"alone, 16", UPDATES, 16, HERD_DURABILITY_NONE, NO_LINKS, 0},
    {"links", UPDATES, 1, HERD_DURABILITY_NONE, LINKS, 0},
    {"links, 16", UPDATES, 16, HERD_DURABILITY_NONE, LINKS, 0},
    {"links, 64", UPDATES, 64, HERD_DURABILITY_NONE, LINKS, 0},
    {"interval", UPDATES, 1, HERD_DURABILITY_INTERVAL, LINKS, 0},
    {"commit", UPDATES, 1, HERD_DURABILITY_COMMIT, LINKS, 0},
    {"commit, 16", UPDATES, 16, HERD_DURABILITY_COMMIT, LINKS, 0},
    {"commit, 64", UPDATES, 64, HERD_DURABILITY_COMMIT, LINKS, 0},
    {"herd", UPDATES, 1, HERD_DURABILITY_HERD, LINKS, 0},
    {"herd, 16", UPDATES, 16, HERD_DURABILITY_HERD, LINKS, 0},
    {"herd, 64", UPDATES, 64, HERD_DURABILITY_HERD, LINKS, 0},
    {"places", PLACES, 1, HERD_DURABILITY_NONE, LINKS, 1},
    {"places, 16", PLACES, 16, HERD_DURABILITY_NONE, LINKS, 16},
    {"places and herd", PLACES, 1, HERD_DURABILITY_HERD, LINKS, 1},
    {"after", AFTER, 1, HERD_DURABILITY_NONE, LINKS, 1},
    {"floods", FLOODS, 1, HERD_DURABILITY_NONE, LINKS, 0},
    {"floods, 16", FLOODS, 16, HERD_DURABILITY_NONE, LINKS, 0},
    {"floods and commit", FLOODS, 1, HERD_DURABILITY_COMMIT, LINKS, 0},
    {"floods that are held back", FLOODS, 1, HERD_DURABILITY_NONE, PRUNED, 0},
    {"floods, and HAVE", HAVES, 1, HERD_DURABILITY_NONE, PRUNED, 0},
};

/* The disk is fast. */
static void on_persist(void *arg, const struct herd_batch *batch)
{
    struct driver *driver = arg;
    (void)batch;
    herd_node_persisted(driver->node, driver->now, 0);
}

static struct wire *open_link(struct driver *driver, const char *name)
{
    struct wire *link = driver_add_neighbour(driver, name);
    wire_dialled(link, NULL);
    wire_sayf(link, "RESUME %016" PRIx64 " 0\n", herd_node_epoch(driver->node));
    return link;
}

static void open_scene(struct scene *scene, const struct load *load)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = load->durability;
    options.has_disk =
        load->durability == HERD_DURABILITY_INTERVAL || load->durability == HERD_DURABILITY_COMMIT;
    options.record_ttl_ns = 3600 * HERD_NS_PER_S;
    options.prune = load->links == PRUNED;
    *scene = (struct scene){.driver = driver_new_with(&options)};
    scene->driver->on_persist = on_persist;
    scene->driver->on_persist_arg = scene->driver;
    if (load->links != NO_LINKS) {
        scene->jaquez = open_link(scene->driver, "Jaquez");
        scene->smith = open_link(scene->driver, "Smith");
        scene->from = driver_accept(scene->driver);
        wire_say(scene->from, "HELLO Smith 2 00000000000000ff 0 - prune ttl=3600\n");
        if (load->links == PRUNED)
            wire_say(scene->jaquez, "PRUNE Far\n");
    }
    scene->client = driver_accept(scene->driver);
}

static void answer_line(struct scene *scene, struct wire *link, struct herd_slice line)
{
    struct herd_command command;
    assert_int_equal(herd_command_parse(line, &command), 0);
    if (command.verb == HERD_VERB_MARK)
        wire_sayf(link, "ACK %016" PRIx64 " %" PRIu64 " %" PRIu64 "\n", command.epoch,
                  command.sequence, command.passed);
    scene->haves += command.verb == HERD_VERB_HAVE;
    if (command.verb == HERD_VERB_HAVE)
        wire_sayf(link, "HELD %" PRIu64 " %" PRIu64 "\n", command.after, command.sequence);
    if (command.verb == HERD_VERB_PING)
        wire_say(link, "PONG\n");
}

/* A neighbour holds all that it is sent, and what is held back. What it says may bring more. */
static void answer(struct scene *scene, struct wire *link)
{
    while (link != NULL && link->taken < link->got.len) {
        const char *begin = link->got.data + link->taken;
        const char *lf = memchr(begin, '\n', link->got.len - link->taken);
        assert_non_null(lf);
        link->taken += (size_t)(lf - begin) + 1;
        answer_line(scene, link, herd_slice(begin, (size_t)(lf - begin)));
    }
}

static unsigned count_answers(struct wire *client)
{
    struct herd_slice got = wire_take(client);
    unsigned count = 0;
    for (size_t at = 0; at + 3 < got.len; at++)
        count += (at == 0 || got.data[at - 1] == '\n') && memcmp(got.data + at, "AT ", 3) == 0;
    return count;
}

/* A turn of the loop, and some time; so there is what comes every few seconds, too. */
static void turn(struct scene *scene, const struct load *load, unsigned i)
{
    static char room[LINES_BYTES_MAX];
    struct herd_buf lines = {.data = room, .cap = sizeof(room)};
    for (unsigned k = 0; k < load->at_once; k++)
        kinds[load->kind].append(&lines, i * load->at_once + k);
    formats.on = true;
    wire_send(load->kind >= FLOODS ? scene->from : scene->client, herd_buf_slice(&lines));
    driver_advance_ms(scene->driver, TURN_MS);
    formats.on = false;
    answer(scene, scene->jaquez);
    answer(scene, scene->smith);
    if (scene->from != NULL)
        wire_say(scene->from, "PONG\n");
    scene->answers += count_answers(scene->client);
}

static void check_load(const struct scene *scene, const struct load *load)
{
    const struct herd_node_stats *stats = herd_node_stats(scene->driver->node);
    unsigned requests = (WARM_UP + TURNS) * load->at_once;
    CHECK_INT(("%s: answers", load->name), scene->answers, requests * kinds[load->kind].answers);
    CHECK_INT(("%s: kept", load->name), stats->records_applied, requests);
    if (load->links == LINKS)
        CHECK_TRUE(("%s", load->name), stats->floods_sent >= requests);
    CHECK_INT(("%s", load->name), stats->floods_held_back, load->links == PRUNED ? requests : 0);
    CHECK_TRUE(("%s", load->name), load->links != PRUNED || scene->haves > 0);
}

static void nothing_is_allocated_or_formatted_for_a_request(void **state)
{
    (void)state;
    for (size_t l = 0; l < COUNT_OF(loads); l++) {
        const struct load *load = &loads[l];
        struct scene scene;
        open_scene(&scene, load);
        for (unsigned i = 0; i < WARM_UP; i++)
            turn(&scene, load, i);
        formats.count = 0;
        shortage_begin(SIZE_MAX, false);
        size_t before = shortage_left();
        for (unsigned i = WARM_UP; i < WARM_UP + TURNS; i++)
            turn(&scene, load, i);
        size_t allocations = before - shortage_left();
        shortage_end();
        check_load(&scene, load);
        CHECK_INT(("%s: in %d turns", load->name, TURNS), allocations, 0);
        CHECK_TRUE(("%s: %u in %d turns", load->name, formats.count, TURNS),
                   formats.count < TURNS * load->formats + TURNS / 10);
        driver_free(scene.driver);
    }
}

/* Each says so many lines in one turn, and hears the answers; a crowd's go out early. */
static void crowd_turn(struct driver *driver, struct wire **crowd, unsigned speakers,
                       unsigned line_count, unsigned turn, request_type *append)
{
    static char room[LINES_BYTES_MAX];
    for (unsigned i = 0; i < speakers; i++) {
        struct herd_buf lines = {.data = room, .cap = sizeof(room)};
        for (unsigned k = 0; k < line_count; k++)
            append(&lines, turn * line_count + k);
        herd_conn_receive(crowd[i]->conn, driver->now, lines.data, lines.len);
        if (herd_node_is_crowded(driver->node))
            driver_run(driver);
    }
    driver_run(driver);
    for (unsigned i = 0; i < speakers; i++)
        wire_take(crowd[i]);
}

/* The first of a crowd makes all clients known; how many lines that took. Turns from then on, of as
 * many lines each as it may be, say what is newer. */
static unsigned fill(struct driver *driver, struct wire **crowd)
{
    unsigned turns = (CLIENTS + CROWD_LINES - 1) / CROWD_LINES;
    for (unsigned i = 0; i < turns; i++)
        crowd_turn(driver, crowd, 1, CROWD_LINES, i, update);
    return turns * CROWD_LINES;
}

/* What takes the longest buffers: 64 lines of each of many in one turn, and a link that has them
 * all to say. Where answers wait, their refusals are kept as well. */
static void nothing_is_allocated_for_a_crowd(void **state)
{
    static const struct {
        unsigned size, lines;
        enum herd_durability durability;
    } crowds[] = {{50, CROWD_LINES, HERD_DURABILITY_NONE},
                  {HERD_TOUCHED_MAX, CROWD_LINES, HERD_DURABILITY_NONE},
                  {200, CROWD_LINES, HERD_DURABILITY_NONE},
                  {CROWD_MAX, CROWD_LINES, HERD_DURABILITY_NONE},
                  {50, 1, HERD_DURABILITY_COMMIT},
                  {50, 16, HERD_DURABILITY_COMMIT},
                  {64, CROWD_LINES, HERD_DURABILITY_COMMIT},
                  {HERD_TOUCHED_MAX, 16, HERD_DURABILITY_COMMIT},
                  {50, 16, HERD_DURABILITY_HERD},
                  {50, CROWD_LINES, HERD_DURABILITY_HERD}};
    (void)state;
    for (size_t c = 0; c < COUNT_OF(crowds); c++) {
        const struct load load = {.links = LINKS, .durability = crowds[c].durability};
        unsigned size = crowds[c].size, lines = crowds[c].lines;
        struct wire *crowd[CROWD_MAX];
        struct scene scene;
        open_scene(&scene, &load);
        for (unsigned i = 0; i < size; i++)
            crowd[i] = driver_accept(scene.driver);
        unsigned filled = fill(scene.driver, crowd);
        size_t before = 0;
        for (unsigned i = 0; i < 2 * CROWD_TURNS; i++) {
            if (i == CROWD_TURNS) {
                shortage_begin(SIZE_MAX, false);
                before = shortage_left();
            }
            crowd_turn(scene.driver, crowd, size, lines, filled + i, update);
            driver_advance_ms(scene.driver, TURN_MS);
            answer(&scene, scene.jaquez);
            answer(&scene, scene.smith);
        }
        size_t allocations = before - shortage_left();
        shortage_end();
        CHECK_INT(("%zu", c), herd_node_stats(scene.driver->node)->iamat,
                  filled + size * lines * 2 * CROWD_TURNS);
        CHECK_INT(("%zu: in %d turns", c, CROWD_TURNS), allocations, 0);
        driver_free(scene.driver);
    }
}

/* Places go out in long buffers, and as many questions wait as there are lines in a turn. */
static void nothing_is_allocated_for_a_crowd_that_asks(void **state)
{
    static const struct {
        unsigned size;
        request_type *ask;
        size_t padding; /* of each answer: 64 have more than a large buffer, less than output_max */
    } crowds[] = {{1, ask, 0},  {1, ask, 700},        {6, ask, 700},
                  {50, ask, 0}, {1, ask_for_none, 0}, {50, ask_for_none, 0}};
    (void)state;
    for (size_t c = 0; c < COUNT_OF(crowds); c++) {
        const struct load load = {.links = LINKS};
        struct wire *crowd[CROWD_MAX];
        struct scene scene;
        open_scene(&scene, &load);
        for (unsigned i = 0; i < crowds[c].size; i++)
            crowd[i] = driver_accept(scene.driver);
        fill(scene.driver, crowd);
        scene.driver->places_padding = crowds[c].padding;
        size_t before = 0;
        for (unsigned i = 0; i < 2 * CROWD_TURNS; i++) {
            if (i == CROWD_TURNS) {
                shortage_begin(SIZE_MAX, false);
                before = shortage_left();
            }
            crowd_turn(scene.driver, crowd, crowds[c].size, CROWD_LINES, i, crowds[c].ask);
        }
        size_t allocations = before - shortage_left();
        shortage_end();
        CHECK_INT(("%zu", c), scene.driver->renders,
                  crowds[c].size * CROWD_LINES * 2 * CROWD_TURNS);
        CHECK_INT(("%zu: in %d turns", c, CROWD_TURNS), allocations, 0);
        driver_free(scene.driver);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_allocated_or_formatted_for_a_request),
        cmocka_unit_test(nothing_is_allocated_for_a_crowd),
        cmocka_unit_test(nothing_is_allocated_for_a_crowd_that_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
