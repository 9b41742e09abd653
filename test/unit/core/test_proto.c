#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "check.h"

#define ID_64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID_256 ID_64 ID_64 ID_64 ID_64
#define EPOCH  "00000000deadbeef"

static int parse(const char *line, struct herd_command *out)
{
    return herd_command_parse(herd_slice_of(line), out);
}

static const struct {
    const char *line, *client, *location, *sent;
    int64_t sent_ns;
} iamat_rows[] = {
    {"IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503", "kiwi.cs.ucla.edu",
     "+34.068930-118.445127", "1621464827.959498503", 1621464827959498503},
    {"IAMAT a +1+1 0", "a", "+1+1", "0", 0},
    {"  IAMAT a +1+1 1  ", "a", "+1+1", "1", HERD_NS_PER_S},
    {"\tIAMAT\ta\t+1+1\t1\t", "a", "+1+1", "1", HERD_NS_PER_S},
    {"\v\f\rIAMAT \t\v\f\r a   +1+1 \r 1\r", "a", "+1+1", "1", HERD_NS_PER_S},
    {"IAMAT IAMAT +1+1 1", "IAMAT", "+1+1", "1", HERD_NS_PER_S},
    {"IAMAT ? +1+1 1", "?", "+1+1", "1", HERD_NS_PER_S},
    {"IAMAT %s%n +1+1 1", "%s%n", "+1+1", "1", HERD_NS_PER_S},
    {"IAMAT \"a\" +1+1 1", "\"a\"", "+1+1", "1", HERD_NS_PER_S},
    {"IAMAT \xc3\xa9\xe2\x82\xac +1+1 1", "\xc3\xa9\xe2\x82\xac", "+1+1", "1", HERD_NS_PER_S},
    {"IAMAT \xff\x80 +1+1 1", "\xff\x80", "+1+1", "1", HERD_NS_PER_S},
    {"IAMAT " ID_256 " +1+1 1", ID_256, "+1+1", "1", HERD_NS_PER_S},
    {"IAMAT a +4012.22-07500.25/ 1.50", "a", "+4012.22-07500.25/", "1.50", 1500000000},
    {"IAMAT a +401213.1-0750015.1/ 9223372036.854775807", "a", "+401213.1-0750015.1/",
     "9223372036.854775807", INT64_MAX},
    {"IAMAT a -90.000-180.000 000001.00000000000000000001", "a", "-90.000-180.000",
     "000001.00000000000000000001", HERD_NS_PER_S},
};

static void test_iamat(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(iamat_rows); i++) {
        struct herd_command command;
        const char *line = iamat_rows[i].line;
        CHECK_INT(("%s", line), parse(line, &command), 0);
        CHECK_INT(("%s", line), command.verb, HERD_VERB_IAMAT);
        CHECK_TEXT(("%s", line), command.record.client, iamat_rows[i].client);
        CHECK_TEXT(("%s", line), command.record.location, iamat_rows[i].location);
        CHECK_TEXT(("%s", line), command.record.sent, iamat_rows[i].sent);
        CHECK_INT(("%s", line), command.record.sent_ns, iamat_rows[i].sent_ns);
    }
}

static void test_whatsat(void **state)
{
    static const struct {
        const char *line, *client;
        double radius_m;
        unsigned count;
    } rows[] = {
        {"WHATSAT kiwi.cs.ucla.edu 10 5", "kiwi.cs.ucla.edu", 10000, 5},
        {"WHATSAT a 0 0", "a", 0, 0},
        {"WHATSAT a 50 20", "a", 50000, 20},
        {"WHATSAT a 50.000 020", "a", 50000, 20},
        {"WHATSAT a 0.5 1", "a", 500, 1},
        {"WHATSAT a 0.000001 1", "a", 0.001, 1},
        {"WHATSAT a 0049.999 0001", "a", 49999, 1},
        {" WHATSAT  \xc3\xa9  10  5 ", "\xc3\xa9", 10000, 5},
        {"WHATSAT " ID_256 " 10 5", ID_256, 10000, 5},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct herd_command command;
        CHECK_INT(("%s", rows[i].line), parse(rows[i].line, &command), 0);
        CHECK_INT(("%s", rows[i].line), command.verb, HERD_VERB_WHATSAT);
        CHECK_TEXT(("%s", rows[i].line), command.record.client, rows[i].client);
        CHECK_TRUE(("%s: %g", rows[i].line, command.radius_m),
                   command.radius_m == rows[i].radius_m);
        CHECK_INT(("%s", rows[i].line), command.count, rows[i].count);
    }
}

static void test_flood(void **state)
{
    struct herd_command command;
    (void)state;
    assert_int_equal(parse("FLOOD Smith kiwi +34.0-118.4 1621464827.959498503 "
                           "1621464828.223371889 Hill +0.263873386",
                           &command),
                     0);
    assert_int_equal(command.verb, HERD_VERB_FLOOD);
    CHECK_TEXT(("server"), command.server, "Smith");
    CHECK_TEXT(("client"), command.record.client, "kiwi");
    CHECK_TEXT(("location"), command.record.location, "+34.0-118.4");
    CHECK_TEXT(("sent"), command.record.sent, "1621464827.959498503");
    CHECK_TEXT(("received"), command.record.received, "1621464828.223371889");
    CHECK_TEXT(("origin"), command.record.origin, "Hill");
    CHECK_TEXT(("diff"), command.record.diff, "+0.263873386");
    assert_int_equal(command.record.sent_ns, 1621464827959498503);
    assert_int_equal(command.record.received_ns, 1621464828223371889);
}

static void test_hello(void **state)
{
    static const struct {
        const char *line, *server;
        unsigned version;
        uint64_t epoch, sequence;
        int64_t max_skew_ns;
        const char *rest;
    } rows[] = {
        {"HELLO Hill 2 " EPOCH " 0 -", "Hill", 2, 0xdeadbeef, 0, 0, ""},
        {"HELLO Hill 2 ffffffffffffffff 18446744073709551615 -", "Hill", 2, UINT64_MAX, UINT64_MAX,
         0, ""},
        {"HELLO Hill 2 " EPOCH " 7 300", "Hill", 2, 0xdeadbeef, 7, 300 * HERD_NS_PER_S, ""},
        {"HELLO Hill 2 " EPOCH " 7 0", "Hill", 2, 0xdeadbeef, 7, 0, ""},
        {"HELLO Hill 3 " EPOCH " 7 - digest tree", "Hill", 3, 0xdeadbeef, 7, 0, "digest tree"},
        {"HELLO Hill 4294967295 " EPOCH " 7 -   x  ", "Hill", UINT32_MAX, 0xdeadbeef, 7, 0, "x  "},
        {"HELLO " ID_64 " 2 " EPOCH " 7 -", ID_64, 2, 0xdeadbeef, 7, 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct herd_command command;
        const char *line = rows[i].line;
        CHECK_INT(("%s", line), parse(line, &command), 0);
        CHECK_INT(("%s", line), command.verb, HERD_VERB_HELLO);
        CHECK_TEXT(("%s", line), command.server, rows[i].server);
        CHECK_INT(("%s", line), command.version, rows[i].version);
        CHECK_INT(("%s", line), command.epoch, rows[i].epoch);
        CHECK_INT(("%s", line), command.sequence, rows[i].sequence);
        CHECK_INT(("%s", line), command.max_skew_ns, rows[i].max_skew_ns);
        CHECK_TEXT(("%s", line), command.rest, rows[i].rest);
    }
}

static void test_positions_and_bare_words(void **state)
{
    static const struct {
        const char *line;
        enum herd_verb verb;
        uint64_t epoch, sequence;
    } rows[] = {
        {"RESUME " EPOCH " 12", HERD_VERB_RESUME, 0xdeadbeef, 12},
        {"RESUME " EPOCH " 0", HERD_VERB_RESUME, 0xdeadbeef, 0},
        {"RESUME " EPOCH " 0 recovered", HERD_VERB_RESUME, 0xdeadbeef, 0},
        {"RESUME " EPOCH " 9 of=" EPOCH " recovered", HERD_VERB_RESUME, 0xdeadbeef, 9},
        {"MARK 0123456789abcdef 18446744073709551615", HERD_VERB_MARK, 0x0123456789abcdef,
         UINT64_MAX},
        {"PING", HERD_VERB_PING, 0, 0},
        {" PING ", HERD_VERB_PING, 0, 0},
        {"PONG\r", HERD_VERB_PONG, 0, 0},
        {"", HERD_VERB_NONE, 0, 0},
        {" ", HERD_VERB_NONE, 0, 0},
        {" \t\v\f\r ", HERD_VERB_NONE, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct herd_command command = {0};
        CHECK_INT(("%s", rows[i].line), parse(rows[i].line, &command), 0);
        CHECK_INT(("%s", rows[i].line), command.verb, rows[i].verb);
        CHECK_INT(("%s", rows[i].line), command.epoch, rows[i].epoch);
        CHECK_INT(("%s", rows[i].line), command.sequence, rows[i].sequence);
    }
}

static void test_marks_and_ranges(void **state)
{
    static const struct {
        const char *line;
        enum herd_verb verb;
        uint64_t after, sequence, passed;
        const char *rest;
    } rows[] = {
        {"MARK " EPOCH " 7", HERD_VERB_MARK, 0, 7, 7, ""},
        {"MARK " EPOCH " 7 ", HERD_VERB_MARK, 0, 7, 7, ""},
        {"MARK " EPOCH " 7 7", HERD_VERB_MARK, 0, 7, 7, ""},
        {"MARK " EPOCH " 7 18446744073709551615", HERD_VERB_MARK, 0, 7, UINT64_MAX, ""},
        {"HELD 0 18446744073709551615", HERD_VERB_HELD, 0, UINT64_MAX, 0, ""},
        {"HAVE 3 4 00000000:a:1", HERD_VERB_HAVE, 3, 4, 0, "00000000:a:1"},
        {"HAVE 3 3", HERD_VERB_HAVE, 3, 3, 0, ""},
        {"PRUNE Hill Smith", HERD_VERB_PRUNE, 0, 0, 0, "Hill Smith"},
        {"GRAFT Hill", HERD_VERB_GRAFT, 0, 0, 0, "Hill"},
        {"LOST Hill", HERD_VERB_LOST, 0, 0, 0, "Hill"},
        {"FASTER Hill", HERD_VERB_FASTER, 0, 0, 0, "Hill"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct herd_command command = {0};
        CHECK_INT(("%s", rows[i].line), parse(rows[i].line, &command), 0);
        CHECK_INT(("%s", rows[i].line), command.verb, rows[i].verb);
        CHECK_INT(("%s", rows[i].line), command.after, rows[i].after);
        CHECK_INT(("%s", rows[i].line), command.sequence, rows[i].sequence);
        CHECK_INT(("%s", rows[i].line), command.passed, rows[i].passed);
        CHECK_TEXT(("%s", rows[i].line), command.rest, rows[i].rest);
    }
}

static void test_names_of_have(void **state)
{
    static const struct {
        const char *word;
        int rc;
        uint32_t hash;
        const char *client;
        int64_t order_ns;
    } rows[] = {
        {"0123abcd:a:1.5", 1, 0x0123abcd, "a", 1500000000},
        {"ffffffff:a:b:0", 1, UINT32_MAX, "a:b", 0},
        {"", 0, 0, "", 0},
        {"0123abcd::1", HERD_ESYNTAX, 0, "", 0},
        {"0123abcd:1", HERD_ESYNTAX, 0, "", 0},
        {"0123abc:aa:1", HERD_ESYNTAX, 0, "", 0},
        {"0123ABCD:a:1", HERD_ESYNTAX, 0, "", 0},
        {"0123abcd:a", HERD_ESYNTAX, 0, "", 0},
        {"0123abcd:a:x", HERD_ESYNTAX, 0, "", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct herd_slice rest = herd_slice_of(rows[i].word);
        struct herd_slice client;
        uint32_t hash;
        int64_t order_ns;
        int rc = herd_next_have(&rest, &hash, &client, &order_ns);
        CHECK_INT(("%s", rows[i].word), rc, rows[i].rc);
        if (rc <= 0)
            continue;
        CHECK_INT(("%s", rows[i].word), hash, rows[i].hash);
        CHECK_INT(("%s", rows[i].word), order_ns, rows[i].order_ns);
        CHECK_TEXT(("%s", rows[i].word), client, rows[i].client);
    }
}

static void test_refuse(void **state)
{
    struct herd_command command;
    (void)state;
    assert_int_equal(parse("REFUSE this is my own name", &command), 0);
    assert_int_equal(command.verb, HERD_VERB_REFUSE);
    CHECK_TEXT(("reason"), command.rest, "this is my own name");
    assert_int_equal(parse("REFUSE", &command), 0);
    assert_int_equal(command.rest.len, 0);
}

/* All of these are answered with `? ` and the line. */
static const struct {
    const char *line;
    int rc;
} invalid_rows[] = {
    {"X", HERD_ESYNTAX},
    {"?", HERD_ESYNTAX},
    {"? HELLO Hill 2 " EPOCH " 7 -", HERD_ESYNTAX},
    {"AT Hill +0.0 a +1+1 1", HERD_ESYNTAX},
    {"iamat a +1+1 1", HERD_ESYNTAX},
    {"Iamat a +1+1 1", HERD_ESYNTAX},
    {"IAMA a +1+1 1", HERD_ESYNTAX},
    {"IAMATX a +1+1 1", HERD_ESYNTAX},
    {"IAMAT:a +1+1 1", HERD_ESYNTAX},
    {"\xef\xbb\xbfIAMAT a +1+1 1", HERD_ESYNTAX}, /* a byte order mark */
    {"IAMAT\xc2\xa0"
     "a +1+1 1",
     HERD_ESYNTAX}, /* a no-break space is no white space */
    {"GET / HTTP/1.1", HERD_ESYNTAX},
    /* Too few and too many fields. */
    {"IAMAT", HERD_ESYNTAX},
    {"IAMAT a", HERD_ESYNTAX},
    {"IAMAT a +1+1", HERD_ESYNTAX},
    {"IAMAT a +1+1 ", HERD_ESYNTAX},
    {"IAMAT a +1+1 1 2", HERD_ESYNTAX},
    {"IAMAT a b +1+1 1", HERD_ESYNTAX},
    {"IAMAT a +1 +1 1", HERD_ESYNTAX},
    {"WHATSAT", HERD_ESYNTAX},
    {"WHATSAT a", HERD_ESYNTAX},
    {"WHATSAT a 10", HERD_ESYNTAX},
    {"WHATSAT a 10 5 1", HERD_ESYNTAX},
    {"WHATSAT a b 10 5", HERD_ESYNTAX},
    {"PING 1", HERD_ESYNTAX},
    {"PONG x", HERD_ESYNTAX},
    /* Fields out of their range or form. */
    {"IAMAT " ID_256 "x +1+1 1", HERD_ERANGE},
    {"IAMAT a +91+1 1", HERD_ERANGE},
    {"IAMAT a +1+181 1", HERD_ERANGE},
    {"IAMAT a +1 1", HERD_ESYNTAX},
    {"IAMAT a 1+1 1", HERD_ESYNTAX},
    {"IAMAT a +1+1 -1", HERD_ESYNTAX},
    {"IAMAT a +1+1 +1", HERD_ESYNTAX},
    {"IAMAT a +1+1 now", HERD_ESYNTAX},
    {"IAMAT a +1+1 1e9", HERD_ESYNTAX},
    {"IAMAT a +1+1 .5", HERD_ESYNTAX},
    {"IAMAT a +1+1 5.", HERD_ESYNTAX},
    {"IAMAT a +1+1 9223372037", HERD_ERANGE},
    {"IAMAT a +1+1 1621464827959498503", HERD_ERANGE}, /* nanoseconds */
    {"WHATSAT " ID_256 "x 10 5", HERD_ERANGE},
    {"WHATSAT a -1 5", HERD_ESYNTAX},
    {"WHATSAT a +1 5", HERD_ESYNTAX},
    {"WHATSAT a 1e1 5", HERD_ESYNTAX},
    {"WHATSAT a ten 5", HERD_ESYNTAX},
    {"WHATSAT a 10km 5", HERD_ESYNTAX},
    {"WHATSAT a nan 5", HERD_ESYNTAX},
    {"WHATSAT a 51 5", HERD_ERANGE},
    {"WHATSAT a 50.000000001 5", HERD_ERANGE},
    {"WHATSAT a 99999999999999999999 5", HERD_ERANGE},
    {"WHATSAT a 10 21", HERD_ERANGE},
    {"WHATSAT a 10 -1", HERD_ESYNTAX},
    {"WHATSAT a 10 +5", HERD_ESYNTAX},
    {"WHATSAT a 10 5.0", HERD_ESYNTAX},
    {"WHATSAT a 10 0x5", HERD_ESYNTAX},
    {"WHATSAT a 10 4294967297", HERD_ERANGE},
    {"WHATSAT a 10 18446744073709551617", HERD_ERANGE},
    {"WHATSAT a 10 99999999999999999999999999", HERD_ERANGE},
    /* FLOOD: server client location sent received origin diff. */
    {"FLOOD", HERD_ESYNTAX},
    {"FLOOD A c +1+1 1 1 B", HERD_ESYNTAX},
    {"FLOOD A c +1+1 1 1 B +0 x", HERD_ESYNTAX},
    {"FLOOD A c +1+1 x 1 B +0", HERD_ESYNTAX},
    {"FLOOD A c +1+1 1 x B +0", HERD_ESYNTAX},
    {"FLOOD A c +1+1 1 -1 B +0", HERD_ESYNTAX},
    {"FLOOD A c +91+1 1 1 B +0", HERD_ERANGE},
    {"FLOOD A c +1+1 1 9223372037 B +0", HERD_ERANGE},
    {"FLOOD A c +1+1 1 1 B 0", HERD_ESYNTAX},
    {"FLOOD A c +1+1 1 1 B 0.5", HERD_ESYNTAX},
    {"FLOOD A c +1+1 1 1 B +-5", HERD_ESYNTAX},
    {"FLOOD A c +1+1 1 1 B +5s", HERD_ESYNTAX},
    {"FLOOD " ID_64 "x c +1+1 1 1 B +0", HERD_ERANGE},
    {"FLOOD A c +1+1 1 1 " ID_64 "x +0", HERD_ERANGE},
    {"FLOOD \xc3\xa9 c +1+1 1 1 B +0", HERD_ERANGE},
    {"FLOOD A c +1+1 1 1 \xc3\xa9 +0", HERD_ERANGE},
    {"FLOOD abcdef\xc3 c +1+1 1 1 B +0", HERD_ERANGE},
    {"FLOOD abc\x7f"
     "d c +1+1 1 1 B +0",
     HERD_ESYNTAX},
    {"FLOOD abcdef\x01 c +1+1 1 1 B +0", HERD_ESYNTAX},
    {"FLOOD A c +1+1 1 1 B\x01 +0.000000000", HERD_ESYNTAX},
    {"FLOOD A c +1+1 1 1 B +0.00000000x", HERD_ESYNTAX},
    {"FLOOD A c +1+1 1 1 B +0.000000000 x", HERD_ESYNTAX},
    {"FLOOD A " ID_256 "x +1+1 1 1 B +0", HERD_ERANGE},
    /* HELLO: server version epoch sequence max_skew. */
    {"HELLO", HERD_ESYNTAX},
    {"HELLO Hill", HERD_ESYNTAX},
    {"HELLO Hill 2 " EPOCH " 0", HERD_ESYNTAX},
    {"HELLO Hill 1 " EPOCH " 0 -", HERD_ERANGE},
    {"HELLO Hill 0 " EPOCH " 0 -", HERD_ERANGE},
    {"HELLO Hill 4294967296 " EPOCH " 0 -", HERD_ERANGE},
    {"HELLO Hill 2 deadbeef 0 -", HERD_ESYNTAX},
    {"HELLO Hill 2 00000000DEADBEEF 0 -", HERD_ESYNTAX},
    {"HELLO Hill 2 0000000000000000g 0 -", HERD_ESYNTAX},
    {"HELLO Hill 2 000000000000000g 0 -", HERD_ESYNTAX},
    {"HELLO Hill 2 " EPOCH " 18446744073709551616 -", HERD_ERANGE},
    {"HELLO Hill 2 " EPOCH " -1 -", HERD_ESYNTAX},
    {"HELLO Hill 2 " EPOCH " 0 --", HERD_ESYNTAX},
    {"HELLO Hill 2 " EPOCH " 0 -1", HERD_ESYNTAX},
    {"HELLO Hill 2 " EPOCH " 0 on", HERD_ESYNTAX},
    {"HELLO \xc3\xa9 2 " EPOCH " 0 -", HERD_ERANGE},
    {"HELLO " ID_64 "x 2 " EPOCH " 0 -", HERD_ERANGE},
    {"RESUME " EPOCH, HERD_ESYNTAX},
    {"RESUME 12 " EPOCH, HERD_ESYNTAX},
    {"MARK " EPOCH " 2 1", HERD_ERANGE},
    {"MARK " EPOCH " 1 2 3", HERD_ESYNTAX},
    {"MARK " EPOCH " 1 x", HERD_ESYNTAX},
    {"HAVE 1", HERD_ESYNTAX},
    {"HAVE 2 1", HERD_ERANGE},
    {"HELD 2 1", HERD_ERANGE},
    {"HELD 1", HERD_ESYNTAX},
    {"HELD 1 2 3", HERD_ESYNTAX},
    {"PRUNE", HERD_ESYNTAX},
    {"GRAFT ", HERD_ESYNTAX},
    {"LOST", HERD_ESYNTAX},
    {"FASTER", HERD_ESYNTAX},
    {"LOST a\x01"
     "b",
     HERD_ESYNTAX},
    {"MARK", HERD_ESYNTAX},
    {"MARK " EPOCH " x", HERD_ESYNTAX},
};

static void test_invalid_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(invalid_rows); i++) {
        struct herd_command command;
        CHECK_INT(("%s", invalid_rows[i].line), parse(invalid_rows[i].line, &command),
                  invalid_rows[i].rc);
        CHECK_INT(("%s", invalid_rows[i].line), command.verb, HERD_VERB_NONE);
    }
}

/* Each control byte at each place of a line that is valid without it. */
static void test_control_bytes_make_a_line_invalid(void **state)
{
    static const char *const lines[] = {
        "IAMAT a +1+1 1",
        "WHATSAT a 10 5",
        "FLOOD A c +1+1 1 1 B +0",
        "HELLO Hill 2 " EPOCH " 7 - x",
        "REFUSE no",
        "PING",
        " ",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        size_t len = strlen(lines[i]);
        for (size_t at = 0; at <= len; at++) {
            for (int byte = 0; byte <= 0x7f; byte++) {
                char line[128];
                struct herd_command command;
                if ((byte >= '\t' && byte <= '\r') || (byte >= ' ' && byte < 0x7f))
                    continue;
                memcpy(line, lines[i], at);
                line[at] = (char)byte;
                memcpy(line + at + 1, lines[i] + at, len - at);
                CHECK_TRUE(("\\x%02x at %zu of %s", byte, at, lines[i]),
                           herd_command_parse(herd_slice(line, len + 1), &command) < 0);
            }
        }
    }
}

/* Bytes of other alphabets are for client ids, and for what nobody reads. */
static void test_high_bytes_only_in_client_ids(void **state)
{
    static const struct {
        const char *before, *after;
        bool valid;
    } rows[] = {
        {"IAMAT a", " +1+1 1", true},           {"IAMAT ", "a +1+1 1", true},
        {"IAMAT a +1", "+1 1", false},          {"IAMAT a +1+1 1", "", false},
        {"IAMAT", " a +1+1 1", false},          {"WHATSAT a", " 10 5", true},
        {"WHATSAT a 10", " 5", false},          {"WHATSAT a 10 5", "", false},
        {"FLOOD A c", " +1+1 1 1 B +0", true},  {"FLOOD A c +1+1 1 1 B +0", "", false},
        {"FLOOD A", " c +1+1 1 1 B +0", false}, {"FLOOD A c +1+1 1 1 B", " +0", false},
        {"FLOOD A c +1+1 1", " 1 B +0", false}, {"FLOOD A c +1+1 1 1", " B +0", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int byte = 0x80; byte <= 0xff; byte++) {
            char line[128];
            struct herd_command command;
            int len = snprintf(line, sizeof(line), "%s%c%s", rows[i].before, byte, rows[i].after);
            int rc = herd_command_parse(herd_slice(line, (size_t)len), &command);
            CHECK_INT(("%s\\x%02x%s", rows[i].before, byte, rows[i].after), rc == 0, rows[i].valid);
        }
    }
}

/* A FLOOD whose fields are each fine has to be passed on behind any server's name. */
static void test_flood_that_is_too_long_to_pass_on(void **state)
{
    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        char line[HERD_LINE_MAX + 1], zeros[HERD_LINE_MAX];
        struct herd_command command;
        size_t fixed = strlen("c +1.+1 1 1 B +0");
        memset(zeros, '0', sizeof(zeros));
        int len = snprintf(line, sizeof(line), "FLOOD A c +1.%.*s+1 1 1 B +0",
                           (int)(HERD_RECORD_TEXT_MAX - fixed) + extra, zeros);
        CHECK_INT(("%d too many", extra),
                  herd_command_parse(herd_slice(line, (size_t)len), &command),
                  extra == 0 ? 0 : HERD_ERANGE);
    }
}

static void test_verb_names(void **state)
{
    static const char *const names[HERD_VERB_COUNT] = {
        "",      "IAMAT",  "WHATSAT", "FLOOD", "HELLO", "RESUME", "REFUSE", "MARK",
        "ACK",   "DIGEST", "TREE",    "KEYS",  "WANT",  "PING",   "PONG",   "PRUNE",
        "GRAFT", "LOST",   "FASTER",  "HAVE",  "HELD",  "ENDED"};
    (void)state;
    for (int verb = 0; verb < HERD_VERB_COUNT; verb++)
        assert_string_equal(herd_verb_name((enum herd_verb)verb), names[verb]);
}

static void test_foreign_lines(void **state)
{
    static const struct {
        const char *line;
        bool foreign;
    } rows[] = {
        {"GET / HTTP/1.1", true},
        {"POST /x HTTP/1.1", true},
        {"HEAD / HTTP/1.0", true},
        {"PUT /x HTTP/1.1", true},
        {"DELETE /x HTTP/1.1", true},
        {"PATCH /x HTTP/1.1", true},
        {"OPTIONS * HTTP/1.1", true},
        {"CONNECT a:1 HTTP/1.1", true},
        {"PRI * HTTP/2.0", true},
        {"Host: example.com", true},
        {"User-Agent: curl/7.88.1", true},
        {"Accept: */*", true},
        {"Accept-Encoding: gzip", true},
        {"Content-Length: 5", true},
        {"Connection: close", true},
        {"host: example.com", true},
        {"sec-ch-ua: x", true},
        {"X-1:", true},
        {"SM", true},
        {"\x16\x03\x01\x02", true},
        {"GET", false},
        {"GETAWAY a", false},
        {"get / HTTP/1.1", false},
        {"", false},
        {"\x16", false},
        {"IAMAT a +1+1 x", false},
        {"Hosts", false},
        {" Host: x", false},
        {": x", false},
        {"-a: x", false},
        {"IAMAT a: +1+1 x", false},
        {"SMS", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        CHECK_INT(("%s", rows[i].line), herd_line_is_foreign(herd_slice_of(rows[i].line)),
                  rows[i].foreign);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iamat),
        cmocka_unit_test(test_whatsat),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_positions_and_bare_words),
        cmocka_unit_test(test_marks_and_ranges),
        cmocka_unit_test(test_names_of_have),
        cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_invalid_lines),
        cmocka_unit_test(test_control_bytes_make_a_line_invalid),
        cmocka_unit_test(test_high_bytes_only_in_client_ids),
        cmocka_unit_test(test_flood_that_is_too_long_to_pass_on),
        cmocka_unit_test(test_verb_names),
        cmocka_unit_test(test_foreign_lines),
    };
    return cmocka_run_group_tests_name("proto", tests, NULL, NULL);
}
