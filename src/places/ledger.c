/*
 * One write at a time: ledger_write -> (none is under way) on_work in a thread -> on_worked ->
 * written -> the next one. The file is there whole, old or new: it is written beside, brought to
 * the disk, and renamed over the one before.
 */
#include "places/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include <uv.h>

#include <herd/err.h>

enum {
    DAY_S = 24 * 60 * 60,
    LINE_MAX_BYTES = 64,
    FILE_MAX_BYTES = ALLOWANCE_DAYS * LINE_MAX_BYTES
};

/* More than any server makes; one more of them is still a number. */
#define CALLS_MAX INT64_C(1000000000000000)

struct entry {
    STAILQ_ENTRY(entry) next;
    struct allowance_record record;
    bool has_record;
};

struct ledger {
    uv_loop_t *loop;
    uv_work_t work;
    char *folder, *path, *path_new; /* NULL: no file */
    ledger_written_cb *written;
    void *arg;
    STAILQ_HEAD(, entry) entries; /* the first one is under way, or the next */
    struct entry last;            /* of ledger_close: that needs no memory */
    bool is_working;
    int failed_with; /* errno of the one under way */
    void (*closed)(void *arg);
    void *closed_arg;
};

static void free_ledger(struct ledger *ledger)
{
    free(ledger->folder);
    free(ledger->path);
    free(ledger->path_new);
    free(ledger);
}

/* 0, or -1 with errno. */
static int write_all(int fd, const char *text, size_t len)
{
    ssize_t done = write(fd, text, len);
    if (done >= 0 && (size_t)done < len)
        errno = ENOSPC;
    return done == (ssize_t)len ? fsync(fd) : -1;
}

static void print_day(const struct allowance_day *entry, struct herd_buf *out)
{
    time_t when = (time_t)entry->day * DAY_S;
    struct tm date;
    gmtime_r(&when, &date);
    out->len +=
        (size_t)snprintf(out->data + out->len, out->cap - out->len, "%04d-%02d-%02d %" PRId64 "\n",
                         date.tm_year + 1900, date.tm_mon + 1, date.tm_mday, entry->calls);
}

/* 0, or -1 with errno. */
static int write_file(const char *path, const struct allowance_record *record)
{
    char room[FILE_MAX_BYTES];
    struct herd_buf text = {.data = room, .cap = sizeof room};
    for (size_t i = 0; i < record->count; i++)
        print_day(&record->days[i], &text);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int rc = write_all(fd, text.data, text.len);
    int error = errno;
    close(fd);
    errno = error;
    return rc;
}

static int sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    int error = errno;
    close(fd);
    errno = error;
    return rc;
}

/* An entry without a record, or a ledger without a file: nothing to write, and as slow as if there
 * were, so that callers need no second path. */
static void on_work(uv_work_t *work)
{
    struct ledger *ledger = work->data;
    const struct entry *entry = STAILQ_FIRST(&ledger->entries);
    bool is_written =
        !entry->has_record || ledger->path == NULL ||
        (write_file(ledger->path_new, &entry->record) == 0 &&
         rename(ledger->path_new, ledger->path) == 0 && sync_folder(ledger->folder) == 0);
    ledger->failed_with = is_written ? 0 : errno;
}

static void on_worked(uv_work_t *work, int status);

/* The first entry is under way then. 0 or HERD_EIO. */
static int start(struct ledger *ledger)
{
    ledger->is_working = uv_queue_work(ledger->loop, &ledger->work, on_work, on_worked) == 0;
    return ledger->is_working ? 0 : HERD_EIO;
}

/* The first entry has come to its end. False: it was the last one, and the ledger is no more. */
static bool finish(struct ledger *ledger, int failed_with)
{
    struct entry *entry = STAILQ_FIRST(&ledger->entries);
    STAILQ_REMOVE_HEAD(&ledger->entries, next);
    if (entry != &ledger->last) {
        struct allowance_record record = entry->record;
        free(entry);
        ledger->written(ledger->arg, &record, failed_with != 0 ? strerror(failed_with) : NULL);
        return true;
    }
    void (*closed)(void *arg) = ledger->closed;
    void *arg = ledger->closed_arg;
    free_ledger(ledger);
    closed(arg);
    return false;
}

/* What no thread can be had for has failed. */
static void go_on(struct ledger *ledger)
{
    bool is_there = true;
    while (is_there && !ledger->is_working && !STAILQ_EMPTY(&ledger->entries)) {
        if (start(ledger) < 0)
            is_there = finish(ledger, EAGAIN);
    }
}

static void on_worked(uv_work_t *work, int status)
{
    struct ledger *ledger = work->data;
    assert(status == 0); /* nobody cancels it */
    ledger->is_working = false;
    if (finish(ledger, ledger->failed_with))
        go_on(ledger);
}

int ledger_write(struct ledger *ledger, const struct allowance_record *record)
{
    assert(ledger->closed == NULL);
    struct entry *entry = malloc(sizeof *entry);
    if (entry == NULL)
        return HERD_ENOMEM;
    *entry = (struct entry){.record = *record, .has_record = true};
    bool is_first = STAILQ_EMPTY(&ledger->entries);
    STAILQ_INSERT_TAIL(&ledger->entries, entry, next);
    int rc = is_first && !ledger->is_working ? start(ledger) : 0;
    if (rc < 0) {
        STAILQ_REMOVE_HEAD(&ledger->entries, next);
        free(entry);
    }
    return rc;
}

void ledger_close(struct ledger *ledger, const struct allowance_record *record,
                  void (*closed)(void *arg), void *arg)
{
    ledger->closed = closed;
    ledger->closed_arg = arg;
    ledger->last.has_record = record != NULL;
    if (record != NULL)
        ledger->last.record = *record;
    STAILQ_INSERT_TAIL(&ledger->entries, &ledger->last, next);
    if (STAILQ_FIRST(&ledger->entries) == &ledger->last)
        go_on(ledger);
}

static int parse_day(const char *line, struct allowance_day *out)
{
    struct tm date = {0};
    int end = 0;
    if (sscanf(line, "%d-%d-%d %" SCNd64 " %n", &date.tm_year, &date.tm_mon, &date.tm_mday,
               &out->calls, &end) != 4 ||
        line[end] != '\0' || end == 0 || out->calls < 0 || out->calls > CALLS_MAX)
        return HERD_ESYNTAX;
    date.tm_year -= 1900;
    date.tm_mon -= 1;
    out->day = (int64_t)timegm(&date) / DAY_S;
    return 0;
}

/* One day at least, none twice. Takes the text apart. */
static int parse(char *text, struct allowance_record *out)
{
    char *rest = text, *line = strsep(&rest, "\n");
    do {
        if (out->count == ALLOWANCE_DAYS || parse_day(line, &out->days[out->count]) < 0)
            return HERD_ESYNTAX;
        for (size_t i = 0; i < out->count; i++) {
            if (out->days[i].day == out->days[out->count].day)
                return HERD_ESYNTAX;
        }
        out->count++;
        line = strsep(&rest, "\n");
    } while (line != NULL && *line != '\0');
    return line == NULL || rest == NULL ? 0 : HERD_ESYNTAX;
}

static int read_file(const char *path, struct allowance_record *out, struct herd_buf *error)
{
    char text[FILE_MAX_BYTES + 1] = "";
    FILE *file = fopen(path, "re");
    if (file == NULL && errno == ENOENT)
        return 0;
    size_t len = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file == NULL || ferror(file)) {
        herd_buf_printf(error, "%s cannot be read: %s", path, strerror(errno));
        if (file != NULL)
            fclose(file);
        return HERD_EIO;
    }
    fclose(file);
    text[len] = '\0';
    if (parse(text, out) == 0)
        return 0;
    herd_buf_printf(error,
                    "%s is no record of a day's calls; remove it if no call was made today that "
                    "has to be counted",
                    path);
    return HERD_ESYNTAX;
}

static char *path_in(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) >= 0 ? path : NULL;
}

static int find_file(struct ledger *ledger, const char *folder, struct allowance_record *record,
                     struct herd_buf *error)
{
    ledger->folder = strdup(folder);
    ledger->path = path_in(folder, "places-calls");
    ledger->path_new = path_in(folder, "places-calls.new");
    if (ledger->folder == NULL || ledger->path == NULL || ledger->path_new == NULL)
        return HERD_ENOMEM;
    return read_file(ledger->path, record, error);
}

int ledger_open(struct uv_loop_s *loop, const char *folder, ledger_written_cb *written, void *arg,
                struct ledger **out, struct allowance_record *record, struct herd_buf *error)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);
    if (ledger == NULL)
        return HERD_ENOMEM;
    *record = (struct allowance_record){0};
    ledger->loop = loop;
    ledger->work.data = ledger;
    ledger->written = written;
    ledger->arg = arg;
    STAILQ_INIT(&ledger->entries);
    int rc = folder[0] != '\0' ? find_file(ledger, folder, record, error) : 0;
    if (rc < 0) {
        free_ledger(ledger);
        return rc;
    }
    *out = ledger;
    return 0;
}
