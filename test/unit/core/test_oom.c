/*
 * A day in the life of a node, over and over: each time the next allocation fails, alone or with
 * all that follow, until the day goes by without a failure. The node may refuse and abort
 * connections. It may not crash, leak, forget an update that a client was told of, take a MARK for
 * records it does not hold, or leave a neighbour without a record for good.
 */
#include <inttypes.h>

#include <herd/err.h>
#include <herd/proto.h>

#include "check.h"
#include "driver.h"
#include "shortage.h"

enum {
    LINKS = 2,
    CLIENTS = 200,      /* a neighbour learns of, one by one */
    NEWS = 4200,        /* of another neighbour's: the store grows by tables and slabs */
    NEIGHBOUR_EPOCH = 7 /* of the one that dials */
};

/* What the test knows of a client: the newest time of which it has been told. */
struct known {
    int64_t sent_ns; /* -1: nothing */
};

struct neighbour_play {
    struct wire *link;
    uint64_t marked;               /* by the node's last MARK */
    struct known clients[CLIENTS]; /* by its FLOODs */
};

struct day {
    struct driver *driver;
    struct neighbour_play plays[LINKS];
    size_t told; /* updates that clients were told of */
};

static const char *const names[LINKS] = {"Jaquez", "Smith"};

/* `c123` is 123; another name is none. */
static bool client_number(struct herd_slice client, size_t *out)
{
    char digits[16] = {0};
    if (client.len < 2 || client.len > sizeof(digits) || client.data[0] != 'c')
        return false;
    memcpy(digits, client.data + 1, client.len - 1);
    *out = (size_t)strtoul(digits, NULL, 10);
    return *out < CLIENTS;
}

static void on_link_line(struct neighbour_play *play, struct herd_slice line)
{
    struct herd_command command;
    size_t client;
    if (herd_command_parse(line, &command) < 0)
        driver_fail("a link says what is no command");
    if (command.verb == HERD_VERB_MARK)
        play->marked = command.sequence;
    if (command.verb == HERD_VERB_FLOOD && client_number(command.record.client, &client))
        play->clients[client].sent_ns = command.record.sent_ns;
}

/* `AT server diff client location time`: the client was told, so the store has to have it. */
static void on_client_line(struct day *day, struct herd_slice line)
{
    char text[HERD_LINE_MAX + 32];
    struct herd_command command;
    struct herd_record held;
    const char *client = line.data;
    if (line.len < 3 || memcmp(line.data, "AT ", 3) != 0)
        return;
    for (int field = 0; field < 3; field++)
        client = (const char *)memchr(client, ' ', line.len) + 1;
    int len = snprintf(text, sizeof(text), "IAMAT %.*s",
                       (int)(line.len - (size_t)(client - line.data)), client);
    if (herd_command_parse(herd_slice(text, (size_t)len), &command) < 0)
        driver_fail("an AT line that is none");
    if (!herd_store_find(herd_node_store(day->driver->node), command.record.client, &held) ||
        held.sent_ns < command.record.sent_ns)
        driver_fail("a client was told of an update that is not there");
    day->told++;
}

static void on_write(void *arg, struct wire *wire, struct herd_slice bytes)
{
    struct day *day = arg;
    while (bytes.len > 0) {
        const char *end = memchr(bytes.data, '\n', bytes.len);
        if (end == NULL)
            driver_fail("half a line");
        struct herd_slice line = herd_slice(bytes.data, (size_t)(end - bytes.data));
        if (wire->peer[0] == '\0')
            on_client_line(day, line);
        for (size_t i = 0; i < LINKS; i++) {
            if (strcmp(wire->peer, names[i]) == 0)
                on_link_line(&day->plays[i], line);
        }
        bytes = herd_slice(end + 1, bytes.len - line.len - 1);
    }
}

/* The neighbours answer: connections are taken, HELLO is answered with what was marked. */
static void attend(struct day *day)
{
    for (size_t i = 0; i < LINKS; i++) {
        struct neighbour_play *play = &day->plays[i];
        if (play->link == NULL)
            play->link = driver_add_neighbour(day->driver, names[i]);
        if (play->link == NULL)
            continue;
        if (play->link->dialling)
            wire_dialled(play->link, NULL);
        if (!play->link->open)
            continue;
        struct herd_slice got = wire_take(play->link);
        if (got.len > 6 && memcmp(got.data, "HELLO ", 6) == 0)
            wire_sayf(play->link, "RESUME %016" PRIx64 " %" PRIu64 "\n",
                      herd_node_epoch(day->driver->node), play->marked);
    }
}

static void pass(struct day *day, int64_t ms)
{
    for (int64_t step = 0; step < 10; step++) {
        attend(day);
        driver_advance_ms(day->driver, ms / 10);
    }
    attend(day);
}

/* Clients tell, ask, err, and stop in the middle of lines. */
static void clients_come(struct day *day, unsigned first, unsigned count)
{
    struct driver *driver = day->driver;
    for (unsigned i = first; i < first + count; i++) {
        struct wire *wire = driver_accept(driver);
        if (wire == NULL)
            continue;
        wire_sayf(wire, "IAMAT c%u +1.%0*u-1.5 %u\nWHATSAT c%u 10 5\nnonsense\n", i,
                  (int)(i * 37 % 900) + 1, i, i, i);
        wire_sayf(wire, "WHATSAT c%u 1 1\nWHATSAT nobody 1 1\nIAM", i / 2);
        wire_sayf(wire, "AT c%u +2+2 %u\nPING", i, i + 1000);
        if (i % 3 == 0)
            wire_end(wire);
        else if (i % 3 == 1)
            wire_close(wire, "reset");
        if (driver->ask_count > 10)
            driver_answer(driver, i % driver->ask_count);
    }
    while (driver->ask_count > 0)
        driver_answer(driver, driver->ask_count - 1);
}

/* Some FLOODs and their MARK; returns where the next batch begins. */
static unsigned say_batch(struct wire *inbound, unsigned from)
{
    static char batch[8192];
    int len = 0;
    unsigned i = from;
    for (; i < from + 100 && i < NEWS; i++)
        len += snprintf(batch + len, sizeof(batch) - (size_t)len,
                        "FLOOD Smith n%u +1+1 %u 1.0 Smith +0.0\n", i, i);
    snprintf(batch + len, sizeof(batch) - (size_t)len, "MARK %016x %u\n", NEIGHBOUR_EPOCH, i);
    wire_say(inbound, batch);
    return i;
}

/* A neighbour dials, sends what it has in batches, and begins anew where it was told to. */
static void news_come(struct day *day)
{
    struct driver *driver = day->driver;
    struct herd_record held;
    char name[16];
    for (int connection = 0; connection < 2; connection++) {
        struct wire *inbound = driver_accept(driver);
        unsigned from = 0;
        if (inbound == NULL)
            continue;
        wire_sayf(inbound, "HELLO Smith 2 %016x %u -\n", NEIGHBOUR_EPOCH, NEWS);
        struct herd_slice answer = wire_take(inbound);
        if (answer.len == 0 ||
            sscanf(answer.data, "RESUME %*16[0-9a-f] %u\n", &from) != 1) /* NOLINT(cert-err34-c) */
            continue;
        for (unsigned i = 0; i < from; i++) {
            snprintf(name, sizeof(name), "n%u", i);
            if (!herd_store_find(herd_node_store(driver->node), herd_slice_of(name), &held))
                driver_fail("a MARK was taken for a record that is not there");
        }
        while (from < NEWS && inbound->open)
            from = say_batch(inbound, from);
        wire_close(inbound, "reset");
        attend(day);
    }
}

static void live(struct day *day)
{
    struct driver *driver = day->driver;
    static char too_long[HERD_LINE_MAX + 2];
    pass(day, 10);
    driver->answers_places = false;
    clients_come(day, 0, 60);
    pass(day, 200);
    driver->reports_writes = false; /* everybody reads slowly */
    clients_come(day, 60, 40);
    pass(day, 100);
    driver->reports_writes = true;
    for (size_t i = 0; i < driver->wire_count; i++)
        wire_wrote(driver->wires[i], SIZE_MAX);
    news_come(day);
    pass(day, 3000);
    struct wire *wire = driver_accept(driver);
    memset(too_long, 'x', sizeof(too_long));
    if (wire != NULL)
        wire_send(wire, herd_slice(too_long, sizeof(too_long)));
    clients_come(day, 100, CLIENTS - 100);
    pass(day, 500);
}

/* Memory is there again: everything works, and everybody learns all. */
static void check_recovery(struct day *day)
{
    struct driver *driver = day->driver;
    driver->answers_places = true;
    pass(day, 30000);
    struct wire *wire = driver_accept(driver);
    if (wire == NULL)
        driver_fail("no connection though there is memory");
    wire_say(wire, "IAMAT c0 +3+3 5000\nWHATSAT c0 1 1\n");
    struct herd_slice got = wire_take(wire);
    if (!wire->open || got.len < 100 || memcmp(got.data + got.len - 2, "\n\n", 2) != 0)
        driver_fail("no answer though there is memory");
    pass(day, 1000);
    for (size_t i = 0; i < LINKS; i++) {
        if (strcmp(driver_link_state(driver, names[i]), "up") != 0)
            driver_fail("a link is not up though there is memory");
        for (unsigned client = 0; client < CLIENTS; client++) {
            struct herd_record held;
            char name[16];
            snprintf(name, sizeof(name), "c%u", client);
            if (herd_store_find(herd_node_store(driver->node), herd_slice_of(name), &held) &&
                held.sent_ns != day->plays[i].clients[client].sent_ns)
                driver_fail("a neighbour was not told of a record");
        }
    }
}

/* One day with a shortage; returns the allocations that failed. */
static size_t have_a_day(size_t nth, bool for_good, size_t *out_told)
{
    static struct day day;
    long live_before = shortage_live();
    memset(&day, 0, sizeof(day));
    for (size_t i = 0; i < LINKS; i++) {
        for (size_t client = 0; client < CLIENTS; client++)
            day.plays[i].clients[client].sent_ns = -1;
    }
    shortage_begin(nth, for_good);
    day.driver = driver_new("Hill", 0);
    if (day.driver != NULL) {
        day.driver->on_write = on_write;
        day.driver->on_write_arg = &day;
        live(&day);
        shortage_end();
        check_recovery(&day);
        driver_stop(day.driver);
        driver_free(day.driver);
    }
    shortage_end();
    CHECK_INT(("allocation %zu", nth), shortage_live(), live_before);
    *out_told = day.told;
    return shortage_failures();
}

/* All of the first allocations fail in their turn; later ones are much alike, and are samples. */
static void run_days(bool for_good)
{
    size_t told, days = 0, nth = 1;
    while (have_a_day(nth, for_good, &told) > 0) {
        days++;
        nth += 1 + nth / (for_good ? 40 : 150);
    }
    print_message("%zu days, the last with %zu allocations at most and %zu updates told\n", days,
                  nth, told);
    assert_true(days > 100);
    assert_true(told > CLIENTS);
}

static void test_each_allocation_fails_once(void **state)
{
    (void)state;
    run_days(false);
}

static void test_all_allocations_fail_from_one_on(void **state)
{
    (void)state;
    run_days(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation_fails_once),
        cmocka_unit_test(test_all_allocations_fail_from_one_on),
    };
    return cmocka_run_group_tests_name("oom", tests, NULL, NULL);
}
