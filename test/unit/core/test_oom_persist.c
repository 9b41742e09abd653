/* Fails the 1st, 2nd, 3rd … allocation of a node that waits, writes, mends and snapshots, alone or
 * with all that follow. It may close connections, but it leaks nothing, says nothing wrong, and
 * once memory is back all that it holds reaches the disk. */
#include <inttypes.h>

#include <herd/err.h>
#include <herd/proto.h>
#include <herd/store.h>

#include "check.h"
#include "driver.h"
#include "shortage.h"

enum { DISK_BYTES_MAX = 65536, CLIENTS = 12 };

struct scene {
    struct driver *driver;
    const struct herd_batch *pending;
    char disk[DISK_BYTES_MAX]; /* all rows, one behind the other */
    size_t disk_len;
    struct wire *clients[CLIENTS], *link, *inbound;
};

static void on_persist(void *arg, const struct herd_batch *batch)
{
    struct scene *scene = arg;
    scene->pending = batch;
}

static void write_pending(struct scene *scene)
{
    while (scene->pending != NULL) {
        const struct herd_buf *records = &scene->pending->records;
        assert_true(scene->disk_len + records->len < DISK_BYTES_MAX);
        assert_true(records->len == 0 || records->data[records->len - 1] == '\n');
        if (records->len > 0)
            memcpy(scene->disk + scene->disk_len, records->data, records->len);
        scene->disk_len += records->len;
        scene->pending = NULL;
        herd_node_persisted(scene->driver->node, scene->driver->now, 0);
        driver_run(scene->driver);
    }
}

/* A row is its sequence, a space, the text and LF. */
static bool is_on_disk(const struct scene *scene, struct herd_slice text)
{
    const char *at = scene->disk, *end = at + scene->disk_len;
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *space = memchr(at, ' ', (size_t)(lf - at));
        if (herd_slice_equal(herd_slice(space + 1, (size_t)(lf - space - 1)), text))
            return true;
        at = lf + 1;
    }
    return false;
}

__attribute__((format(printf, 2, 3))) static void say(struct wire *wire, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (wire != NULL && wire->open)
        wire_send(wire, herd_slice(text, (size_t)len));
}

/* An AT or nothing, and only for what is on disk. */
static void check_answers(const struct scene *scene, unsigned i)
{
    char at[128], text[128];
    if (scene->clients[i] == NULL)
        return;
    int at_len = snprintf(at, sizeof(at), "AT Hill +1699999900.000000000 c%u +1+1 100\n", i);
    snprintf(text, sizeof(text), "c%u +1+1 100 1700000000.000000000 Hill +1699999900.000000000", i);
    struct herd_slice got = wire_take(scene->clients[i]);
    if (got.len == 0)
        return;
    CHECK_TRUE(("client %u", i), is_on_disk(scene, herd_slice_of(text)));
    CHECK_TEXT(("client %u", i), herd_slice(got.data, (size_t)at_len), at);
    /* Then what WHATSAT is answered with: whole, `?`, or nothing. */
    got = herd_slice(got.data + at_len, got.len - (size_t)at_len);
    CHECK_TRUE(("client %u: %.*s", i, (int)got.len, got.data),
               got.len == 0 || memcmp(got.data, "AT Blake +0.5 late", 18) == 0 ||
                   memcmp(got.data, "? WHATSAT", 9) == 0);
}

static void let_neighbours_in(struct scene *scene)
{
    struct driver *driver = scene->driver;
    scene->link = driver_add_neighbour(driver, "Jaquez");
    if (scene->link != NULL && scene->link->dialling)
        wire_dialled(scene->link, NULL);
    say(scene->link, "RESUME %016" PRIx64 " 0\n", herd_node_epoch(driver->node));
    scene->inbound = driver_accept(driver);
    say(scene->inbound, "HELLO Jaquez 2 0000000000000009 0 -\n");
}

static void walk_trees(struct scene *scene)
{
    say(scene->inbound, "DIGEST 3 0123456789abcdef\n");
    for (uint64_t prefix = 0; prefix < 16; prefix++) {
        struct wire *to = prefix % 2 == 0 ? scene->link : scene->inbound;
        say(to, "TREE %03" PRIx64 "%s\n", prefix * 0x111,
            " 0000000000000001 0000000000000001 0000000000000001 0000000000000001"
            " 0000000000000001 0000000000000001 0000000000000001 0000000000000001"
            " 0000000000000001 0000000000000001 0000000000000001 0000000000000001"
            " 0000000000000001 0000000000000001 0000000000000001 0000000000000001");
        say(scene->link, "KEYS %04" PRIx64 "\n", prefix * 0x1111);
    }
    say(scene->link, "WANT c0 c1 c2\n");
    say(scene->inbound, "WANT c3 c4 nobody\n");
}

static void play(struct scene *scene)
{
    struct driver *driver = scene->driver;
    let_neighbours_in(scene);
    for (unsigned i = 0; i < CLIENTS; i++) {
        scene->clients[i] = driver_accept(driver);
        say(scene->clients[i], "IAMAT c%u +1+1 100\nWHATSAT late%u 1 1 AFTER 100\n", i, i);
        if (i % 3 == 0)
            write_pending(scene);
    }
    driver_advance_ms(driver, 60); /* WANT */
    herd_node_snapshot(driver->node);
    for (unsigned i = 0; i < CLIENTS; i++)
        say(scene->inbound, "FLOOD Jaquez late%u +1+1 100 1700000000.5 Blake +0.5\n", i);
    say(scene->inbound, "MARK 0000000000000009 12\n");
    write_pending(scene);
    walk_trees(scene);
    driver_advance_ms(driver, 2500);
    write_pending(scene);
}

/* Memory is back. */
static void check_end(struct scene *scene)
{
    struct driver *driver = scene->driver;
    struct herd_store *store = (struct herd_store *)(uintptr_t)herd_node_store(driver->node);
    struct herd_entry entry;
    herd_cursor cursor;
    for (int i = 0; i < 5; i++) {
        driver_advance_ms(driver, 1000);
        write_pending(scene);
    }
    assert_true(herd_node_is_persisted(driver->node));
    assert_int_equal(herd_cursor_new(store, &cursor), 0);
    while (herd_cursor_next(store, cursor, &entry))
        CHECK_TRUE(("%.*s", (int)entry.text.len, entry.text.data), is_on_disk(scene, entry.text));
    herd_cursor_free(store, cursor);
    for (unsigned i = 0; i < CLIENTS; i++)
        check_answers(scene, i);
}

/* Plays the scene while the nth allocation fails; false when there were not that many. */
static bool play_short(size_t nth, bool for_good)
{
    static struct scene scene;
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_COMMIT;
    options.has_disk = true;
    options.record_ttl_ns = 3600 * HERD_NS_PER_S;
    scene = (struct scene){0};
    long live = shortage_live();
    shortage_begin(nth, for_good);
    scene.driver = driver_new_with(&options);
    if (scene.driver != NULL) {
        scene.driver->on_persist = on_persist;
        scene.driver->on_persist_arg = &scene;
        play(&scene);
    }
    shortage_end();
    if (scene.driver != NULL) {
        check_end(&scene);
        driver_free(scene.driver);
    }
    CHECK_INT(("allocation %zu, for good: %d", nth, for_good), shortage_live(), live);
    return shortage_failures() > 0;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    size_t nth = 1;
    while (play_short(nth, false) && play_short(nth, true))
        nth++;
    assert_true(nth > 50);
}

static int restore_all(struct driver *driver)
{
    int rc = 0;
    herd_node_restore_epoch(driver->node, 7);
    for (unsigned i = 0; rc == 0 && i < 500; i++) {
        char text[128];
        snprintf(text, sizeof(text), "c%u +1+1 100 1700000000.0 Hill +1.0", i);
        rc = herd_node_restore_record(driver->node, driver->now, i + 1, herd_slice_of(text));
    }
    if (rc == 0) {
        herd_node_restore_neighbour(driver->node, herd_slice_of("Jaquez"),
                                    &(struct herd_mark){.epoch = 9, .sequence = 3});
        herd_node_restore_end(driver->node, 1000);
    }
    return rc;
}

static void reading_may_fail(void **state)
{
    (void)state;
    for (size_t nth = 1;; nth++) {
        struct herd_node_options options = driver_options("Hill");
        options.record_ttl_ns = 3600 * HERD_NS_PER_S;
        struct driver *driver = driver_new_with(&options);
        assert_non_null(driver);
        shortage_begin(nth, false);
        int rc = restore_all(driver);
        shortage_end();
        /* A table that cannot grow yet is no failure. */
        CHECK_TRUE(("%zu: %d", nth, rc), rc == 0 || (rc == HERD_ENOMEM && shortage_failures() > 0));
        if (rc == 0)
            CHECK_INT(("%zu", nth), herd_store_count(herd_node_store(driver->node)), 500);
        driver_free(driver);
        if (shortage_failures() == 0)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(reading_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
