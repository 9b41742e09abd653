/* The stream is also cut into lines by a few lines of plain code, and both have to agree however
 * the bytes arrive. */
#include <herd/err.h>
#include <herd/frame.h>

#include "check.h"
#include "core/rng.h"

enum { STREAM_MAX = 40000 };

/* Lines as text: each followed by '|', a line that is too long by '!', a memory error by '?'. */
struct lines {
    struct herd_buf text;
    bool over; /* a line was too long */
};

static void add(struct lines *lines, struct herd_slice line, char end)
{
    assert_int_equal(herd_buf_append_slice(&lines->text, line), 0);
    assert_int_equal(herd_buf_append(&lines->text, &end, 1), 0);
    lines->over = end == '!';
}

static void add_checked(struct lines *lines, struct herd_slice line)
{
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    bool long_line = line.len > HERD_LINE_MAX;
    add(lines, herd_slice(line.data, long_line ? HERD_LINE_MAX : line.len), long_line ? '!' : '|');
}

/* What the rules say, over the whole stream at once. */
static void cut_plainly(struct herd_slice stream, struct lines *lines)
{
    while (stream.len > 0 && !lines->over) {
        const char *end = memchr(stream.data, '\n', stream.len);
        size_t len = end != NULL ? (size_t)(end - stream.data) : stream.len;
        add_checked(lines, herd_slice(stream.data, len));
        size_t used = end != NULL ? len + 1 : len;
        stream = herd_slice(stream.data + used, stream.len - used);
    }
}

static void feed(struct herd_frame *frame, struct herd_slice piece, struct lines *lines)
{
    struct herd_slice line;
    int rc = 1;
    while (!lines->over && (rc = herd_frame_next(frame, &piece, &line)) != 0) {
        assert_true(rc == 1 || rc == HERD_ETOOLONG);
        add(lines, line, rc == 1 ? '|' : '!');
    }
    if (!lines->over)
        assert_int_equal(piece.len, 0);
}

static void end(struct herd_frame *frame, struct lines *lines)
{
    struct herd_slice line;
    int rc = lines->over ? 0 : herd_frame_last(frame, &line);
    if (rc != 0)
        add(lines, line, rc == 1 ? '|' : '!');
    if (!lines->over)
        assert_int_equal(herd_frame_last(frame, &line), 0);
    herd_frame_free(frame);
}

/* A piece in memory of its own, so that a sanitizer sees a byte read beyond it. */
static void feed_copy(struct herd_frame *frame, struct herd_slice piece, struct lines *lines)
{
    char *copy = malloc(piece.len > 0 ? piece.len : 1);
    assert_non_null(copy);
    memcpy(copy, piece.data, piece.len);
    feed(frame, herd_slice(copy, piece.len), lines);
    memset(copy, 0xaa, piece.len);
    free(copy);
}

/* Pieces of `size` bytes; of random sizes up to 2 * -size for a negative one. */
static void cut_in_pieces(struct herd_slice stream, int size, struct rng *rng, struct lines *lines)
{
    struct herd_frame frame = {0};
    while (stream.len > 0) {
        size_t n = size > 0 ? (size_t)size : rng_below(rng, (uint64_t)(-2 * size));
        n = n < stream.len ? n : stream.len;
        feed_copy(&frame, herd_slice(stream.data, n), lines);
        stream = herd_slice(stream.data + n, stream.len - n);
    }
    end(&frame, lines);
}

static void check_stream(struct herd_slice stream, struct rng *rng, const char *name)
{
    static const int sizes[] = {1,    2,    3,    7,          64, 1000, 4095, 4096,
                                4097, 4098, 4099, STREAM_MAX, -2, -20,  -300, -5000};
    struct lines expected = {0};
    cut_plainly(stream, &expected);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct lines lines = {0};
        cut_in_pieces(stream, sizes[i], rng, &lines);
        CHECK_SLICE(("%s in pieces of %d", name, sizes[i]), herd_buf_slice(&lines.text),
                    herd_buf_slice(&expected.text));
        herd_buf_free(&lines.text);
    }
    herd_buf_free(&expected.text);
}

static void test_streams_by_hand(void **state)
{
    static const struct {
        const char *stream, *lines;
    } rows[] = {
        {"", ""},          {"a\n", "a|"},       {"a\nb\n", "a|b|"},    {"a\r\nb\r\n", "a|b|"},
        {"a", "a|"},       {"a\nb", "a|b|"},    {"a\nb\r", "a|b|"},    {"\n", "|"},
        {"\n\n\n", "|||"}, {"\r\n\r\n", "||"},  {"\r", "|"},           {"a\r\r\n", "a\r|"},
        {"\ra\n", "\ra|"}, {"a\rb\n", "a\rb|"}, {" a \t\n", " a \t|"},
    };
    struct rng rng = {1};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct lines lines = {0};
        struct herd_slice stream = herd_slice_of(rows[i].stream);
        cut_plainly(stream, &lines);
        CHECK_TEXT(("row %zu", i), herd_buf_slice(&lines.text), rows[i].lines);
        herd_buf_free(&lines.text);
        check_stream(stream, &rng, rows[i].stream);
    }
}

static void test_nul_is_a_byte_like_others(void **state)
{
    struct rng rng = {2};
    (void)state;
    check_stream(herd_slice("a\0b\n\0\n\0", 7), &rng, "NUL");
}

/* Lines of every length about the limit, with and without CR, LF and something behind them. */
static void test_limit(void **state)
{
    static const char *const ends[] = {"\n", "\r\n", "", "\r", "\nb\n", "\r\nb", "\r\r\n", "\r\r"};
    static char stream[HERD_LINE_MAX + 16];
    struct rng rng = {3};
    char name[64];
    (void)state;
    for (size_t len = HERD_LINE_MAX - 2; len <= HERD_LINE_MAX + 4; len++) {
        for (size_t i = 0; i < COUNT_OF(ends); i++) {
            memset(stream, 'x', len);
            memcpy(stream + len, ends[i], strlen(ends[i]));
            snprintf(name, sizeof(name), "%zu bytes and end %zu", len, i);
            check_stream(herd_slice(stream, len + strlen(ends[i])), &rng, name);
        }
    }
}

static void test_longest_line_passes(void **state)
{
    static char stream[HERD_LINE_MAX + 2];
    struct herd_frame frame = {0};
    struct herd_slice line;
    (void)state;
    memset(stream, 'x', sizeof(stream));
    stream[HERD_LINE_MAX] = '\n';
    struct herd_slice input = herd_slice(stream, HERD_LINE_MAX + 1);
    assert_int_equal(herd_frame_next(&frame, &input, &line), 1);
    assert_int_equal(line.len, HERD_LINE_MAX);

    stream[HERD_LINE_MAX] = 'x';
    stream[HERD_LINE_MAX + 1] = '\n';
    input = herd_slice(stream, HERD_LINE_MAX + 2);
    assert_int_equal(herd_frame_next(&frame, &input, &line), HERD_ETOOLONG);
    CHECK_SLICE(("too long"), line, herd_slice(stream, HERD_LINE_MAX));

    stream[HERD_LINE_MAX] = '\r';
    input = herd_slice(stream, HERD_LINE_MAX + 2);
    assert_int_equal(herd_frame_next(&frame, &input, &line), 1);
    assert_int_equal(line.len, HERD_LINE_MAX);
    herd_frame_free(&frame);
}

/* A sender that never ends its line is found out with the first byte that is too many, and costs no
 * more memory than a line. */
static void test_endless_line_is_bounded(void **state)
{
    struct herd_frame frame = {0};
    struct herd_slice line;
    int rc = 0;
    size_t sent = 0;
    (void)state;
    while (rc == 0) {
        struct herd_slice input = herd_slice("x", 1);
        rc = herd_frame_next(&frame, &input, &line);
        sent++;
    }
    assert_int_equal(rc, HERD_ETOOLONG);
    CHECK_INT(("bytes"), (int)sent, HERD_LINE_MAX + 1);
    assert_true(frame.cap <= 2 * HERD_LINE_MAX);
    herd_frame_free(&frame);
}

static void test_no_memory_while_empty(void **state)
{
    struct herd_frame frame = {0};
    struct lines lines = {0};
    (void)state;
    feed(&frame, herd_slice_of("a\nb"), &lines);
    assert_int_equal(herd_frame_kept(&frame), 1);
    assert_non_null(frame.carry);
    feed(&frame, herd_slice_of("c\nd\n"), &lines);
    assert_int_equal(herd_frame_kept(&frame), 0);
    assert_null(frame.carry);
    CHECK_TEXT(("lines"), herd_buf_slice(&lines.text), "a|bc|d|");
    herd_buf_free(&lines.text);
}

/* Who stops in the middle of the input keeps the rest, and gets the same lines later. */
static void test_keep_and_go_on(void **state)
{
    struct rng rng = {4};
    (void)state;
    for (int round = 0; round < 2000; round++) {
        char stream[200];
        struct herd_frame frame = {0};
        struct lines lines = {0}, expected = {0};
        size_t len = rng_below(&rng, sizeof(stream));
        for (size_t i = 0; i < len; i++)
            stream[i] = "ab\r\n"[rng_below(&rng, 4)];
        cut_plainly(herd_slice(stream, len), &expected);
        for (size_t at = 0; at < len;) {
            size_t n = 1 + rng_below(&rng, 40);
            n = n < len - at ? n : len - at;
            struct herd_slice piece = herd_slice(stream + at, n);
            struct herd_slice line;
            for (uint64_t taken = rng_below(&rng, 4); taken > 0; taken--) {
                if (herd_frame_next(&frame, &piece, &line) == 1)
                    add(&lines, line, '|');
            }
            assert_int_equal(herd_frame_keep(&frame, piece), 0);
            at += n;
        }
        feed(&frame, herd_slice(NULL, 0), &lines);
        end(&frame, &lines);
        CHECK_SLICE(("round %d", round), herd_buf_slice(&lines.text),
                    herd_buf_slice(&expected.text));
        herd_buf_free(&lines.text);
        herd_buf_free(&expected.text);
    }
}

static size_t random_stream(struct rng *rng, char *stream, size_t max)
{
    size_t len = 0;
    for (uint64_t lines = rng_below(rng, 30); lines > 0; lines--) {
        /* Mostly short lines; now and then one about the limit. */
        size_t n =
            rng_below(rng, 12) == 0 ? HERD_LINE_MAX - 4 + rng_below(rng, 7) : rng_below(rng, 100);
        if (len + n + 2 > max)
            break;
        for (size_t i = 0; i < n; i++)
            stream[len++] = (char)("abcdefgh \t\r"[rng_below(rng, 11)]);
        if (rng_below(rng, 3) == 0)
            stream[len++] = '\r';
        stream[len++] = '\n';
    }
    return len > 0 && rng_below(rng, 2) == 0 ? len - 1 : len;
}

static void test_random_streams_in_random_pieces(void **state)
{
    static char stream[STREAM_MAX];
    struct rng rng = {5};
    char name[32];
    (void)state;
    for (int round = 0; round < 60; round++) {
        size_t len = random_stream(&rng, stream, sizeof(stream));
        snprintf(name, sizeof(name), "stream %d", round);
        check_stream(herd_slice(stream, len), &rng, name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_by_hand),
        cmocka_unit_test(test_nul_is_a_byte_like_others),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_longest_line_passes),
        cmocka_unit_test(test_endless_line_is_bounded),
        cmocka_unit_test(test_no_memory_while_empty),
        cmocka_unit_test(test_keep_and_go_on),
        cmocka_unit_test(test_random_streams_in_random_pieces),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
