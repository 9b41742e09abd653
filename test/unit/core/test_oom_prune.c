/*
 * Pruning, over and over: each time the next allocation fails, alone or with all that follow. The
 * node may prune less, and abort connections; once there is memory, a neighbour that speaks as one
 * of ours has every record that another one brought.
 */
#include <inttypes.h>

#include <herd/err.h>
#include <herd/proto.h>

#include "check.h"
#include "core/prune.h"
#include "driver.h"
#include "shortage.h"

enum { RECORDS = 40, ORIGINS = 20, SECOND_MS = 1000 };

/* Smith, who holds what it was sent or has by itself; Jaquez brings all. */
struct day {
    struct driver *driver;
    struct wire *link, *smith, *jaquez;
    uint64_t marked;
    bool known[RECORDS]; /* to Smith */
    unsigned haves, prunes;
};

static void record_line(char *out, size_t size, const char *sender, unsigned i)
{
    snprintf(out, size, "FLOOD %s c%u +1+1 %u 1700000000.000000000 Far%u +1.000000000\n", sender, i,
             i + 1, i % ORIGINS);
}

static void on_link_line(struct day *day, struct herd_slice line)
{
    struct herd_command command;
    if (herd_command_parse(line, &command) < 0)
        driver_fail("a link says what is no command");
    if (command.verb == HERD_VERB_MARK)
        day->marked = command.sequence;
    if (command.verb == HERD_VERB_HAVE)
        day->haves++;
    if (command.verb == HERD_VERB_FLOOD)
        day->known[command.record.sent_ns / HERD_NS_PER_S - 1] = true;
}

static void on_write(void *arg, struct wire *wire, struct herd_slice bytes)
{
    struct day *day = arg;
    while (bytes.len > 0) {
        const char *end = memchr(bytes.data, '\n', bytes.len);
        if (end == NULL)
            driver_fail("half a line");
        struct herd_slice line = herd_slice(bytes.data, (size_t)(end - bytes.data));
        if (strcmp(wire->peer, "Smith") == 0)
            on_link_line(day, line);
        day->prunes += line.len > 6 && memcmp(line.data, "PRUNE ", 6) == 0;
        bytes = herd_slice(end + 1, bytes.len - line.len - 1);
    }
}

static struct wire *greet(struct day *day, struct wire *wire, const char *name)
{
    if (wire != NULL && wire->open)
        return wire;
    wire = driver_accept(day->driver);
    if (wire != NULL)
        wire_sayf(wire, "HELLO %s 2 %016d 0 - prune\n", name, name[0]);
    return wire;
}

/* The link is taken, and pruned. */
static void attend(struct day *day)
{
    char prune[32];
    if (day->link == NULL)
        day->link = driver_add_neighbour(day->driver, "Smith");
    if (day->link == NULL || !day->link->dialling)
        return;
    wire_dialled(day->link, NULL);
    wire_sayf(day->link, "RESUME %016" PRIx64 " %" PRIu64 "\n", herd_node_epoch(day->driver->node),
              day->marked);
    for (unsigned i = 0; i < ORIGINS; i++) {
        snprintf(prune, sizeof(prune), "PRUNE Far%u\n", i);
        wire_say(day->link, prune);
    }
}

static void pass(struct day *day, int64_t ms)
{
    for (int step = 0; step < 10; step++) {
        attend(day);
        driver_advance_ms(day->driver, ms / 10);
    }
}

static void bring(struct day *day, struct wire *wire, const char *name, unsigned from, unsigned to)
{
    char line[160];
    for (unsigned i = from; wire != NULL && i < to; i++) {
        record_line(line, sizeof(line), name, i);
        day->known[i] |= strcmp(name, "Smith") == 0; /* what it says it has */
        if (wire->open)
            wire_say(wire, line);
    }
}

static void live(struct day *day)
{
    driver_add_neighbour(day->driver, "Jaquez");
    attend(day);
    day->jaquez = greet(day, day->jaquez, "Jaquez");
    day->smith = greet(day, day->smith, "Smith");
    pass(day, PRUNE_YOUNG_MS);
    bring(day, day->jaquez, "Jaquez", 0, RECORDS / 2);
    bring(day, day->smith, "Smith", 0, RECORDS / 2); /* again: PRUNE */
    pass(day, SECOND_MS);                            /* HAVE */
    if (day->link != NULL && day->link->open)
        wire_say(day->link, "WANT c1\nGRAFT Far1 Far2\nHELD 0 1\n");
    if (day->smith != NULL && day->smith->open)
        wire_say(day->smith, "HAVE 0 9 00000000:nobody:1 00000000:c1:1\n");
    if (day->jaquez != NULL && day->jaquez->open)
        wire_close(day->jaquez, "reset"); /* GRAFT, LOST, and what was held back */
    day->jaquez = greet(day, day->jaquez, "Jaquez");
    bring(day, day->jaquez, "Jaquez", 0, RECORDS);
    pass(day, SECOND_MS);
}

/* With memory: Jaquez brings all once more, and goes; so nothing may be held back any longer. */
static void check_recovery(struct day *day)
{
    if (driver_link_state(day->driver, "Jaquez")[0] == '\0')
        assert_non_null(driver_add_neighbour(day->driver, "Jaquez"));
    pass(day, 10 * SECOND_MS);
    day->jaquez = greet(day, day->jaquez, "Jaquez");
    bring(day, day->jaquez, "Jaquez", 0, RECORDS);
    wire_close(day->jaquez, "reset");
    pass(day, 10 * SECOND_MS);
    for (unsigned i = 0; i < RECORDS; i++)
        CHECK_TRUE(("record %u", i), day->known[i]);
    CHECK_INT(("marked"), day->marked, herd_store_sequence(herd_node_store(day->driver->node)));
}

static size_t have_a_day(size_t nth, bool for_good, struct day *day)
{
    long live_before = shortage_live();
    struct herd_node_options options = driver_options("Hill");
    options.prune = true;
    *day = (struct day){0};
    shortage_begin(nth, for_good);
    day->driver = driver_new_with(&options);
    if (day->driver != NULL) {
        day->driver->on_write = on_write;
        day->driver->on_write_arg = day;
        live(day);
        shortage_end();
        check_recovery(day);
        driver_stop(day->driver);
        driver_free(day->driver);
    }
    shortage_end();
    CHECK_INT(("allocation %zu", nth), shortage_live(), live_before);
    return shortage_failures();
}

static void run_days(bool for_good)
{
    static struct day day;
    size_t days = 0, nth = 1;
    while (have_a_day(nth, for_good, &day) > 0) {
        days++;
        nth++;
    }
    print_message("%zu days\n", days);
    assert_true(days > 20);
    assert_true(day.prunes > 0 && day.haves > 0); /* the last one lacked nothing */
}

static void each_allocation_fails_once(void **state)
{
    (void)state;
    run_days(false);
}

static void all_allocations_fail_from_one_on(void **state)
{
    (void)state;
    run_days(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails_once),
        cmocka_unit_test(all_allocations_fail_from_one_on),
    };
    return cmocka_run_group_tests_name("oom_prune", tests, NULL, NULL);
}
