/* When memory that was freed is given back: not for little, not twice at a time, not too often. */
#include "server/memory.h"
#include "server/room.h"
#include "testing.h"

enum { FREED = MEMORY_TRIM_BYTES };

static void begin(struct server *server)
{
    *server = (struct server){.questions = {.size = sizeof(struct question), .max = 4}};
    assert_int_equal(uv_loop_init(&server->loop), 0);
    memory_begin(server);
    uv_timer_stop(&server->memory.timer); /* the test says when a second is over */
}

static void end(struct server *server)
{
    memory_close(&server->memory);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&server->loop), 0);
    blocks_free(&server->questions);
}

/* A second is over. */
static void look(struct server *server)
{
    uv_timer_t *timer = &server->memory.timer;
    timer->timer_cb(timer);
}

static int64_t metric(const struct server *server, enum metric which)
{
    return server->metrics.value[which];
}

static void wait_for_trim(struct server *server)
{
    while (server->memory.trimming)
        uv_run(&server->loop, UV_RUN_ONCE);
}

static void little_is_left_to_malloc(void **state)
{
    (void)state;
    struct server server;
    begin(&server);
    server.memory.freed_bytes = FREED - 1;
    look(&server);
    assert_false(server.memory.trimming);
    assert_int_equal(metric(&server, METRIC_memory_freed_bytes), FREED - 1);
    server.memory.freed_bytes++;
    look(&server);
    assert_true(server.memory.trimming);
    assert_int_equal(metric(&server, METRIC_memory_freed_bytes), 0);
    wait_for_trim(&server);
    assert_int_equal(metric(&server, METRIC_memory_given_back_total), FREED);
    end(&server);
}

/* What is freed meanwhile is the next one's. */
static void one_at_a_time(void **state)
{
    (void)state;
    struct server server;
    begin(&server);
    server.memory.freed_bytes = FREED;
    look(&server);
    server.memory.freed_bytes = 2 * FREED;
    look(&server);
    assert_int_equal(server.memory.freed_bytes, 2 * FREED);
    wait_for_trim(&server);
    assert_int_equal(metric(&server, METRIC_memory_given_back_total), FREED);
    server.memory.trim_at_ns = 0;
    look(&server);
    wait_for_trim(&server);
    assert_int_equal(metric(&server, METRIC_memory_given_back_total), 3 * FREED);
    end(&server);
}

static void not_more_than_its_share_of_a_processor(void **state)
{
    (void)state;
    struct server server;
    begin(&server);
    server.memory.freed_bytes = FREED;
    int64_t before_ns = (int64_t)uv_hrtime();
    look(&server);
    wait_for_trim(&server);
    int64_t took_ns = server.memory.took_ns, at_ns = server.memory.trim_at_ns;
    assert_true(took_ns > 0);
    assert_int_equal(metric(&server, METRIC_memory_trim_max_ns), took_ns);
    assert_in_range(at_ns - took_ns * MEMORY_TRIM_SHARE, before_ns, (int64_t)uv_hrtime());
    server.memory.freed_bytes = FREED;
    server.memory.trim_at_ns = INT64_MAX;
    look(&server);
    assert_false(server.memory.trimming);
    end(&server);
}

/* Questions to a provider that costs something are the server's own. */
static void questions_that_nobody_needed_are_freed(void **state)
{
    (void)state;
    struct server server;
    begin(&server);
    blocks_keep(&server.questions, blocks_take(&server.questions));
    look(&server);
    assert_int_equal(metric(&server, METRIC_memory_kept_bytes), sizeof(struct question));
    assert_int_equal(metric(&server, METRIC_memory_freed_bytes), 0);
    look(&server);
    assert_int_equal(metric(&server, METRIC_memory_kept_bytes), 0);
    assert_int_equal(metric(&server, METRIC_memory_freed_bytes), sizeof(struct question));
    end(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_is_left_to_malloc),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(not_more_than_its_share_of_a_processor),
        cmocka_unit_test(questions_that_nobody_needed_are_freed),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
