/* Secret memory: left out of core dumps, wiped, as good as malloc. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/thread.h"
#include "core/rng.h"
#include "places/secret.h"
#include "testing.h"

/* Whether the mapping that `address` is in has that VmFlag, of two letters behind a blank. */
static bool has_flag(const void *address, const char *flag)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    char line[512];
    bool is_inside = false, has = false;
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long begin, end;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
            is_inside = (uintptr_t)address >= begin && (uintptr_t)address < end;
        else if (is_inside && strncmp(line, "VmFlags:", 8) == 0)
            has = strstr(line, flag) != NULL;
    }
    fclose(file);
    return has;
}

/* No core file has it. */
static bool is_left_out(const void *address)
{
    return has_flag(address, " dd");
}

static void test_left_out_of_core_dumps(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 5000, 100000, 1 << 17, 3 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char *block = secret_malloc(sizes[i]);
        assert_non_null(block);
        assert_true(is_left_out(block));
        assert_int_equal((uintptr_t)block % 16, 0);
        memset(block, 'x', sizes[i]);
        secret_free(block);
    }
    char *plain = malloc(1 << 20);
    assert_false(is_left_out(plain)); /* so the test can fail */
    free(plain);
}

static void test_not_swapped_out(void **state)
{
    struct rlimit limit;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (limit.rlim_cur < 64 << 20 && geteuid() != 0)
        skip(); /* what other tests have taken may be more than is allowed */
    char *block = secret_malloc(3 << 20);
    assert_true(has_flag(block, " lo"));
    secret_free(block);
    char *plain = malloc(1 << 20);
    assert_false(has_flag(plain, " lo"));
    free(plain);
}

static void test_wiped(void **state)
{
    (void)state;
    char *block = secret_strdup("the key, the key, the key");
    volatile const char *after = block;
    secret_free(block);
    /* The pages stay mapped; only a pointer to the next free block may be in them. */
    for (size_t i = 0; i < 25; i++)
        assert_true(after[i] != "the key, the key, the key"[i] || after[i] == '\0');
}

static void test_as_malloc(void **state)
{
    (void)state;
    enum { BLOCKS = 200, STEPS = 20000, SIZE_MAX_BYTES = 200000 };
    struct {
        unsigned char *data;
        size_t size;
        unsigned char fill;
    } blocks[BLOCKS] = {0};
    struct rng rng = {4711};
    for (int i = 0; i < STEPS; i++) {
        size_t at = rng_below(&rng, BLOCKS);
        size_t size = rng_below(&rng, rng_below(&rng, 20) == 0 ? SIZE_MAX_BYTES : 3000);
        size_t kept = blocks[at].size < size ? blocks[at].size : size;
        if (rng_below(&rng, 3) == 0) {
            secret_free(blocks[at].data);
            blocks[at].data = secret_calloc(1, size);
            for (size_t j = 0; j < size; j++)
                assert_int_equal(blocks[at].data[j], 0);
        } else {
            blocks[at].data = secret_realloc(blocks[at].data, size);
            for (size_t j = 0; j < kept; j++)
                assert_int_equal(blocks[at].data[j], blocks[at].fill);
        }
        blocks[at].size = size;
        blocks[at].fill = (unsigned char)i;
        memset(blocks[at].data, i, size);
    }
    for (int i = 0; i < BLOCKS; i++)
        secret_free(blocks[i].data);
    size_t bytes = secret_bytes();
    for (int i = 0; i < 1000; i++)
        secret_free(secret_malloc(100000));
    assert_int_equal(secret_bytes(), bytes); /* used again */
    assert_null(secret_malloc(SIZE_MAX - 3));
    assert_null(secret_calloc(SIZE_MAX / 2, 3));
    secret_free(NULL);
}

/* In a process of its own, which has nothing secret left then. */
static void wipe_and_look(void)
{
    static const size_t sizes[] = {1, 100, 5000, 100000, 1 << 17, 3 << 20};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    unsigned char *blocks[COUNT], *gone = secret_malloc(2 << 20);
    size_t left = 0;
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = secret_malloc(sizes[i]);
        memset(blocks[i], 'x', sizes[i]);
    }
    secret_free(gone); /* it is not looked for any more */
    secret_wipe_all();
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < sizes[i]; j++)
            left += blocks[i][j] != 0;
    }
    _exit(left == 0 ? 0 : 1);
}

static void test_all_is_wiped(void **state)
{
    (void)state;
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        wipe_and_look();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* 'R', 'S', …; a thread's, of this process. */
static char state_of(pid_t thread)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    FILE *file = fopen(path, "re");
    if (file == NULL || fgets(line, sizeof line, file) == NULL)
        _exit(2);
    fclose(file);
    return strrchr(line, ')')[2];
}

static atomic_bool may_crash;
static atomic_int crasher;

/* Takes the same signals as all threads of our own. */
static void *crash(void *arg)
{
    atomic_store(&crasher, gettid());
    while (!atomic_load(&may_crash))
        continue;
    *(volatile char *)arg = 1;
    return NULL;
}

/* In a process of its own, which goes on after a thread of it has crashed. */
static void wipe_and_crash(void)
{
    sigset_t before;
    pthread_t thread;
    void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    thread_block_signals(&before);
    if (pthread_create(&thread, NULL, crash, page) != 0)
        _exit(2);
    secret_wipe_all();
    while (atomic_load(&crasher) == 0)
        sched_yield();
    atomic_store(&may_crash, true);
    while (state_of(atomic_load(&crasher)) != 'S')
        sched_yield();
    _exit(0);
}

static void test_who_crashes_after_that_waits(void **state)
{
    (void)state;
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        wipe_and_crash();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_out_of_core_dumps),
        cmocka_unit_test(test_not_swapped_out),
        cmocka_unit_test(test_wiped),
        cmocka_unit_test(test_as_malloc),
        cmocka_unit_test(test_all_is_wiped),
        cmocka_unit_test(test_who_crashes_after_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
