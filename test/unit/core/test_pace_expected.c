/* What batches are expected to take: how it is learnt, when one begins by it, and who waits. The
 * figures are those of the node, set here, so that each one shows. */
#include <herd/store.h>

#include "check.h"
#include "core/node.h"
#include "disk.h"
#include "edge.h"

enum { BATCH = 10, STEP = 4, MS = HERD_NS_PER_MS };

struct scene {
    struct disk disk;
    struct driver *driver;
    struct wire *client;
    struct pace *pace;
};

/* The batch of one record is under way. */
static void open_scene(struct scene *scene, unsigned records_max)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_INTERVAL;
    options.batch_records_max = records_max;
    options.batch_step_max = STEP;
    *scene = (struct scene){.disk = {.is_slow = true}};
    scene->driver = disk_driver(&scene->disk, &options, NULL, NULL);
    scene->client = driver_accept(scene->driver);
    scene->pace = &scene->driver->node->pace;
    wire_say(scene->client, "IAMAT first +1+1 100\n");
    assert_non_null(scene->disk.pending);
}

static void expect(struct scene *scene, int64_t batch_ms, int64_t mean_ms, int64_t record_ms)
{
    scene->pace->batch_ns = batch_ms * MS;
    scene->pace->mean_ns = mean_ms * MS;
    scene->pace->record_ns = record_ms * MS;
}

static void say(struct scene *scene, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        wire_sayf(scene->client, "IAMAT c%u +1+1 100\n", first + i);
    wire_take(scene->client);
}

static bool is_answered(struct scene *scene, const char *line)
{
    wire_sayf(scene->client, "%s\n", line);
    return wire_take(scene->client).len > 0;
}

static int64_t unwritten_ms(const struct scene *scene)
{
    return herd_node_unwritten_ns(scene->driver->node, scene->driver->now) / MS;
}

/* So early that all is on disk within 800 ms if it takes twice as long as expected. */
static void a_batch_begins_by_what_it_will_take(void **state)
{
    static const struct {
        unsigned records;
        bool snapshot;
        int64_t batch_ms, record_ms, period_ms;
    } rows[] = {
        {9, false, 100, 10, 250},
        {9, false, 200, 10, 800 - 2 * 290},
        {4, false, 200, 30, 800 - 2 * 320},
        {BATCH, false, 1, 0, 0},                               /* more is nothing to wait for */
        {9, true, 100, 10, 800 - 2 * (190 + 100 + STEP * 10)}, /* a part comes between */
        {4, true, 1, 1, 250},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct scene scene;
        open_scene(&scene, BATCH);
        say(&scene, 0, rows[i].records);
        expect(&scene, rows[i].batch_ms, 1, rows[i].record_ms);
        if (rows[i].snapshot)
            herd_node_snapshot(scene.driver->node);
        CHECK_INT(("row %zu", i), pace_period_ns(scene.driver->node) / MS, rows[i].period_ms);
        disk_free(&scene.disk);
    }
}

/* What is written already of the batch under way, the mean of those to come, and parts of a snapshot
 * between them, one in eight. */
static void iamat_wait_by_what_all_will_take(void **state)
{
    enum { RECORDS = 8 * BATCH };
    static const struct {
        int64_t planned_ms, elapsed_ms, batch_ms, mean_ms;
        bool snapshot, waits;
    } rows[] = {
        {100, 0, 50, 20, false, false},   /* 100 + 50 + 8 * 20 */
        {100, 0, 50, 32, false, true},    /* 100 + 50 + 8 * 32 */
        {250, 100, 50, 20, false, false}, /* 250 - 100 + 50 + 8 * 20 */
        {250, 40, 50, 20, false, true},
        {100, 0, 50, 10, true, false}, /* 100 + 50 + 8 * 10 + 2 * 50 */
        {100, 0, 80, 10, true, true},  /* 100 + 80 + 8 * 10 + 2 * 80 */
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct scene scene;
        open_scene(&scene, BATCH);
        expect(&scene, 0, 0, 0);
        say(&scene, 0, RECORDS);
        driver_advance_ms(scene.driver, rows[i].elapsed_ms);
        scene.pace->planned_ns = rows[i].planned_ms * MS;
        expect(&scene, rows[i].batch_ms, rows[i].mean_ms, 0);
        if (rows[i].snapshot)
            herd_node_snapshot(scene.driver->node);
        CHECK_INT(("row %zu", i), is_answered(&scene, "IAMAT last +1+1 100"), !rows[i].waits);
        disk_free(&scene.disk);
    }
}

/* What is in a batch waits no more for one. */
static void those_that_wait_go_on_when_a_batch_has_begun(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, BATCH);
    scene.driver->node->options.batch_step_max = BATCH; /* no turn passes while it is cut */
    expect(&scene, 0, 0, 0);
    say(&scene, 0, BATCH + 1);
    expect(&scene, 300, 300, 0);
    assert_false(is_answered(&scene, "IAMAT last +1+1 100"));
    disk_done(&scene.disk, 0);
    CHECK_INT(("under way"), scene.disk.last_records, BATCH);
    CHECK_TRUE(("answered"), wire_take(scene.client).len > 0);
    disk_free(&scene.disk);
}

/* A batch that may have no more begins at once. */
static void a_full_batch_begins_at_once(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, BATCH);
    disk_done(&scene.disk, 0);
    say(&scene, 0, BATCH - 1);
    assert_null(scene.disk.pending);
    say(&scene, BATCH, 1);
    assert_non_null(scene.disk.pending);
    CHECK_INT(("all"), scene.disk.last_records, BATCH);
    disk_free(&scene.disk);
}

/* Of few records: what a batch takes in itself. Of many: what each adds to that. */
static void what_a_batch_takes_is_learnt(void **state)
{
    enum { TOOK_MS = 100 };
    (void)state;
    struct scene scene;
    open_scene(&scene, 2 * PACE_MANY);
    scene.driver->node->options.batch_step_max = 2 * PACE_MANY;
    const struct pace *pace = scene.pace;
    CHECK_INT(("one record"), pace->planned_ns, PACE_FIRST_MS * MS + PACE_FIRST_NS);
    driver_advance_ms(scene.driver, TOOK_MS);
    disk_done(&scene.disk, 0);
    CHECK_INT(("up by half"), pace->batch_ns, (PACE_FIRST_MS + TOOK_MS) / 2 * MS + 1);
    CHECK_INT(("the mean by an eighth"), pace->mean_ns,
              PACE_FIRST_MS * MS + (TOOK_MS - PACE_FIRST_MS) * (int64_t)MS / 8);
    CHECK_INT(("nothing of a record"), pace->record_ns, PACE_FIRST_NS);
    int64_t batch_ns = pace->batch_ns;
    say(&scene, 0, PACE_MANY);
    driver_advance_ms(scene.driver, 500);
    CHECK_INT(("many"), scene.disk.last_records, PACE_MANY);
    CHECK_INT(("expected"), pace->planned_ns, batch_ns + PACE_MANY * PACE_FIRST_NS);
    scene.driver->now.mono_ns = scene.driver->node->persist.handed_ns + TOOK_MS * MS;
    disk_done(&scene.disk, 0);
    CHECK_INT(("of a record"), pace->record_ns,
              (PACE_FIRST_NS + (TOOK_MS * MS - batch_ns) / PACE_MANY) / 2 + 1);
    CHECK_INT(("nothing of the batch"), pace->batch_ns, batch_ns);
    disk_free(&scene.disk);
}

/* It may have failed at once, or after a minute; and what it had is not on disk. */
static void a_batch_that_fails_says_nothing(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, BATCH);
    struct pace before = *scene.pace;
    driver_advance_ms(scene.driver, 700);
    disk_done(&scene.disk, -5);
    CHECK_INT(("what one takes"), scene.pace->batch_ns, before.batch_ns);
    CHECK_INT(("the mean"), scene.pace->mean_ns, before.mean_ns);
    CHECK_INT(("the age"), unwritten_ms(&scene), 700);
    driver_advance_ms(scene.driver, 300);
    CHECK_INT(("the age goes on"), unwritten_ms(&scene), 1000);
    CHECK_TRUE(("nobody waits"), is_answered(&scene, "IAMAT a +1+1 100"));
    driver_advance_ms(scene.driver, 700);
    assert_non_null(scene.disk.pending);
    disk_done(&scene.disk, 0);
    CHECK_INT(("the age of a"), unwritten_ms(&scene), 700);
    disk_free(&scene.disk);
}

/* Who says once more what is in a batch waits for nothing new. */
static void what_is_said_again_has_no_age(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, BATCH);
    assert_true(is_answered(&scene, "IAMAT first +1+1 100"));
    disk_done(&scene.disk, 0);
    assert_true(is_answered(&scene, "IAMAT first +1+1 100"));
    driver_advance_ms(scene.driver, 5000);
    struct wire *flood = driver_accept(scene.driver);
    wire_say(flood, "FLOOD Jaquez x +1+1 1 2.0 Jaquez +0.0\n");
    CHECK_INT(("none was answered since"), unwritten_ms(&scene), 0);
    disk_free(&scene.disk);
}

/* What it still reads meanwhile is no reason to look again, and it is told of once. */
static void who_waits_does_so_whatever_it_reads(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, BATCH);
    say(&scene, 0, 2 * BATCH);
    expect(&scene, 500, 500, 0);
    scene.driver->reports_writes = false;
    wire_say(scene.client, "PING\nIAMAT last +1+1 100\n");
    wire_wrote(scene.client, scene.client->unwritten);
    EDGE_EXPECT(scene.client, "%s", "PONG\n");
    assert_false(scene.client->reading);
    const struct herd_node_stats *stats = herd_node_stats(scene.driver->node);
    CHECK_INT(("paused"), stats->clients_paused_disk, 1);
    disk_free(&scene.disk);
}

/* Its FLOODs and MARKs would wait with it, and what it says has no promise. */
static void a_neighbour_never_waits(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, BATCH);
    driver_add_neighbour(scene.driver, "Jaquez");
    struct wire *inbound = edge_hello(scene.driver, 9, 0);
    wire_say(inbound, "IAMAT n +1+1 100\n");
    wire_take(inbound);
    driver_advance_ms(scene.driver, 10);
    disk_done(&scene.disk, 0);
    CHECK_INT(("the age"), unwritten_ms(&scene), 0);
    driver_advance_ms(scene.driver, 240);
    assert_non_null(scene.disk.pending);
    say(&scene, 0, 2 * BATCH);
    expect(&scene, 500, 500, 0);
    assert_false(is_answered(&scene, "IAMAT last +1+1 100"));
    wire_take(inbound);
    wire_say(inbound, "IAMAT m +1+1 100\nPING\n");
    EDGE_EXPECT(inbound, "AT Hill +1699999900.000000000 m +1+1 100\nPONG\n");
    disk_free(&scene.disk);
}

enum { DECIMALS = 3800 };

static void say_long(struct scene *scene, unsigned count)
{
    static char zeros[DECIMALS + 1];
    memset(zeros, '0', DECIMALS);
    for (unsigned i = 0; i < count; i++)
        wire_sayf(scene->client, "IAMAT long%u +1.%s+1 100\n", i, zeros);
    wire_take(scene->client);
}

/* What a batch takes of memory is bounded, however long the records are; the rest is in the next. */
static void a_batch_has_so_many_bytes(void **state)
{
    enum { RECORDS = BATCH_BYTES_MAX / DECIMALS + 100 };
    (void)state;
    struct scene scene;
    open_scene(&scene, 4 * RECORDS);
    scene.driver->node->options.batch_step_max = 4 * RECORDS;
    say_long(&scene, RECORDS);
    driver_advance_ms(scene.driver, 500);
    disk_done(&scene.disk, 0);
    size_t bytes = scene.disk.pending->records.len;
    CHECK_TRUE(("%zu bytes", bytes),
               bytes >= BATCH_BYTES_MAX && bytes < BATCH_BYTES_MAX + HERD_RECORD_TEXT_MAX);
    size_t first = scene.disk.last_records;
    disk_done(&scene.disk, 0);
    CHECK_INT(("the rest, at once"), first + scene.disk.last_records, RECORDS);
    disk_done(&scene.disk, 0);
    assert_true(herd_node_is_persisted(scene.driver->node));
    disk_free(&scene.disk);
}

/* Nothing is given back of one that is being cut. */
static void a_large_batch_that_is_cut_keeps_what_it_has(void **state)
{
    enum { RECORDS = 2 * BATCH_KEPT_BYTES / DECIMALS, REST = 10 };
    size_t kept = 0;
    (void)state;
    struct scene scene;
    open_scene(&scene, 4 * RECORDS);
    scene.driver->node->options.batch_step_max = RECORDS - REST;
    disk_done(&scene.disk, 0);
    say_long(&scene, RECORDS);
    assert_null(scene.disk.pending);
    scene.driver->ticks = false; /* one turn each */
    scene.driver->now.mono_ns += 250 * MS;
    wire_say(scene.client, "PING\n");
    assert_true(scene.driver->node->persist.cutting);
    assert_true(herd_node_give_back(scene.driver->node, &kept) < BATCH_KEPT_BYTES);
    wire_say(scene.client, "PING\n");
    assert_non_null(scene.disk.pending);
    CHECK_INT(("all"), scene.disk.last_records, RECORDS);
    scene.driver->ticks = true;
    disk_done(&scene.disk, 0);
    disk_free(&scene.disk);
}

/* The next one does not wait for a look of those who give back. */
static void a_large_batch_gives_way_to_a_small_one(void **state)
{
    enum { RECORDS = 2 * BATCH_KEPT_BYTES / DECIMALS };
    size_t kept = 0;
    (void)state;
    struct scene scene;
    open_scene(&scene, 4 * RECORDS);
    scene.driver->node->options.batch_step_max = 4 * RECORDS;
    disk_done(&scene.disk, 0);
    say_long(&scene, RECORDS);
    driver_advance_ms(scene.driver, 250);
    CHECK_INT(("a large one"), scene.disk.last_records, RECORDS);
    disk_done(&scene.disk, 0);
    say(&scene, 0, 1);
    driver_advance_ms(scene.driver, 250);
    CHECK_INT(("a small one"), scene.disk.last_records, 1);
    assert_true(scene.disk.pending->records.cap <= BATCH_KEPT_BYTES);
    CHECK_TRUE(("told"), herd_node_give_back(scene.driver->node, &kept) > BATCH_KEPT_BYTES);
    disk_done(&scene.disk, 0);
    disk_free(&scene.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_begins_by_what_it_will_take),
        cmocka_unit_test(iamat_wait_by_what_all_will_take),
        cmocka_unit_test(those_that_wait_go_on_when_a_batch_has_begun),
        cmocka_unit_test(a_full_batch_begins_at_once),
        cmocka_unit_test(what_a_batch_takes_is_learnt),
        cmocka_unit_test(a_batch_that_fails_says_nothing),
        cmocka_unit_test(what_is_said_again_has_no_age),
        cmocka_unit_test(who_waits_does_so_whatever_it_reads),
        cmocka_unit_test(a_neighbour_never_waits),
        cmocka_unit_test(a_batch_has_so_many_bytes),
        cmocka_unit_test(a_large_batch_that_is_cut_keeps_what_it_has),
        cmocka_unit_test(a_large_batch_gives_way_to_a_small_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
