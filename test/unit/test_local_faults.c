/* A places file with too little memory and on a disk that fails: each allocation, SQLite's own too,
 * each call of SQLite, and each look at the file. What comes of it is the right answer, or an error
 * that says so; then the next question has the right answer. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>
#include <uv.h>

#include <herd/err.h>

#include "base/metrics.h"
#include "local_fixture.h"
#include "nth.h"
#include "nth_sqlite.h"
#include "places/local.h"
#include "places/local_answer.h"
#include "places/local_build.h"
#include "places/local_file.h"
#include "testing.h"

enum { FAULT_OPEN = NTH_KINDS, FAULT_READ, FAULT_SIZE, FAULT_LOCK, FAULT_COUNT };

static const char *const fault_names[FAULT_COUNT] = {
    [NTH_ALLOCATION] = "an allocation",
    [NTH_SQLITE_ALLOCATION] = "an allocation of SQLite's",
    [NTH_SQLITE_OPEN] = "sqlite3_open_v2",
    [NTH_SQLITE_PREPARE] = "sqlite3_prepare",
    [NTH_SQLITE_BIND] = "sqlite3_bind",
    [NTH_SQLITE_STEP] = "sqlite3_step",
    [NTH_SQLITE_TEXT] = "sqlite3_column_text",
    [NTH_SQLITE_EXEC] = "sqlite3_exec",
    [FAULT_OPEN] = "open",
    [FAULT_READ] = "pread",
    [FAULT_SIZE] = "fstat",
    [FAULT_LOCK] = "fcntl",
};

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
ssize_t __real_pread(int fd, void *out, size_t len, off_t at);
ssize_t __wrap_pread(int fd, void *out, size_t len, off_t at);
int __real_fstat(int fd, struct stat *out);
int __wrap_fstat(int fd, struct stat *out);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);

static bool fails_with(int fault, int error)
{
    if (!nth_fails(fault))
        return false;
    errno = error;
    return true;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = (flags & O_CREAT) != 0 ? va_arg(args, int) : 0;
    va_end(args);
    return fails_with(FAULT_OPEN, EMFILE) ? -1 : __real_open(path, flags, mode);
}

ssize_t __wrap_pread(int fd, void *out, size_t len, off_t at)
{
    return fails_with(FAULT_READ, EIO) ? -1 : __real_pread(fd, out, len, at);
}

int __wrap_fstat(int fd, struct stat *out)
{
    return fails_with(FAULT_SIZE, EIO) ? -1 : __real_fstat(fd, out);
}

int __wrap_fcntl(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    void *arg = va_arg(args, void *);
    va_end(args);
    return fails_with(FAULT_LOCK, ENOLCK) ? -1 : __real_fcntl(fd, command, arg);
}

/* Nearest first at each of the questions' places; more than one page of the file. */
static const char rows[] =
    "gn:1\tWestwood\t34.05612\t-118.43063\tsublocality,political\tPPLX\tUS\t2019\t500\tLos "
    "Angeles\n"
    "gn:2\tBrentwood\t34.05211\t-118.47402\tsublocality,political\tPPLX\tUS\t\t500\tLos Angeles\n"
    "ap:2\tHeli\t34\t-118.5\tairport\theliport\tUS\t\t150\tSanta Monica\n"
    "x:3\tFar away\t-16.8\t180\tlocality\t\t\t\t111195\tFiji\n";

/* The second one is over the antimeridian: two boxes. */
static const struct places_query queries[] = {
    {34.05612, -118.43063, 10000}, {-16.8, -179.99, 5000}, {0, -30, 1000}};

enum { QUERIES = sizeof queries / sizeof *queries };

struct fixture {
    struct folder *folder;
    char *right[QUERIES];
    int fault;
    unsigned nth;
};

/* NULL: no memory, and then the server says so. */
static char *render(const struct places_answer *answer)
{
    struct herd_buf out = {0};
    if (places_answer_render(answer, PLACES_RESULTS_MAX, &out) == 0 &&
        herd_buf_append(&out, "", 1) == 0)
        return out.data;
    herd_buf_free(&out);
    return NULL;
}

static void check_error(const struct fixture *fixture, int rc, const struct herd_buf *error)
{
    if (rc >= 0 || (rc != HERD_ENOMEM && error->len == 0))
        fail_msg("%s %u: %d without a reason", fault_names[fixture->fault], fixture->nth, rc);
}

static bool says_why(enum places_status status, const char *text)
{
    return status == PLACES_UNKNOWN_ERROR && strstr(text, "\"error_message\": \"") != NULL;
}

/* The right one, or an error that says why; `must` be right. */
static void check_answer(const struct fixture *fixture, size_t i, struct places_answer *take_answer,
                         bool must)
{
    enum places_status status = places_answer_status(take_answer);
    char *text = render(take_answer);
    places_answer_unref(take_answer);
    bool is_right = text != NULL && strcmp(text, fixture->right[i]) == 0;
    bool is_error = text == NULL || says_why(status, text);
    if (!is_right && (must || !is_error))
        fail_msg("%s %u: question %zu: %s", fault_names[fixture->fault], fixture->nth, i,
                 text != NULL ? text : "no memory");
    free(text);
}

/* The first of the fault's kind, the second, …: until a life has no more of them. */
static void fail_each(struct fixture *fixture, bool (*live)(struct fixture *))
{
    fixture->nth = 1;
    while (live(fixture))
        fixture->nth++;
    print_message("%s: %u failed\n", fault_names[fixture->fault], fixture->nth - 1);
    assert_true(fixture->nth > 1);
}

/* ---- A file, without threads ---------------------------------------------------------------- */

/* NULL: it could not be opened, and says why. */
static struct local_file *open_file(const struct fixture *fixture, bool must)
{
    struct local_file *file = NULL;
    struct herd_buf error = {0};
    int rc = local_file_open(fixture->folder->places, &file, &error);
    if (rc < 0 || must)
        assert_true(rc == 0 || !must);
    if (rc < 0)
        check_error(fixture, rc, &error);
    herd_buf_free(&error);
    return rc == 0 ? file : NULL;
}

static void ask_file(const struct fixture *fixture, struct local_file *file, bool must)
{
    for (size_t i = 0; i < QUERIES; i++)
        check_answer(fixture, i, local_answer(file->idle[0], &queries[i]), must);
}

/* What cannot be read goes on to be asked on disk. */
static void ask_memory(const struct fixture *fixture, struct local_file *file, bool must)
{
    atomic_bool is_over = false;
    if (file->memory == NULL) {
        int rc = local_file_load(file, INT64_MAX, &is_over);
        assert_true(rc == 0 || !must);
        assert_true(rc == 0 || rc == HERD_ENOMEM ||
                    (rc == HERD_EIO && local_db_reason(file->idle[0])[0] != '\0'));
    }
    for (size_t i = 0; i < QUERIES && file->memory != NULL; i++)
        check_answer(fixture, i, local_memory_answer(file->memory, &queries[i], NULL), must);
}

static bool live(struct fixture *fixture)
{
    nth_arm(fixture->fault, fixture->nth);
    struct local_file *file = open_file(fixture, false);
    if (file != NULL) {
        ask_file(fixture, file, false);
        ask_memory(fixture, file, false);
    }
    bool has_failed = nth_has_failed();
    nth_arm(0, 0);
    if (file == NULL)
        file = open_file(fixture, true);
    ask_file(fixture, file, true);
    ask_memory(fixture, file, true);
    local_file_free(file);
    assert_int_equal(sqlite3_memory_used(), 0);
    return has_failed;
}

static void test_a_file(void **state)
{
    struct fixture *fixture = *state;
    for (fixture->fault = 0; fixture->fault < FAULT_COUNT; fixture->fault++) {
        if (fixture->fault == NTH_SQLITE_EXEC)
            continue; /* of those who write */
        fail_each(fixture, live);
    }
}

/* ---- The writer, over a file that is there -------------------------------------------------- */

static unsigned count_files(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* The file is there whole, and nothing is left beside it. */
static bool write_anew(struct fixture *fixture)
{
    const char *table = fixture->folder->table;
    struct herd_buf error = {0};
    int64_t places = 0;
    nth_arm(fixture->fault, fixture->nth);
    int rc = local_build(fixture->folder->places, &table, 1, &places, &error);
    bool has_failed = nth_has_failed();
    nth_arm(0, 0);
    if (rc < 0)
        check_error(fixture, rc, &error);
    else
        assert_int_equal(places, 4);
    herd_buf_free(&error);
    assert_int_equal(sqlite3_memory_used(), 0);
    assert_int_equal(count_files(fixture->folder->path), 2);
    struct local_file *file = open_file(fixture, true);
    ask_file(fixture, file, true);
    local_file_free(file);
    return has_failed;
}

static void test_the_writer(void **state)
{
    struct fixture *fixture = *state;
    for (fixture->fault = 0; fixture->fault <= FAULT_OPEN; fixture->fault++) {
        if (fixture->fault == NTH_SQLITE_TEXT)
            continue; /* of those who read */
        fail_each(fixture, write_anew);
    }
}

/* ---- The provider: it opens in a thread, and is asked in threads, then in memory ------------ */

struct life {
    const struct fixture *fixture;
    uv_loop_t loop;
    struct metrics metrics;
    struct provider *provider;
    bool is_opened, is_good, is_closed, must;
    size_t asked, answered;
};

struct question {
    struct life *life;
    size_t which;
};

static void on_answer(void *arg, struct places_answer *take_answer)
{
    struct question question = *(struct question *)arg;
    question.life->answered++;
    check_answer(question.life->fixture, question.which, take_answer, question.life->must);
}

static void on_opened(void *arg, const char *error)
{
    struct life *life = arg;
    assert_false(life->is_opened);
    life->is_opened = true;
    life->is_good = error == NULL;
    if (error != NULL)
        assert_true(error[0] != '\0');
}

static void on_closed(void *arg)
{
    ((struct life *)arg)->is_closed = true;
}

/* False: it cannot be opened, and has said why. */
static bool open_provider(struct life *life)
{
    const struct places_options options = {.loop = &life->loop,
                                           .metrics = &life->metrics,
                                           .data_file = life->fixture->folder->places,
                                           .memory_max_bytes = 1 << 20,
                                           .total_timeout_ms = 60000,
                                           .calls_max = 10};
    struct herd_buf error = {0};
    life->is_opened = life->is_good = false;
    int rc = provider_local.open_later(&options, on_opened, life, &life->provider, &error);
    if (rc < 0) {
        life->provider = NULL;
        check_error(life->fixture, rc, &error);
    }
    herd_buf_free(&error);
    while (rc == 0 && !life->is_opened)
        uv_run(&life->loop, UV_RUN_ONCE);
    return rc == 0 && life->is_good;
}

static void close_provider(struct life *life)
{
    life->is_closed = life->provider == NULL;
    if (life->provider != NULL)
        life->provider->type->close(life->provider, on_closed, life);
    life->provider = NULL;
    uv_run(&life->loop, UV_RUN_DEFAULT);
    assert_true(life->is_closed);
}

static void ask_provider(struct life *life, bool must)
{
    struct question questions[QUERIES];
    struct places_call *call;
    life->must = must;
    life->asked = life->answered = 0;
    for (size_t i = 0; i < QUERIES; i++) {
        questions[i] = (struct question){life, i};
        int rc =
            life->provider->type->ask(life->provider, &queries[i], on_answer, &questions[i], &call);
        assert_true(rc == 0 || (rc == HERD_ENOMEM && !must));
        life->asked += rc == 0;
    }
    while (life->answered < life->asked)
        uv_run(&life->loop, UV_RUN_ONCE);
}

static bool serve(struct fixture *fixture)
{
    struct life life = {.fixture = fixture};
    assert_int_equal(uv_loop_init(&life.loop), 0);
    nth_arm(NTH_ALLOCATION, fixture->nth);
    bool is_open = open_provider(&life);
    if (is_open)
        ask_provider(&life, false);
    bool has_failed = nth_has_failed();
    nth_arm(0, 0);
    if (!is_open) {
        close_provider(&life);
        assert_true(open_provider(&life));
    }
    ask_provider(&life, true);
    close_provider(&life);
    assert_int_equal(uv_loop_close(&life.loop), 0);
    return has_failed;
}

static void test_the_provider(void **state)
{
    struct fixture *fixture = *state;
    fixture->fault = NTH_ALLOCATION;
    fail_each(fixture, serve);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    folder_setup((void **)&fixture->folder);
    build_places(fixture->folder, rows);
    struct local_file *file = NULL;
    struct herd_buf error = {0};
    assert_int_equal(local_file_open(fixture->folder->places, &file, &error), 0);
    for (size_t i = 0; i < QUERIES; i++) {
        struct places_answer *answer = local_answer(file->idle[0], &queries[i]);
        fixture->right[i] = render(answer);
        places_answer_unref(answer);
    }
    assert_contains(fixture->right[0], "Brentwood");
    assert_contains(fixture->right[1], "Far away");
    assert_contains(fixture->right[2], "ZERO_RESULTS");
    local_file_free(file);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < QUERIES; i++)
        free(fixture->right[i]);
    folder_teardown((void **)&fixture->folder);
    free(fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_writer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_provider, setup, teardown),
    };
    nth_sqlite_begin();
    return cmocka_run_group_tests_name("local_faults", tests, NULL, NULL);
}
