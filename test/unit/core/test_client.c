/* What a client hears (protocol, section 2), and what a neighbour hears on a connection of its own
 * (section 3). */
#include <herd/err.h>
#include <herd/proto.h>
#include <herd/store.h>

#include "check.h"
#include "driver.h"

#define ID_64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID_256 ID_64 ID_64 ID_64 ID_64
#define EPOCH  "00000000deadbeef"

/* Says each line of a table to one node, on a connection of its own and on one after the other. */
struct exchange {
    const char *line, *answer; /* answer NULL: `? ` and the line */
};

static void check_answer(struct wire *wire, const struct exchange *row)
{
    char expected[HERD_LINE_MAX];
    if (row->answer == NULL)
        snprintf(expected, sizeof(expected), "? %s\n", row->line);
    else
        snprintf(expected, sizeof(expected), "%s", row->answer);
    wire_say(wire, row->line);
    wire_say(wire, "\n");
    CHECK_TEXT(("%s", row->line), wire_take(wire), expected);
}

static void check_exchanges(const struct exchange *rows, size_t count)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *same = driver_accept(driver);
    for (size_t i = 0; i < count; i++) {
        struct wire *own = driver_accept(driver);
        check_answer(own, &rows[i]);
        CHECK_TRUE(("%s", rows[i].line), own->open);
        wire_end(own);
        CHECK_TRUE(("%s", rows[i].line), !own->open && !own->aborted);
    }
    for (size_t i = 0; i < count; i++)
        check_answer(same, &rows[i]);
    assert_true(same->open);
    driver_free(driver);
}

/* The clock stands at 1700000000. */
static void test_iamat_is_echoed_byte_for_byte(void **state)
{
    static const struct exchange rows[] = {
        {"IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1699999999.736126614",
         "AT Hill +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1699999999.736126614\n"},
        {"IAMAT a +1+1 1700000000", "AT Hill +0.000000000 a +1+1 1700000000\n"},
        {"IAMAT a +1+1 1700000000.000012", "AT Hill -0.000012000 a +1+1 1700000000.000012\n"},
        {"IAMAT a +1.10+1.100 01700000001.50",
         "AT Hill -1.500000000 a +1.10+1.100 01700000001.50\n"},
        {"IAMAT a +1+1 1700000000.0000000009999",
         "AT Hill +0.000000000 a +1+1 1700000000.0000000009999\n"},
        {"IAMAT a +1+1 9223372036.854775807",
         "AT Hill -7523372036.854775807 a +1+1 9223372036.854775807\n"},
        {"IAMAT old +1+1 0", "AT Hill +1700000000.000000000 old +1+1 0\n"},
        {"IAMAT old +0+0 0.000000001", "AT Hill +1699999999.999999999 old +0+0 0.000000001\n"},
        {"  IAMAT\t b \v -1.5+100.25/   1700000000.0 \r",
         "AT Hill +0.000000000 b -1.5+100.25/ 1700000000.0\n"},
        {"IAMAT b +4012.22-07500.25/ 1700000000",
         "AT Hill +0.000000000 b +4012.22-07500.25/ 1700000000\n"},
        {"IAMAT b +401213.1-0750015.1 1700000000",
         "AT Hill +0.000000000 b +401213.1-0750015.1 1700000000\n"},
        {"IAMAT b -90.00-180.00/ 1700000000", "AT Hill +0.000000000 b -90.00-180.00/ 1700000000\n"},
        {"IAMAT \xc3\xa9\xe2\x82\xac\xff +1+1 1700000000",
         "AT Hill +0.000000000 \xc3\xa9\xe2\x82\xac\xff +1+1 1700000000\n"},
        {"IAMAT %s%n%d +1+1 1700000000", "AT Hill +0.000000000 %s%n%d +1+1 1700000000\n"},
        {"IAMAT ? +1+1 1700000000", "AT Hill +0.000000000 ? +1+1 1700000000\n"},
        {"IAMAT " ID_256 " +1+1 1700000000", "AT Hill +0.000000000 " ID_256 " +1+1 1700000000\n"},
    };
    (void)state;
    check_exchanges(rows, COUNT_OF(rows));
}

/* Within a second, over its end, and back: the same as a time that is made anew. */
static void test_time_received_follows_the_clock(void **state)
{
    static const int64_t steps_ns[] = {0,  1,          999999998,   1,        1,
                                       -2, 5000000000, -6999999999, 123456789};
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    (void)state;
    for (unsigned i = 0; i < COUNT_OF(steps_ns); i++) {
        struct herd_record record;
        char expected[HERD_TIME_TEXT_MAX];
        driver->now.wall_ns += steps_ns[i];
        wire_sayf(wire, "IAMAT a +1+1 %u\n", i);
        assert_true(herd_store_find(herd_node_store(driver->node), herd_slice_of("a"), &record));
        size_t len = herd_time_format(driver->now.wall_ns, expected);
        CHECK_SLICE(("step %u", i), record.received, herd_slice(expected, len));
    }
    driver_free(driver);
}

static void test_invalid_lines_are_copied(void **state)
{
    static const struct exchange rows[] = {
        {"X", NULL},
        {"?", NULL},
        {"  spaces  stay \t as they   are ", NULL},
        {"AT Hill +0.0 a +1+1 1", NULL},
        {"iamat a +1+1 1", NULL},
        {"IAMAT", NULL},
        {"IAMAT a", NULL},
        {"IAMAT a +1+1", NULL},
        {"IAMAT a +1+1 1 extra", NULL},
        {"IAMAT a b +1+1 1", NULL},
        {"IAMAT " ID_256 "x +1+1 1", NULL},
        {"IAMAT a +90.1+1 1", NULL},
        {"IAMAT a +1-180.1 1", NULL},
        {"IAMAT a 1+1 1", NULL},
        {"IAMAT a +1 +1 1", NULL},
        {"IAMAT a +4060.0-07500.0 1", NULL},
        {"IAMAT a +1e1+1 1", NULL},
        {"IAMAT a +1+1 -1", NULL},
        {"IAMAT a +1+1 1e9", NULL},
        {"IAMAT a +1+1 nan", NULL},
        {"IAMAT a +1+1 9999999999", NULL},
        {"WHATSAT", NULL},
        {"WHATSAT nobody", NULL},
        {"WHATSAT nobody 10", NULL},
        {"WHATSAT nobody 10 5", NULL}, /* an unknown client */
        {" WHATSAT  nobody  10  5 ", NULL},
        {"WHATSAT nobody 51 5", NULL},
        {"WHATSAT nobody -1 5", NULL},
        {"WHATSAT nobody 10 21", NULL},
        {"WHATSAT nobody 10 1.5", NULL},
        {"FLOOD", NULL},
        {"FLOOD A c +1+1 1 1 B 0", NULL},
        {"RESUME " EPOCH " 1", NULL}, /* a listener says that, not who has dialled */
        {"REFUSE no", NULL},
        {"HELLO", NULL},
        {"HELLO Jaquez 1 " EPOCH " 0 -", NULL},
        {"PING 1", NULL},
        {"IAMAT\x01 a +1+1 1", NULL},
        {"IAMAT a\x7f +1+1 1", NULL},
        {"\x1b[A", NULL},
    };
    (void)state;
    check_exchanges(rows, COUNT_OF(rows));
}

static void test_lines_that_have_no_answer(void **state)
{
    static const struct exchange rows[] = {
        {"", ""},
        {" ", ""},
        {"\r", ""},
        {" \t\v\f\r ", ""},
        {"FLOOD Jaquez c +1+1 1 1.0 Smith +0.0", ""},
        {"PONG", ""},
        {"MARK " EPOCH " 1", ""},
        {"PING", "PONG\n"},
        {"HELLO Stranger 2 " EPOCH " 9 -", "RESUME " EPOCH " 0\n"},
    };
    (void)state;
    check_exchanges(rows, COUNT_OF(rows));
}

static void test_nul_is_copied_too(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    (void)state;
    wire_send(wire, herd_slice("IAMAT a\0b +1+1 1\r\n\0\n", 20));
    CHECK_SLICE(("NUL"), wire_take(wire), herd_slice("? IAMAT a\0b +1+1 1\n? \0\n", 23));
    driver_free(driver);
}

/* All three of these are older than what is held, and hear their own words. */
static void test_older_iamat_changes_nothing(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    (void)state;
    wire_say(wire, "IAMAT a +5+5 1700000000\n"
                   "IAMAT a +6+6 1699999999\n"
                   "IAMAT a +4+4 1700000000.000\n"
                   "IAMAT a +7+7 1699999999.999999999\n");
    CHECK_TEXT(("answers"), wire_take(wire),
               "AT Hill +0.000000000 a +5+5 1700000000\n"
               "AT Hill +1.000000000 a +6+6 1699999999\n"
               "AT Hill +0.000000000 a +4+4 1700000000.000\n"
               "AT Hill +0.000000001 a +7+7 1699999999.999999999\n");
    wire_say(wire, "WHATSAT a 10 5\n");
    CHECK_TEXT(("held"), wire_take(wire),
               "AT Hill +0.000000000 a +5+5 1700000000\n"
               "{\"lat\":5.000000,\"lon\":5.000000,\"radius\":10000.000,\"count\":5}\n\n");
    assert_int_equal(herd_node_stats(driver->node)->iamat, 4);
    assert_int_equal(herd_node_stats(driver->node)->records_applied, 1);
    assert_int_equal(herd_node_stats(driver->node)->records_old, 3);
    driver_free(driver);
}

static void test_whatsat_asks_what_it_was_told(void **state)
{
    static const struct {
        const char *line, *json;
    } rows[] = {
        {"WHATSAT a 10 5\n", "{\"lat\":34.068930,\"lon\":-118.445127,\"radius\":10000.000,"},
        {"WHATSAT a 0 0\n", "{\"lat\":34.068930,\"lon\":-118.445127,\"radius\":0.000,"},
        {"WHATSAT a 50 20\n", "{\"lat\":34.068930,\"lon\":-118.445127,\"radius\":50000.000,"},
        {"WHATSAT a 0.5 1\n", "{\"lat\":34.068930,\"lon\":-118.445127,\"radius\":500.000,"},
    };
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    (void)state;
    wire_say(wire, "IAMAT a +34.068930-118.445127 1700000000\n");
    wire_take(wire);
    static const char at[] = "AT Hill +0.000000000 a +34.068930-118.445127 1700000000\n";
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        unsigned writes = wire->writes;
        wire_say(wire, rows[i].line);
        struct herd_slice got = wire_take(wire);
        CHECK_INT(("%s", rows[i].line), wire->writes, writes + 1); /* AT and JSON in one */
        assert_true(got.len > strlen(at) + strlen(rows[i].json));
        CHECK_TEXT(("%s", rows[i].line), herd_slice(got.data, strlen(at)), at);
        CHECK_TEXT(("%s", rows[i].line), herd_slice(got.data + strlen(at), strlen(rows[i].json)),
                   rows[i].json);
    }
    driver_free(driver);
}

/* The AT line is of the moment of the question, the places are too. */
static void test_whatsat_is_not_changed_by_later_news(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    (void)state;
    driver->answers_places = false;
    wire_say(wire, "IAMAT a +1+1 1699999999\nWHATSAT a 1 1\nIAMAT a +2+2 1700000000\n");
    driver_answer(driver, 0);
    CHECK_TEXT(("all"), wire_take(wire),
               "AT Hill +1.000000000 a +1+1 1699999999\n"
               "AT Hill +1.000000000 a +1+1 1699999999\n"
               "{\"lat\":1.000000,\"lon\":1.000000,\"radius\":1000.000,\"count\":1}\n\n"
               "AT Hill +0.000000000 a +2+2 1700000000\n");
    driver_free(driver);
}

static void test_whatsat_of_what_another_server_received(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    (void)state;
    wire_say(wire, "FLOOD Jaquez a +1+1 5 5.250000000 Singleton +0.250000000\nWHATSAT a 1 1\n");
    CHECK_TEXT(("AT"), wire_take(wire),
               "AT Singleton +0.250000000 a +1+1 5\n"
               "{\"lat\":1.000000,\"lon\":1.000000,\"radius\":1000.000,\"count\":1}\n\n");
    driver_free(driver);
}

/* A location with so many decimals that the record could not travel. */
static void test_iamat_that_could_not_be_flooded(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    char line[HERD_LINE_MAX + 1], zeros[HERD_LINE_MAX];
    (void)state;
    memset(zeros, '0', sizeof(zeros));
    size_t fixed = strlen("a +1.+1 1 1700000000.000000000 Hill +1699999999.000000000");
    for (int extra = 0; extra < 2; extra++) {
        int zero_count = (int)(HERD_RECORD_TEXT_MAX - fixed) + extra;
        snprintf(line, sizeof(line), "IAMAT a +1.%.*s+1 1\n", zero_count, zeros);
        wire_say(wire, line);
        const char *expected = extra == 0 ? "AT Hill " : "? IAMAT ";
        CHECK_TEXT(("%d too many", extra), herd_slice(wire_take(wire).data, 8), expected);
    }
    assert_int_equal(herd_node_stats(driver->node)->records_applied, 1);
    assert_int_equal(herd_node_stats(driver->node)->lines_invalid, 1);
    driver_free(driver);
}

static void test_line_that_is_too_long(void **state)
{
    static char line[HERD_LINE_MAX + 100];
    static char expected[HERD_LINE_MAX + 100];
    (void)state;
    memset(line, 'x', sizeof(line));
    for (size_t len = HERD_LINE_MAX; len <= HERD_LINE_MAX + 2; len++) {
        bool fits = len == HERD_LINE_MAX;
        struct driver *driver = driver_new("Hill", 0);
        struct wire *wire = driver_accept(driver);
        wire_say(wire, "PING\n");
        line[len] = '\n';
        wire_send(wire, herd_slice(line, len + 1));
        wire_say(wire, "PING\n");
        line[len] = 'x';
        int n = snprintf(expected, sizeof(expected), "PONG\n? %.*s\n%s", HERD_LINE_MAX, line,
                         fits ? "PONG\n" : "");
        CHECK_SLICE(("%zu", len), wire_take(wire), herd_slice(expected, (size_t)n));
        CHECK_INT(("%zu", len), wire->open, fits);
        CHECK_TRUE(("%zu", len), !wire->aborted); /* what was said goes out first */
        driver_free(driver);
    }
}

static void test_other_protocols_are_shown_the_door(void **state)
{
    static const struct {
        const char *text;
        bool open;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\n", true},
        {"GET / HTTP/1.1\nGET / HTTP/1.1\nGET / HTTP/1.1\n", false},
        {"GET / HTTP/1.1\nGET / HTTP/1.1\nPING\nGET / HTTP/1.1\n", true},
        {"GET / HTTP/1.1\nGET / HTTP/1.1\nx\nGET / HTTP/1.1\n", true},
        {"PRI * HTTP/2.0\n\n", true},
        {"\x16\x03\x01 a\n\x16\x03\x01 b\n\x16\x03\x01 c\n", false},
        {"x\ny\nz\nx\ny\nz\n", true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct driver *driver = driver_new("Hill", 0);
        struct wire *wire = driver_accept(driver);
        wire_say(wire, rows[i].text);
        CHECK_INT(("%s", rows[i].text), wire->open, rows[i].open);
        CHECK_TRUE(("%s", rows[i].text), !wire->aborted);
        driver_free(driver);
    }
}

/* The line that closes the connection is answered; what stands behind it is not. */
static void test_door_closes_behind_the_third(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    (void)state;
    wire_say(wire, "GET / HTTP/1.1\r\nHost: a\r\nAccept: b\r\nIAMAT a +1+1 1\r\n");
    CHECK_TEXT(("answers"), wire_take(wire), "? GET / HTTP/1.1\n? Host: a\n? Accept: b\n");
    assert_int_equal(herd_store_count(herd_node_store(driver->node)), 0);
    driver_free(driver);
}

static void test_hello(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    struct wire *wire = driver_accept(driver);
    (void)state;
    wire_dialled(link, "refused");
    wire_say(wire, "HELLO Jaquez 2 " EPOCH " 9 - one two\n");
    CHECK_TEXT(("first"), wire_take(wire), "RESUME " EPOCH " 0\n");
    assert_string_equal(herd_conn_peer(wire->conn), "Jaquez");
    wire_say(wire, "MARK " EPOCH " 12\n");
    /* A new connection in the same epoch goes on behind the MARK, and ends the old one. */
    struct wire *next = driver_accept(driver);
    wire_say(next, "HELLO Jaquez 2 " EPOCH " 12 -\n");
    CHECK_TEXT(("again"), wire_take(next), "RESUME " EPOCH " 12\n");
    assert_true(wire->aborted);
    assert_false(wire->open);
    /* Marks of another epoch do not count. */
    wire_say(next, "MARK 00000000deadbee0 99\nHELLO Jaquez 2 " EPOCH " 15 -\n");
    CHECK_TEXT(("on the same connection"), wire_take(next), "RESUME " EPOCH " 12\n");
    /* The neighbour has gone back behind what it had marked, or counts anew. */
    wire_say(next, "HELLO Jaquez 2 " EPOCH " 11 -\n");
    CHECK_TEXT(("back"), wire_take(next), "RESUME " EPOCH " 0\n");
    wire_say(next, "MARK " EPOCH " 11\nHELLO Jaquez 2 00000000deadbee0 11 -\n");
    CHECK_TEXT(("another epoch"), wire_take(next), "RESUME 00000000deadbee0 0\n");
    driver_free(driver);
}

static void test_hello_that_is_refused(void **state)
{
    static const struct {
        int64_t max_skew_s;
        const char *line, *answer;
    } rows[] = {
        {0, "HELLO Hill 2 " EPOCH " 9 -\n", "REFUSE this is my own name\n"},
        {0, "HELLO Jaquez 2 " EPOCH " 9 300\n",
         "REFUSE max_skew_s differs (mine is 0, yours 300); it must be the same in the whole "
         "herd\n"},
        {300, "HELLO Jaquez 2 " EPOCH " 9 -\n", "REFUSE max_skew_s differs"},
        {300, "HELLO Jaquez 2 " EPOCH " 9 301\n", "REFUSE max_skew_s differs"},
        {300, "HELLO Jaquez 2 " EPOCH " 9 300.5\n",
         "REFUSE max_skew_s differs (mine is 300, yours 300.500000000); it must"},
        {0, "HELLO Jaquez 2 " EPOCH " 9 - ttl=20\n",
         "REFUSE record_ttl_s differs (mine is 0, yours 20); it must be the same in the whole "
         "herd\n"},
        {300, "HELLO Jaquez 2 " EPOCH " 9 300.0\n", "RESUME " EPOCH " 0\n"},
        {0, "HELLO Jaquez 2 " EPOCH " 9 0\n", "RESUME " EPOCH " 0\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct driver *driver = driver_new("Hill", rows[i].max_skew_s * HERD_NS_PER_S);
        bool is_own_name = rows[i].line[6] == 'H'; /* no neighbour's */
        driver_add_neighbour(driver, "Jaquez");
        struct wire *wire = driver_accept(driver);
        wire_say(wire, rows[i].line);
        struct herd_slice got = wire_take(wire);
        CHECK_TEXT(("%s", rows[i].line), herd_slice(got.data, strlen(rows[i].answer)),
                   rows[i].answer);
        CHECK_INT(("%s", rows[i].line), wire->open, rows[i].answer[2] == 'S');
        CHECK_INT(("%s", rows[i].line), driver_count_notices(driver, HERD_NOTICE_HELLO_REFUSED),
                  !wire->open && !is_own_name);
        CHECK_INT(("%s", rows[i].line), herd_node_stats(driver->node)->hello_refused, !wire->open);
        driver_free(driver);
    }
}

/* Any client can say it, as often as it likes. */
static void test_hello_again_and_again_is_told_now_and_then(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    const struct herd_node_stats *stats = herd_node_stats(driver->node);
    (void)state;
    driver_add_neighbour(driver, "Jaquez");
    for (int window = 0; window < 3; window++) {
        for (int i = 0; i < 100; i++) {
            wire_sayf(driver_accept(driver), "HELLO x%d 2 " EPOCH " 9 7\n", i);
            wire_say(driver_accept(driver), "HELLO Jaquez 2 " EPOCH " 9 7\n");
            wire_say(driver_accept(driver), "HELLO Jaquez 2 " EPOCH " 9 -\n");
        }
        const struct herd_notice *last = driver_last_notice(driver, HERD_NOTICE_HELLO_REFUSED);
        CHECK_INT(("window %d", window), stats->hello_refused, (window + 1) * 200);
        CHECK_INT(("window %d", window), driver_count_notices(driver, HERD_NOTICE_HELLO_REFUSED),
                  window + 1);
        CHECK_INT(("window %d", window), last->sequence, window == 0 ? 1 : 100);
        CHECK_INT(("window %d", window), driver_count_notices(driver, HERD_NOTICE_HELLO),
                  (window + 1) * 8);
        driver_advance_ms(driver, 10000);
    }
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iamat_is_echoed_byte_for_byte),
        cmocka_unit_test(test_time_received_follows_the_clock),
        cmocka_unit_test(test_invalid_lines_are_copied),
        cmocka_unit_test(test_lines_that_have_no_answer),
        cmocka_unit_test(test_nul_is_copied_too),
        cmocka_unit_test(test_older_iamat_changes_nothing),
        cmocka_unit_test(test_whatsat_asks_what_it_was_told),
        cmocka_unit_test(test_whatsat_is_not_changed_by_later_news),
        cmocka_unit_test(test_whatsat_of_what_another_server_received),
        cmocka_unit_test(test_iamat_that_could_not_be_flooded),
        cmocka_unit_test(test_line_that_is_too_long),
        cmocka_unit_test(test_other_protocols_are_shown_the_door),
        cmocka_unit_test(test_door_closes_behind_the_third),
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_hello_that_is_refused),
        cmocka_unit_test(test_hello_again_and_again_is_told_now_and_then),
    };
    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
