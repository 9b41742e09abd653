/* Once it has warmed up, a node allocates nothing for a request: not for one that is answered at
 * once, that waits for the disk, a neighbour or a record, that asks for places, or for a FLOOD. Nor
 * does it call printf for one. snprintf and vsnprintf are wrapped. */
#include <inttypes.h>
#include <stdarg.h>

#include <herd/proto.h>

#include "check.h"
#include "driver.h"
#include "shortage.h"

enum { WARM_UP = 3000, TURNS = 3000, CLIENTS = 1000, LINES_BYTES_MAX = 8192 };

/* Hill, between Jaquez and Smith, who say what a neighbour does to what they are sent. */
struct scene {
    struct driver *driver;
    struct wire *client;
    struct wire *jaquez, *smith; /* links; NULL: there are none */
    struct wire *from;           /* Smith's connection */
    unsigned answers;            /* AT lines so far */
};

/* snprintf has no place to hand state through. */
static struct {
    bool on;
    unsigned count;
} formats;

__attribute__((format(printf, 3, 0))) int __real_vsnprintf(char *out, size_t size,
                                                           const char *format, va_list args);
__attribute__((format(printf, 3, 0))) int __wrap_vsnprintf(char *out, size_t size,
                                                           const char *format, va_list args);
__attribute__((format(printf, 3, 4))) int __wrap_snprintf(char *out, size_t size,
                                                          const char *format, ...);

int __wrap_vsnprintf(char *out, size_t size, const char *format, va_list args)
{
    formats.count += formats.on;
    return __real_vsnprintf(out, size, format, args);
}

int __wrap_snprintf(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = __wrap_vsnprintf(out, size, format, args);
    va_end(args);
    return len;
}

/* Appends the i-th request. */
typedef void request_type(struct herd_buf *out, unsigned i);

static void updates(struct herd_buf *out, unsigned i)
{
    herd_buf_printf(out, "IAMAT client-%03u +34.07+118.44 %u\n", i % CLIENTS, 1000000 + i);
}

static void updates_and_asks(struct herd_buf *out, unsigned i)
{
    updates(out, i);
    herd_buf_printf(out, "WHATSAT client-%03u 10 5\n", i % CLIENTS);
}

static void waits_for_what_it_says(struct herd_buf *out, unsigned i)
{
    herd_buf_printf(out, "WHATSAT client-%03u 10 5 AFTER %u\n", i % CLIENTS, 1000000 + i);
    updates(out, i);
}

/* Of a neighbour. */
static void floods(struct herd_buf *out, unsigned i)
{
    herd_buf_printf(out,
                    "FLOOD Smith client-%03u +34.07+118.44 %u 1700000000.000000000 Far "
                    "+1.000000000\nMARK 00000000000000ff %u\n",
                    i % CLIENTS, 1000000 + i, i + 1);
}

static const struct load {
    const char *name;
    enum herd_durability durability;
    bool has_links, is_pruned;
    unsigned pipeline;
    unsigned answers; /* to each request */
    request_type *request;
    bool formats; /* the neighbours' marks for each batch, or places, which the driver makes */
} loads[] = {
    {"alone", HERD_DURABILITY_NONE, false, false, 1, 1, updates, false},
    {"alone, many at once", HERD_DURABILITY_NONE, false, false, 16, 1, updates, false},
    {"with links", HERD_DURABILITY_NONE, true, false, 1, 1, updates, false},
    {"with links, many at once", HERD_DURABILITY_NONE, true, false, 16, 1, updates, false},
    {"interval", HERD_DURABILITY_INTERVAL, true, false, 1, 1, updates, false},
    {"commit", HERD_DURABILITY_COMMIT, true, false, 1, 1, updates, false},
    {"commit, many at once", HERD_DURABILITY_COMMIT, true, false, 16, 1, updates, false},
    {"herd", HERD_DURABILITY_HERD, true, false, 1, 1, updates, false},
    {"herd, many at once", HERD_DURABILITY_HERD, true, false, 16, 1, updates, false},
    {"places", HERD_DURABILITY_NONE, true, false, 1, 2, updates_and_asks, true},
    {"places, many at once", HERD_DURABILITY_NONE, true, false, 16, 2, updates_and_asks, true},
    {"places and herd", HERD_DURABILITY_HERD, true, false, 1, 2, updates_and_asks, true},
    {"after", HERD_DURABILITY_NONE, true, false, 1, 2, waits_for_what_it_says, true},
    {"floods", HERD_DURABILITY_NONE, true, false, 1, 0, floods, false},
    {"floods, many at once", HERD_DURABILITY_NONE, true, false, 16, 0, floods, false},
    {"floods and commit", HERD_DURABILITY_COMMIT, true, false, 1, 0, floods, true},
    {"floods that are held back", HERD_DURABILITY_NONE, true, true, 1, 0, floods, false},
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
    options.prune = load->is_pruned;
    *scene = (struct scene){.driver = driver_new_with(&options)};
    scene->driver->on_persist = on_persist;
    scene->driver->on_persist_arg = scene->driver;
    if (load->has_links) {
        scene->jaquez = open_link(scene->driver, "Jaquez");
        scene->smith = open_link(scene->driver, "Smith");
        scene->from = driver_accept(scene->driver);
        wire_say(scene->from, "HELLO Smith 2 00000000000000ff 0 - prune ttl=3600\n");
        if (load->is_pruned)
            wire_say(scene->jaquez, "PRUNE Far\n");
    }
    scene->client = driver_accept(scene->driver);
}

static void answer_line(struct wire *link, struct herd_slice line)
{
    struct herd_command command;
    assert_int_equal(herd_command_parse(line, &command), 0);
    if (command.verb == HERD_VERB_MARK)
        wire_sayf(link, "ACK %016" PRIx64 " %" PRIu64 " %" PRIu64 "\n", command.epoch,
                  command.sequence, command.passed);
    else if (command.verb == HERD_VERB_HAVE)
        wire_sayf(link, "HELD %" PRIu64 " %" PRIu64 "\n", command.after, command.sequence);
    else if (command.verb == HERD_VERB_PING)
        wire_say(link, "PONG\n");
}

/* A neighbour holds all that it is sent, and what is held back. */
static void answer(struct wire *link)
{
    struct herd_slice got;
    while (link != NULL && (got = wire_take(link)).len > 0) {
        while (got.len > 0) {
            const char *lf = memchr(got.data, '\n', got.len);
            assert_non_null(lf);
            struct herd_slice line = herd_slice(got.data, (size_t)(lf - got.data));
            got = herd_slice(lf + 1, got.len - line.len - 1);
            answer_line(link, line);
        }
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

/* A turn of the loop, and a millisecond; so there are all that comes every few seconds, too. */
static void turn(struct scene *scene, const struct load *load, unsigned i)
{
    static char room[LINES_BYTES_MAX];
    struct herd_buf lines = {.data = room, .cap = sizeof(room)};
    for (unsigned k = 0; k < load->pipeline; k++)
        load->request(&lines, i * load->pipeline + k);
    formats.on = true;
    wire_send(load->request == floods ? scene->from : scene->client, herd_buf_slice(&lines));
    driver_advance_ms(scene->driver, 1);
    formats.on = false;
    answer(scene->jaquez);
    answer(scene->smith);
    if (scene->from != NULL)
        wire_say(scene->from, "PONG\n");
    scene->answers += count_answers(scene->client);
}

static void check_load(const struct scene *scene, const struct load *load)
{
    const struct herd_node_stats *stats = herd_node_stats(scene->driver->node);
    unsigned requests = (WARM_UP + TURNS) * load->pipeline;
    CHECK_INT(("%s: answers", load->name), scene->answers, requests * load->answers);
    CHECK_INT(("%s: kept", load->name), stats->records_applied, requests);
    CHECK_INT(("%s", load->name), stats->floods_held_back, load->is_pruned ? requests : 0);
    if (load->has_links && !load->is_pruned)
        CHECK_TRUE(("%s", load->name), stats->floods_sent >= requests);
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
                   load->formats || formats.count < TURNS / 10);
        driver_free(scene.driver);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_allocated_or_formatted_for_a_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
