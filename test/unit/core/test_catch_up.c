/* A long catch-up, with one MARK for 256 KiB of it, that breaks off: what comes on the next connection,
 * and how much of it twice. */
#include <stdlib.h>

#include <herd/store.h>

#include "core/link.h"
#include "edge.h"

enum {
    RECORDS = 20000,     /* about six batches */
    BREAK_EVERY = 40009, /* bytes from one break that is tried to the next */
    PIECE = 20000,       /* that the neighbour takes at a time */
    LATE_RECORDS = 100   /* that change before the next connection */
};

/* What Jaquez has heard, over all connections. */
struct listener {
    struct wire *link;
    unsigned times[RECORDS]; /* each record, as it was first */
    unsigned late[RECORDS];  /* as it was when it had changed */
    uint64_t marked;
    unsigned changed; /* the first so many have changed, and are at the end of the list now */
    size_t lines, text_bytes; /* since the last MARK, and so not known to be there */
    struct herd_buf half;     /* a line that has not come whole */
};

static void hear_flood(struct listener *listener, const char *line, size_t len)
{
    unsigned client, second;
    assert_int_equal(sscanf(line, "FLOOD Hill c%u +1+1 %u ", &client, &second), 2);
    CHECK_TRUE(("%u", client), client < RECORDS);
    if (second == client)
        listener->times[client]++;
    else
        listener->late[client]++;
    listener->lines++;
    listener->text_bytes += len - strlen("FLOOD Hill ");
}

/* All up to there has come, or has changed since. */
static void hear_mark(struct listener *listener, const char *line)
{
    unsigned long long epoch, sequence;
    assert_int_equal(sscanf(line, "MARK %16llx %llu", &epoch, &sequence), 2);
    CHECK_TRUE(("%llu after %" PRIu64, sequence, listener->marked), sequence >= listener->marked);
    for (uint64_t i = listener->marked; i < sequence && i < RECORDS; i++)
        CHECK_TRUE(("%" PRIu64 " is marked", i), listener->times[i] > 0 || i < listener->changed);
    listener->marked = sequence;
    listener->lines = listener->text_bytes = 0;
}

static void hear(struct listener *listener, struct herd_slice bytes)
{
    assert_int_equal(herd_buf_append_slice(&listener->half, bytes), 0);
    char *at = listener->half.data;
    char *end = at + listener->half.len;
    for (char *lf; at < end && (lf = memchr(at, '\n', (size_t)(end - at))) != NULL; at = lf + 1) {
        *lf = '\0';
        if (strncmp(at, "FLOOD ", 6) == 0)
            hear_flood(listener, at, (size_t)(lf - at));
        else if (strncmp(at, "MARK ", 5) == 0)
            hear_mark(listener, at);
    }
    herd_buf_consume(&listener->half, (size_t)(at - listener->half.data));
}

/* The connection stands, and says what it has marked; the rest waits to be taken. */
static void connect(struct listener *listener)
{
    driver_advance_to_dial(listener->link->driver, listener->link);
    wire_dialled(listener->link, NULL);
    wire_take(listener->link);
    edge_resume(listener->link, listener->marked);
}

/* Takes `max` bytes at most, piece by piece, as a kernel's buffer would. Returns how many there were. */
static size_t take(struct listener *listener, size_t max)
{
    size_t taken = 0;
    while (taken < max && listener->link->unwritten > 0) {
        struct herd_slice news = wire_take(listener->link);
        size_t len = news.len < max - taken ? news.len : max - taken;
        hear(listener, herd_slice(news.data, len));
        taken += news.len; /* what is beyond is lost with the connection */
        while (listener->link->unwritten > 0 && listener->link->taken == listener->link->got.len)
            wire_wrote(listener->link, PIECE);
    }
    return taken < max ? taken : max;
}

static void break_off(struct listener *listener)
{
    wire_close(listener->link, "reset");
    listener->half.len = 0;
}

static struct driver *herd_of_two(struct listener *listener)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *client = driver_accept(driver);
    for (unsigned i = 0; i < RECORDS; i++)
        wire_sayf(client, "IAMAT c%u +1+1 %u\n", i, i);
    wire_end(client);
    driver->reports_writes = false;
    driver->answers_pings = true;
    *listener = (struct listener){.link = driver_add_neighbour(driver, "Jaquez")};
    return driver;
}

/* Each record has come; not more than was in flight has come twice. */
static void check_heard(const struct listener *listener, size_t cut, size_t lines_lost,
                        size_t text_lost, unsigned changed)
{
    size_t twice = 0;
    for (unsigned i = 0; i < RECORDS; i++) {
        unsigned late = i < changed;
        CHECK_INT(("c%u as it is now, cut at %zu", i, cut), listener->late[i], late);
        CHECK_TRUE(("c%u came %u times, cut at %zu", i, listener->times[i], cut),
                   listener->times[i] <= 2 && (late || listener->times[i] > 0));
        twice += listener->times[i] == 2;
    }
    CHECK_TRUE(("%zu twice, %zu not marked, cut at %zu", twice, lines_lost, cut),
               twice <= lines_lost && (changed > 0 || twice == lines_lost));
    CHECK_TRUE(("%zu bytes not marked, cut at %zu", text_lost, cut),
               text_lost <= LINK_WINDOW_BYTES + HERD_LINE_MAX);
}

/* Breaks at `cut` bytes, and goes on. Returns whether there was as much. */
static bool try_break(size_t cut, unsigned changed)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    struct driver *driver = herd_of_two(listener);
    connect(listener);
    bool broken = take(listener, cut) == cut;
    size_t lines_lost = listener->lines, text_lost = listener->text_bytes;
    uint64_t marked = listener->marked;
    break_off(listener);
    for (unsigned i = 0; i < changed; i++) {
        char name[16];
        snprintf(name, sizeof(name), "c%u", i);
        edge_update(driver, name, RECORDS + i);
    }
    listener->changed = changed;
    connect(listener);
    take(listener, SIZE_MAX);
    driver_advance_ms(driver, 100);
    take(listener, SIZE_MAX);
    CHECK_INT(("all is marked, cut at %zu", cut), listener->marked, RECORDS + changed);
    check_heard(listener, cut, lines_lost, text_lost, changed);
    for (uint64_t i = changed; i < marked; i++)
        CHECK_INT(("c%" PRIu64 " was marked, cut at %zu", i, cut), listener->times[i], 1);
    driver_free(driver);
    herd_buf_free(&listener->half);
    free(listener);
    return broken;
}

static void rest_comes_once_wherever_it_breaks(void **state)
{
    size_t breaks = 0;
    (void)state;
    while (try_break(breaks * BREAK_EVERY, 0))
        breaks++;
    CHECK_TRUE(("%zu breaks", breaks), breaks > 20);
}

static void records_that_change_meanwhile_come_last(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < 10; cut++)
        try_break(cut * 3 * BREAK_EVERY, LATE_RECORDS);
}

/* Over and over, so that none gets further than half a batch: it does come to an end. */
static void breaks_in_a_row_lose_nothing(void **state)
{
    (void)state;
    struct listener *listener = calloc(1, sizeof(*listener));
    struct driver *driver = herd_of_two(listener);
    unsigned connections = 0;
    uint64_t marked;
    do {
        marked = listener->marked;
        connect(listener);
        if (take(listener, LINK_WINDOW_BYTES * 3 / 2) < LINK_WINDOW_BYTES * 3 / 2) {
            driver_advance_ms(driver, 100);
            take(listener, SIZE_MAX);
        }
        break_off(listener);
        connections++;
    } while (listener->marked > marked);
    CHECK_INT(("all is marked"), listener->marked, RECORDS);
    CHECK_TRUE(("%u connections", connections), connections >= 4);
    for (unsigned i = 0; i < RECORDS; i++)
        CHECK_TRUE(("c%u: %u", i, listener->times[i]),
                   listener->times[i] == 1 || listener->times[i] == 2);
    driver_free(driver);
    herd_buf_free(&listener->half);
    free(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rest_comes_once_wherever_it_breaks),
        cmocka_unit_test(records_that_change_meanwhile_come_last),
        cmocka_unit_test(breaks_in_a_row_lose_nothing),
    };
    return cmocka_run_group_tests_name("catch_up", tests, NULL, NULL);
}
