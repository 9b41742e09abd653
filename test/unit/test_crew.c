/* The crew: threads that may hang, and what goes on all the same. */
#include <pthread.h>
#include <stdlib.h>

#include <uv.h>

#include "places/crew.h"
#include "testing.h"

enum { JOBS_MAX = CREW_THREADS_MAX + 4 };

struct fixture;

struct task {
    struct crew_job job; /* its first member */
    struct fixture *fixture;
    bool hangs, has_run;
};

struct fixture {
    uv_loop_t loop;
    struct crew *crew;
    struct task tasks[JOBS_MAX];
    pthread_mutex_t lock; /* of the next three */
    pthread_cond_t changed;
    int begun;
    bool is_let_go;
    int done, cancelled, closed;
    struct task *order[JOBS_MAX];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    pthread_mutex_init(&fixture->lock, NULL);
    pthread_cond_init(&fixture->changed, NULL);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(crew_new(&fixture->loop, &fixture->crew), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    pthread_cond_destroy(&fixture->changed);
    pthread_mutex_destroy(&fixture->lock);
    free(fixture);
    return 0;
}

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closed++;
}

static void on_work(struct crew_job *job)
{
    struct task *task = (struct task *)job;
    struct fixture *fixture = task->fixture;
    task->has_run = true;
    pthread_mutex_lock(&fixture->lock);
    fixture->begun++;
    pthread_cond_broadcast(&fixture->changed);
    while (task->hangs && !fixture->is_let_go)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    pthread_mutex_unlock(&fixture->lock);
}

static void on_done(struct crew_job *job)
{
    struct task *task = (struct task *)job;
    struct fixture *fixture = task->fixture;
    assert_true(task->has_run != job->is_cancelled);
    fixture->cancelled += job->is_cancelled;
    fixture->order[fixture->done++] = task;
}

static struct task *give(struct fixture *fixture, int i, bool hangs)
{
    struct task *task = &fixture->tasks[i];
    *task = (struct task){
        .job = {.work = on_work, .done = on_done}, .fixture = fixture, .hangs = hangs};
    crew_run(fixture->crew, &task->job);
    return task;
}

static void wait_begun(struct fixture *fixture, int count)
{
    pthread_mutex_lock(&fixture->lock);
    while (fixture->begun < count)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    pthread_mutex_unlock(&fixture->lock);
}

static void let_go(struct fixture *fixture)
{
    pthread_mutex_lock(&fixture->lock);
    fixture->is_let_go = true;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

static void close_crew(struct fixture *fixture)
{
    crew_close(fixture->crew, on_closed, fixture);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->closed, 1);
}

static void test_without_jobs_the_loop_ends(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    give(fixture, 0, false);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(fixture->done, 1);
    close_crew(fixture);
}

static void test_one_that_hangs_holds_up_no_other(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < CREW_THREADS_MAX - 1; i++)
        give(fixture, i, true);
    wait_begun(fixture, CREW_THREADS_MAX - 1);
    for (int i = 0; i < 3; i++) {
        const struct task *task = give(fixture, CREW_THREADS_MAX - 1, false);
        while (fixture->done == i)
            uv_run(&fixture->loop, UV_RUN_ONCE);
        assert_ptr_equal(fixture->order[i], task);
    }
    let_go(fixture);
    close_crew(fixture);
    assert_int_equal(fixture->done, CREW_THREADS_MAX - 1 + 3);
}

static void test_one_too_many_waits_its_turn(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < CREW_THREADS_MAX; i++)
        give(fixture, i, true);
    wait_begun(fixture, CREW_THREADS_MAX);
    const struct task *late = give(fixture, CREW_THREADS_MAX, false);
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_int_equal(fixture->done, 0);
    let_go(fixture);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->done, CREW_THREADS_MAX + 1);
    assert_true(late->has_run);
    close_crew(fixture);
}

static void on_pool_work(uv_work_t *work)
{
    (void)work;
}

static void on_pool_worked(uv_work_t *work, int status)
{
    *(int *)work->data += status == 0;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    *(int *)request->data += status == 0;
    uv_freeaddrinfo(addresses);
}

/* All that hangs here leaves libuv's threads to others. */
static void test_the_pool_is_free(void **state)
{
    struct fixture *fixture = *state;
    uv_work_t work;
    uv_getaddrinfo_t name;
    int count = 0;
    work.data = name.data = &count;
    for (int i = 0; i < JOBS_MAX; i++)
        give(fixture, i, true);
    wait_begun(fixture, CREW_THREADS_MAX);
    assert_int_equal(uv_queue_work(&fixture->loop, &work, on_pool_work, on_pool_worked), 0);
    assert_int_equal(uv_getaddrinfo(&fixture->loop, &name, on_resolved, "127.0.0.1", NULL, NULL),
                     0);
    while (count < 2)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(fixture->done, 0);
    let_go(fixture);
    close_crew(fixture);
    assert_int_equal(fixture->done, JOBS_MAX);
}

static void test_only_what_waits_can_be_cancelled(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < JOBS_MAX; i++)
        give(fixture, i, true);
    wait_begun(fixture, CREW_THREADS_MAX);
    assert_false(crew_cancel(fixture->crew, &fixture->tasks[0].job));
    for (int i = CREW_THREADS_MAX; i < JOBS_MAX; i++)
        assert_true(crew_cancel(fixture->crew, &fixture->tasks[i].job));
    assert_false(crew_cancel(fixture->crew, &fixture->tasks[JOBS_MAX - 1].job));
    assert_int_equal(fixture->cancelled, 0); /* not inside the call */
    while (fixture->done < JOBS_MAX - CREW_THREADS_MAX)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(fixture->cancelled, JOBS_MAX - CREW_THREADS_MAX);
    crew_close(fixture->crew, on_closed, fixture);
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_int_equal(fixture->closed, 0); /* not before the last one is back */
    let_go(fixture);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(fixture->done, JOBS_MAX);
    assert_int_equal(fixture->cancelled, JOBS_MAX - CREW_THREADS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_jobs_the_loop_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_that_hangs_holds_up_no_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_too_many_waits_its_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_pool_is_free, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_what_waits_can_be_cancelled, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
