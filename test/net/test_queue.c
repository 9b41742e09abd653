/* The queue of streams that could not be read from in a turn: its order, and its memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "net/stream.h"

/* As long as so many may wait at once there is room for them, and then for no more than wait. */
static void a_queue_is_as_long_as_it_was_needed(void **state)
{
    (void)state;
    enum { LONG = 1000 };
    struct read_queue queue = {0};
    static struct stream streams[LONG];
    assert_int_equal(read_queue_give_back(&queue), 0);
    for (int i = 0; i < LONG; i++)
        assert_true(read_queue_join(&queue, &streams[i], false));
    for (int i = 3; i < LONG; i++)
        read_queue_leave(&queue, &streams[i]);
    assert_int_equal(read_queue_give_back(&queue), 0);
    assert_int_equal(read_queue_give_back(&queue), (1024 - 64) * sizeof(struct stream *));
    assert_int_equal(queue.count, 3);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(queue.streams[i], &streams[i]);
    for (int i = 0; i < 3; i++)
        read_queue_leave(&queue, &streams[i]);
    read_queue_free(&queue);
}

static struct stream *resumed[4];
static int resumed_count;

static void on_resume(struct stream *stream)
{
    resumed[resumed_count++] = stream;
}

/* It misses a turn, and comes behind those who have not been read from. */
static void who_was_read_from_waits_behind_the_others(void **state)
{
    (void)state;
    struct read_queue queue = {0};
    static struct stream first, second, read, other;
    assert_true(read_queue_join(&queue, &first, false));
    assert_true(read_queue_join(&queue, &read, true));
    assert_true(read_queue_join(&queue, &other, true));
    assert_true(read_queue_join(&queue, &second, false));
    read_queue_leave(&queue, &other);
    read_queue_resume(&queue, 4, on_resume);
    assert_int_equal(resumed_count, 2);
    assert_ptr_equal(resumed[0], &first);
    assert_ptr_equal(resumed[1], &second);
    read_queue_resume(&queue, 4, on_resume);
    assert_int_equal(resumed_count, 3);
    assert_ptr_equal(resumed[2], &read);
    read_queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_is_as_long_as_it_was_needed),
        cmocka_unit_test(who_was_read_from_waits_behind_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
