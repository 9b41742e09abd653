/* Output buffers that are kept for the next writes: which, how many, and what for. */
#include "core/node.h"
#include "core/rng.h"
#include "core/spares.h"
#include "edge.h"

enum { CROWD = 96, ROUNDS = 500 };

static struct herd_buf buf_of(size_t cap)
{
    struct herd_buf buf = {.data = malloc(cap), .len = 1, .cap = cap};
    assert_non_null(buf.data);
    return buf;
}

static void keep(struct spares *spares, size_t cap, unsigned times)
{
    while (times-- > 0) {
        struct herd_buf buf = buf_of(cap);
        spares_keep(spares, &buf);
        assert_null(buf.data);
        assert_int_equal(buf.cap + buf.len, 0);
    }
}

static size_t kept_bytes(const struct spares *spares)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < spares->small_count; i++)
        bytes += spares->small[i].cap;
    for (unsigned i = 0; i < spares->large_count; i++)
        bytes += spares->large[i].cap;
    for (unsigned i = 0; i < spares->places_count; i++)
        bytes += spares->places[i].cap;
    return bytes + spares->long_one.cap;
}

static void expect_cap(struct spares *spares, void (*take)(struct spares *, struct herd_buf *),
                       size_t cap)
{
    struct herd_buf buf = {0};
    take(spares, &buf);
    assert_int_equal(buf.cap, cap);
    assert_int_equal(buf.len, 0);
    herd_buf_free(&buf);
}

static void test_no_more_is_kept_than_the_bounds(void **state)
{
    (void)state;
    struct spares spares = {0};
    struct herd_buf none = {0};
    spares_keep(&spares, &none);
    keep(&spares, SPARES_LARGE_BYTES + 1, 1);
    assert_int_equal(spares.small_count + spares.large_count, 0);
    assert_int_equal(spares.long_one.cap, SPARES_LARGE_BYTES + 1);
    keep(&spares, SPARES_LONG_BYTES + 1, 1);
    keep(&spares, SPARES_LONG_BYTES, 1); /* one of them is enough */
    keep(&spares, SPARES_PLACES_BYTES + 1, 1);
    assert_int_equal(kept_bytes(&spares), SPARES_LARGE_BYTES + 1);
    keep(&spares, SPARES_PLACES_BYTES, 2 * SPARES_PLACES_MAX);
    assert_int_equal(kept_bytes(&spares),
                     SPARES_LARGE_BYTES + 1 + SPARES_PLACES_MAX * SPARES_PLACES_BYTES);
    spares_free(&spares);
    keep(&spares, SPARES_SMALL_BYTES, 2 * SPARES_SMALL_MAX);
    assert_int_equal(spares.small_count, SPARES_SMALL_MAX);
    keep(&spares, SPARES_LARGE_BYTES, 2 * SPARES_LARGE_MAX);
    assert_int_equal(kept_bytes(&spares),
                     SPARES_SMALL_MAX * SPARES_SMALL_BYTES + SPARES_LARGE_ALL_BYTES);
    spares_free(&spares);
    keep(&spares, SPARES_SMALL_BYTES + 1, 2 * SPARES_LARGE_MAX);
    assert_int_equal(spares.large_count, SPARES_LARGE_MAX);
    spares_free(&spares);
    assert_int_equal(kept_bytes(&spares), 0);
}

/* Room that was taken is room for others again. */
static void test_large_ones_come_and_go(void **state)
{
    (void)state;
    struct spares spares = {0};
    for (unsigned i = 0; i < 3; i++) {
        keep(&spares, SPARES_LARGE_BYTES, SPARES_LARGE_MAX);
        assert_int_equal(kept_bytes(&spares), SPARES_LARGE_ALL_BYTES);
        while (spares.large_count > 0)
            expect_cap(&spares, spares_take_long, SPARES_LARGE_BYTES);
    }
    spares_free(&spares);
}

static void test_who_gets_which(void **state)
{
    (void)state;
    struct spares spares = {0};
    expect_cap(&spares, spares_take, 0);
    expect_cap(&spares, spares_take_small, 0);
    expect_cap(&spares, spares_take_long, 0);
    keep(&spares, 256, 3);
    keep(&spares, 4096, SPARES_LEFT_TO_LINKS + 1);
    expect_cap(&spares, spares_take_small, 256);
    expect_cap(&spares, spares_take, 4096);
    expect_cap(&spares, spares_take, 256); /* the rest is for links */
    for (unsigned i = 0; i < SPARES_LEFT_TO_LINKS; i++)
        expect_cap(&spares, spares_take_long, 4096);
    expect_cap(&spares, spares_take_long, 256);
    expect_cap(&spares, spares_take_long, 0);
    spares_free(&spares);
}

/* Into a large one goes only what no small one would hold, and what links are left is not taken. */
static void test_what_waits_has_a_large_one_once_a_small_one_is_full(void **state)
{
    (void)state;
    struct spares spares = {0};
    struct herd_buf buf = buf_of(SPARES_SMALL_BYTES);
    const char *small = buf.data;
    memset(buf.data, 'x', buf.cap);
    keep(&spares, 4096, SPARES_LEFT_TO_LINKS);
    buf.len = SPARES_SMALL_BYTES;
    spares_make_room(&spares, &buf, 1);
    assert_ptr_equal(buf.data, small);
    keep(&spares, 4096, 1);
    buf.len = SPARES_SMALL_BYTES - 1;
    spares_make_room(&spares, &buf, 1);
    assert_ptr_equal(buf.data, small);
    buf.len = SPARES_SMALL_BYTES;
    spares_make_room(&spares, &buf, 1);
    assert_int_equal(buf.cap, 4096);
    assert_int_equal(buf.len, SPARES_SMALL_BYTES);
    for (size_t at = 0; at < buf.len; at++)
        assert_int_equal(buf.data[at], 'x');
    assert_int_equal(spares.large_count, SPARES_LEFT_TO_LINKS);
    assert_int_equal(spares.small_count, 1);
    assert_ptr_equal(spares.small[0].data, small);
    keep(&spares, SPARES_LARGE_BYTES, 1);
    spares_make_room(&spares, &buf, 4096); /* it has a large one already */
    assert_int_equal(buf.cap, 4096);
    struct herd_buf shorter = buf_of(256);
    spares_make_room(&spares, &shorter, SPARES_SMALL_BYTES - 1); /* it may become a small one */
    assert_int_equal(shorter.cap, 256);
    herd_buf_free(&shorter);
    herd_buf_free(&buf);
    spares_free(&spares);
}

/* What it had is there for others. */
static void test_places_of_a_client_go_into_a_long_one(void **state)
{
    (void)state;
    struct spares spares = {0};
    char *first = NULL;
    for (unsigned i = 0; i < 2; i++) {
        struct herd_buf buf = buf_of(4096);
        memset(buf.data, 'x', buf.cap);
        buf.len = buf.cap;
        spares_lengthen(&spares, &buf);
        assert_int_equal(spares.large_count, i + 1);
        assert_int_equal(spares.places_count, 0);
        assert_int_equal(buf.cap, SPARES_PLACES_BYTES);
        assert_int_equal(buf.len, 4096);
        for (size_t at = 0; at < buf.len; at++)
            assert_int_equal(buf.data[at], 'x');
        assert_true(first == NULL || buf.data == first);
        first = buf.data;
        spares_keep(&spares, &buf);
    }
    struct herd_buf none = {0};
    spares_lengthen(&spares, &none);
    assert_ptr_equal(none.data, first);
    assert_int_equal(none.len, 0);
    spares_keep(&spares, &none);
    expect_cap(&spares, spares_take_long, 4096); /* a link has none of these */
    struct herd_buf longer = buf_of(2 * SPARES_PLACES_BYTES);
    spares_lengthen(&spares, &longer);
    assert_int_equal(longer.cap, 2 * SPARES_PLACES_BYTES);
    herd_buf_free(&longer);
    spares_free(&spares);
}

/* Of each kind, the fewest that were there since the last look were not needed. */
static void test_what_was_not_needed_goes(void **state)
{
    (void)state;
    struct spares spares = {0};
    struct herd_buf bufs[5] = {0};
    keep(&spares, 256, 5);
    keep(&spares, 4096, SPARES_LEFT_TO_LINKS + 3);
    keep(&spares, SPARES_PLACES_BYTES, 2);
    keep(&spares, SPARES_LONG_BYTES, 1);
    size_t all = kept_bytes(&spares);
    assert_int_equal(spares_bytes(&spares), all);
    assert_int_equal(spares_give_back(&spares), 0); /* they have only just come */
    assert_int_equal(spares_bytes(&spares), all);
    spares_take_small(&spares, &bufs[0]);
    spares_take_small(&spares, &bufs[1]);
    spares_take(&spares, &bufs[2]);
    spares_lengthen(&spares, &bufs[3]);
    for (size_t i = 0; i < COUNT_OF(bufs); i++)
        spares_keep(&spares, &bufs[i]);
    assert_int_equal(spares_bytes(&spares), all);
    size_t needed = 2 * 256 + 4096 + SPARES_PLACES_BYTES;
    assert_int_equal(spares_give_back(&spares), all - needed);
    assert_int_equal(kept_bytes(&spares), needed);
    assert_int_equal(spares_bytes(&spares), needed);
    assert_int_equal(spares.large_bytes, 4096);
    struct herd_buf longest = buf_of(2 * SPARES_PLACES_BYTES);
    spares_keep(&spares, &longest); /* freed at once, and counted */
    assert_int_equal(spares_give_back(&spares), needed + 2 * (size_t)SPARES_PLACES_BYTES);
    assert_int_equal(kept_bytes(&spares), 0);
    keep(&spares, 256, 5);
    spares_give_back(&spares);
    spares_free(&spares);
    keep(&spares, 256, 1);
    assert_int_equal(spares_give_back(&spares), 0);
    assert_int_equal(kept_bytes(&spares), 256);
    spares_free(&spares);
}

static void test_the_long_one_stays_while_a_link_needs_it(void **state)
{
    (void)state;
    struct spares spares = {0};
    struct herd_buf buf = {0};
    keep(&spares, SPARES_LONG_BYTES, 1);
    for (int i = 0; i < 3; i++) {
        spares_take_long(&spares, &buf);
        assert_int_equal(buf.cap, SPARES_LONG_BYTES);
        spares_keep(&spares, &buf);
        assert_int_equal(spares_give_back(&spares), 0);
    }
    assert_int_equal(spares_give_back(&spares), SPARES_LONG_BYTES);
    assert_null(spares.long_one.data);
}

/* Each of a few of the crowd has said something by the end of this turn. */
static void crowd_turn(struct driver *driver, struct wire **crowd, unsigned speakers,
                       unsigned second)
{
    for (unsigned i = 0; i < speakers; i++) {
        char line[64];
        int len = snprintf(line, sizeof(line), "IAMAT crowd%u +1+1 %u\n", i, second);
        herd_conn_receive(crowd[i]->conn, driver->now, line, (size_t)len);
    }
    driver_run(driver);
}

/*
 * Of a turn of a crowd its link has as many lines to send as there were speakers: too much for the
 * buffers in which these are answered, which must not become large by that one after the other.
 */
static void test_turns_of_a_crowd_take_no_memory(void **state)
{
    (void)state;
    struct wire *link = edge_new(0), *crowd[CROWD];
    struct driver *driver = link->driver;
    const struct spares *spares = &driver->node->spares;
    struct rng rng = {1};
    edge_greet(link);
    edge_resume(link, 0);
    for (unsigned i = 0; i < CROWD; i++)
        crowd[i] = driver_accept(driver);
    crowd_turn(driver, crowd, CROWD, 1);
    size_t before = kept_bytes(spares);
    for (unsigned round = 0; round < ROUNDS; round++)
        crowd_turn(driver, crowd, 1 + (unsigned)rng_below(&rng, CROWD), 2 + round);
    assert_true(kept_bytes(spares) <= before + SPARES_LARGE_BYTES);
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_more_is_kept_than_the_bounds),
        cmocka_unit_test(test_large_ones_come_and_go),
        cmocka_unit_test(test_who_gets_which),
        cmocka_unit_test(test_what_waits_has_a_large_one_once_a_small_one_is_full),
        cmocka_unit_test(test_places_of_a_client_go_into_a_long_one),
        cmocka_unit_test(test_what_was_not_needed_goes),
        cmocka_unit_test(test_the_long_one_stays_while_a_link_needs_it),
        cmocka_unit_test(test_turns_of_a_crowd_take_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
