#include <limits.h>

#include "base/log_queue.h"
#include "testing.h"

enum { CAP = 256, RECORD_BYTES = 16 };

static void put(struct log_queue *queue, const char *line, uint64_t lost)
{
    struct herd_slice parts[] = {herd_slice(line, 1), herd_slice_of(line + 1)};
    log_queue_put(queue, parts, 2, lost);
}

static void assert_piece(struct log_queue *queue, const char *expected, uint64_t lost)
{
    static struct log_piece piece;
    log_queue_take(queue, &piece);
    assert_int_equal(piece.len, strlen(expected));
    assert_memory_equal(piece.bytes, expected, piece.len);
    assert_int_equal(piece.lost, lost);
}

static void test_lines_come_out_together(void **state)
{
    (void)state;
    struct log_queue queue;
    assert_int_equal(log_queue_init(&queue, CAP), 0);
    assert_piece(&queue, "", 0);
    put(&queue, "one\n", 0);
    put(&queue, "two\n", 0);
    assert_piece(&queue, "one\ntwo\n", 0);
    assert_piece(&queue, "", 0);
    log_queue_free(&queue);
}

static void test_a_notice_comes_out_alone(void **state)
{
    (void)state;
    struct log_queue queue;
    assert_int_equal(log_queue_init(&queue, CAP), 0);
    put(&queue, "one\n", 0);
    put(&queue, "lost\n", 7);
    put(&queue, "two\n", 0);
    assert_piece(&queue, "one\n", 0);
    assert_piece(&queue, "lost\n", 7);
    assert_piece(&queue, "two\n", 0);
    log_queue_free(&queue);
}

static void test_fits(void **state)
{
    (void)state;
    struct log_queue queue;
    assert_int_equal(log_queue_init(&queue, CAP), 0);
    assert_true(log_queue_fits(&queue, CAP - RECORD_BYTES, 0));
    assert_false(log_queue_fits(&queue, CAP - RECORD_BYTES + 1, 0));
    assert_true(log_queue_fits(&queue, CAP - RECORD_BYTES * 2 - 10, 10));
    assert_false(log_queue_fits(&queue, CAP - RECORD_BYTES * 2 - 10, 11));
    put(&queue, "four\n", 0);
    assert_true(log_queue_fits(&queue, CAP - RECORD_BYTES * 2 - 5, 0));
    assert_false(log_queue_fits(&queue, CAP - RECORD_BYTES * 2 - 4, 0));
    log_queue_free(&queue);
}

/* The ring's end falls on every byte of a record and of a line. */
static void test_the_ring_turns(void **state)
{
    (void)state;
    struct log_queue queue;
    assert_int_equal(log_queue_init(&queue, CAP), 0);
    char line[] = "0123456789012345678901234567890123456789\n";
    for (int turn = 0; turn < 10 * CAP; turn++) {
        line[0] = (char)('a' + turn % 26);
        char *start = line + turn % 7;
        put(&queue, start, 0);
        put(&queue, "x\n", 0);
        struct herd_buf both = {0};
        assert_int_equal(herd_buf_printf(&both, "%sx\n", start), 0);
        static struct log_piece piece;
        log_queue_take(&queue, &piece);
        assert_int_equal(piece.len, both.len);
        assert_memory_equal(piece.bytes, both.data, both.len);
        herd_buf_free(&both);
    }
    assert_int_equal(queue.len, 0);
    log_queue_free(&queue);
}

static void test_a_piece_is_at_most_pipe_buf_of_whole_lines(void **state)
{
    (void)state;
    enum { LONG_LEN = 9000, SHORT_LEN = 1000 };
    struct log_queue queue;
    assert_int_equal(log_queue_init(&queue, 1 << 16), 0);
    static char bytes[LONG_LEN];
    memset(bytes, 'v', sizeof bytes);
    struct herd_slice long_line = herd_slice(bytes, LONG_LEN);
    struct herd_slice short_line = herd_slice(bytes, SHORT_LEN);
    for (int i = 0; i < 5; i++)
        log_queue_put(&queue, &short_line, 1, 0);
    log_queue_put(&queue, &long_line, 1, 0);
    log_queue_put(&queue, &short_line, 1, 0);
    static const size_t expected[] = {PIPE_BUF / SHORT_LEN * SHORT_LEN, SHORT_LEN, LONG_LEN,
                                      SHORT_LEN, 0};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        static struct log_piece piece;
        log_queue_take(&queue, &piece);
        assert_int_equal(piece.len, expected[i]);
    }
    log_queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_come_out_together),
        cmocka_unit_test(test_a_notice_comes_out_alone),
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_the_ring_turns),
        cmocka_unit_test(test_a_piece_is_at_most_pipe_buf_of_whole_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
