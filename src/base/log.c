/*
 * The way of a line: log_write makes it in the caller's storage and puts it into the queue; the
 * writer takes pieces of at most PIPE_BUF bytes out of it and writes them. The lock is held only
 * while bytes are copied, never while a file is written, opened or closed.
 *
 * What can go wrong:
 *
 * The queue is full: the line is counted, and the next one that fits has a notice before it.
 *
 * Writing fails (disk full, reader gone): the lines of that piece are counted just the same, and
 * the writer goes on with the next one. So it never spins, and when writing works again there is
 * nothing to do but to end the line that was torn.
 *
 * The reader is stuck: stderr may be a pipe or terminal that other programs write to as well, and
 * O_NONBLOCK is a property of what they share, not of our descriptor: setting it would break them.
 * So the writer asks poll() first. A pipe that is ready takes PIPE_BUF bytes without blocking,
 * unless another program fills it in between; a terminal may be stopped at any time. Then write()
 * blocks, and nothing can end it. So log_close leaves a writer that is not done after 1 s to
 * itself: the log is the writer's from then on, which frees it once it can, or dies with the
 * process.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <herd/err.h>

#include "base/log.h"
#include "base/log_queue.h"
#include "base/logfmt.h"
#include "base/thread.h"

enum { CLOSE_WAIT_S = 1, RETRY_MS = 10, NOTICE_MAX_BYTES = 256, SERVER_MAX_BYTES = 512 };

static_assert(LOGFMT_LINE_MAX_BYTES + SERVER_MAX_BYTES <= LOG_PIECE_MAX_BYTES,
              "a piece holds any line");

/* A line before it is queued; the server's name goes in at `split`. */
struct line {
    struct logfmt text;
    size_t split;
};

struct log {
    _Atomic(enum log_level) level;
    atomic_bool for_journal;
    atomic_uint_fast64_t lost;
    pthread_t writer;
    int wake_fd; /* an eventfd: something has changed for the writer */
    pthread_mutex_t lock;
    pthread_cond_t on_stopped;

    /* Under the lock. */
    struct log_queue queue;
    char server[SERVER_MAX_BYTES]; /* ` server=Hill`, or empty */
    size_t server_len;
    uint64_t lost_untold; /* lines lost that no notice reports yet */
    int next_fd;          /* from log_reopen; -1: none */
    bool idle;            /* the writer waits for wake_fd alone */
    bool closing, abandoned, stopped;

    /* The writer's own. */
    int fd;
    bool torn; /* the last byte written was not a line's last */
};

static const struct {
    const char *name;
    const char *journal_prefix; /* sd-daemon(3) */
} levels[] = {
    [LOG_ERROR] = {"error", "<3>"}, [LOG_WARNING] = {"warning", "<4>"},
    [LOG_INFO] = {"info", "<6>"},   [LOG_DEBUG] = {"debug", "<7>"},
    [LOG_LINES] = {"lines", "<7>"},
};

/* The writer */

/* Under the lock. */
static void wake_writer(struct log *log)
{
    int rc = eventfd_write(log->wake_fd, 1);
    assert(rc == 0);
    (void)rc;
}

static void wait_wake(struct log *log)
{
    eventfd_t count;
    while (eventfd_read(log->wake_fd, &count) < 0)
        assert(errno == EINTR);
}

/* Waits until the output takes bytes. False: it does not, and the log was closed or reopened. */
static bool wait_writable(struct log *log)
{
    struct pollfd fds[] = {{.fd = log->fd, .events = POLLOUT},
                           {.fd = log->wake_fd, .events = POLLIN}};
    for (;;) {
        pthread_mutex_lock(&log->lock);
        bool abandoned = log->abandoned;
        bool replaced = log->next_fd >= 0;
        pthread_mutex_unlock(&log->lock);
        if (abandoned)
            return false;
        if (poll(fds, 2, replaced ? 0 : -1) < 0)
            continue; /* EINTR: nothing else is possible */
        if (fds[0].revents != 0)
            return true;
        if (replaced)
            return false;
        wait_wake(log);
    }
}

/* How many bytes were written: fewer than `len` when writing failed, or wait_writable was false. */
static size_t write_bytes(struct log *log, const char *bytes, size_t len)
{
    size_t done = 0;
    while (done < len && wait_writable(log)) {
        size_t part = len - done < PIPE_BUF ? len - done : PIPE_BUF;
        ssize_t written = write(log->fd, bytes + done, part);
        if (written > 0)
            done += (size_t)written;
        else if (written == 0 || errno == EAGAIN) /* ready, yet not for so much: not in a spin */
            poll(NULL, 0, RETRY_MS);
        else if (errno != EINTR)
            break;
    }
    if (done > 0)
        log->torn = bytes[done - 1] != '\n';
    return done;
}

static void count_lost(struct log *log, const struct log_piece *piece, size_t done)
{
    uint64_t lines = 0;
    for (size_t i = done; i < piece->len && piece->lost == 0; i++)
        lines += piece->bytes[i] == '\n';
    atomic_fetch_add(&log->lost, lines);
    pthread_mutex_lock(&log->lock);
    log->lost_untold += lines + piece->lost;
    pthread_mutex_unlock(&log->lock);
}

static void write_piece(struct log *log, const struct log_piece *piece)
{
    size_t done = 0;
    if (!log->torn || write_bytes(log, "\n", 1) == 1)
        done = write_bytes(log, piece->bytes, piece->len);
    if (done < piece->len)
        count_lost(log, piece, done);
}

static void adopt_next_fd(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    int next_fd = log->next_fd;
    log->next_fd = -1;
    pthread_mutex_unlock(&log->lock);
    if (next_fd < 0)
        return;
    close(log->fd);
    log->fd = next_fd;
    log->torn = false;
}

/* Fills the piece; waits when there is nothing to write. False: the writer's work is done. */
static bool next_piece(struct log *log, struct log_piece *piece)
{
    for (;;) {
        adopt_next_fd(log);
        pthread_mutex_lock(&log->lock);
        log_queue_take(&log->queue, piece);
        log->idle = piece->len == 0 && !log->closing;
        bool idle = log->idle;
        bool abandoned = log->abandoned;
        pthread_mutex_unlock(&log->lock);
        if (!idle)
            return piece->len > 0 && !abandoned;
        wait_wake(log);
    }
}

static void log_free(struct log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    if (log->next_fd >= 0)
        close(log->next_fd);
    if (log->wake_fd >= 0)
        close(log->wake_fd);
    pthread_cond_destroy(&log->on_stopped);
    pthread_mutex_destroy(&log->lock);
    log_queue_free(&log->queue);
    free(log);
}

static void *run_writer(void *arg)
{
    struct log *log = arg;
    struct log_piece piece;
    while (next_piece(log, &piece))
        write_piece(log, &piece);
    pthread_mutex_lock(&log->lock);
    log->stopped = true;
    bool abandoned = log->abandoned;
    pthread_cond_signal(&log->on_stopped);
    pthread_mutex_unlock(&log->lock);
    if (abandoned)
        log_free(log);
    return NULL;
}

/* Opening and closing */

/* systemd.exec(5): JOURNAL_STREAM is device:inode of the stream that the journal reads. */
static bool is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char ours[64];
    struct stat status;
    if (stream == NULL || fstat(fd, &status) != 0)
        return false;
    snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    return strcmp(stream, ours) == 0;
}

/*
 * A descriptor of our own, or -1 with errno. O_NONBLOCK is for a FIFO that nobody reads, which
 * would hold up open(); it does no harm, as what open() makes is shared with nobody.
 */
static int open_output(const char *path)
{
    if (path == NULL)
        return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

static int start_writer(struct log *log)
{
    return thread_start(&log->writer, "herd-log", run_writer, log) == 0 ? 0 : HERD_EBUSY;
}

static void init_sync(struct log *log)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&log->on_stopped, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&log->lock, NULL);
}

static int init(struct log *log, const char *path)
{
    int rc = log_queue_init(&log->queue, LOG_QUEUE_MAX_BYTES);
    if (rc < 0)
        return rc;
    log->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (log->wake_fd < 0)
        return HERD_EIO;
    log->fd = open_output(path);
    if (log->fd < 0)
        return HERD_EIO;
    atomic_init(&log->for_journal, path == NULL && is_journal(log->fd));
    return start_writer(log);
}

int log_open(const char *path, enum log_level level, struct log **out)
{
    struct log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return HERD_ENOMEM;
    log->fd = log->next_fd = log->wake_fd = -1;
    atomic_init(&log->level, level);
    atomic_init(&log->lost, 0);
    init_sync(log);
    int rc = init(log, path);
    if (rc < 0) {
        int error = errno;
        log_free(log);
        errno = error;
        return rc;
    }
    *out = log;
    return 0;
}

int log_reopen(struct log *log, const char *path)
{
    int fd = open_output(path);
    if (fd < 0)
        return HERD_EIO;
    atomic_store(&log->for_journal, path == NULL && is_journal(fd));
    pthread_mutex_lock(&log->lock);
    int unused_fd = log->next_fd;
    log->next_fd = fd;
    wake_writer(log);
    pthread_mutex_unlock(&log->lock);
    if (unused_fd >= 0)
        close(unused_fd);
    return 0;
}

/* Whether the writer is done, after a second at most. Under the lock. */
static bool end_writing(struct log *log)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += CLOSE_WAIT_S;
    log->closing = true;
    wake_writer(log);
    int rc = 0;
    while (!log->stopped && rc == 0)
        rc = pthread_cond_timedwait(&log->on_stopped, &log->lock, &deadline);
    return log->stopped;
}

void log_finish(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    end_writing(log);
    pthread_mutex_unlock(&log->lock);
}

void log_close(struct log *log)
{
    if (log == NULL)
        return;
    pthread_mutex_lock(&log->lock);
    bool stopped = end_writing(log);
    pthread_t writer = log->writer;
    if (!stopped) {
        log->abandoned = true;
        wake_writer(log);
    }
    pthread_mutex_unlock(&log->lock);
    /* From here on the log is the writer's, if that has not stopped. */
    if (!stopped) {
        pthread_detach(writer);
        return;
    }
    pthread_join(writer, NULL);
    log_free(log);
}

/* Lines */

static void begin_line(struct line *line, char *storage, size_t cap, const struct log *log,
                       enum log_level level)
{
    logfmt_begin(&line->text, storage, cap);
    if (atomic_load(&log->for_journal)) {
        logfmt_raw(&line->text, levels[level].journal_prefix);
    } else {
        char text[48];
        struct timespec now;
        struct tm utc;
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
        snprintf(text + len, sizeof text - len, ".%06ldZ", now.tv_nsec / 1000);
        logfmt_pair(&line->text, "time", text, strlen(text));
    }
    logfmt_pair(&line->text, "level", levels[level].name, strlen(levels[level].name));
    line->split = line->text.len;
}

static void add_message(struct line *line, const char *group, const char *message)
{
    logfmt_pair(&line->text, "group", group, strlen(group));
    logfmt_pair(&line->text, "msg", message, strlen(message));
}

/* Under the lock. */
static void queue_line(struct log *log, const struct line *line, uint64_t lost)
{
    const struct herd_slice parts[] = {
        {line->text.bytes, line->split},
        {log->server, log->server_len},
        {line->text.bytes + line->split, line->text.len - line->split},
    };
    log_queue_put(&log->queue, parts, sizeof parts / sizeof *parts, lost);
}

static void make_notice(struct line *notice, char *storage, size_t cap, const struct log *log,
                        uint64_t lost)
{
    struct log_field count = log_int("count", (int64_t)lost);
    begin_line(notice, storage, cap, log, LOG_WARNING);
    add_message(notice, "log", "lines lost");
    logfmt_field(&notice->text, &count);
    logfmt_end(&notice->text);
}

/* Queues it, after a notice when lines were lost. False: that does not fit. Under the lock. */
static bool try_queue(struct log *log, const struct line *line)
{
    size_t line_len = line->text.len + log->server_len;
    if (!log_queue_fits(&log->queue, line_len, 0))
        return false;
    if (log->lost_untold > 0) {
        char storage[NOTICE_MAX_BYTES];
        struct line notice;
        make_notice(&notice, storage, sizeof storage, log, log->lost_untold);
        if (!log_queue_fits(&log->queue, line_len, notice.text.len + log->server_len))
            return false;
        queue_line(log, &notice, log->lost_untold);
        log->lost_untold = 0;
    }
    queue_line(log, line, 0);
    return true;
}

void log_write(struct log *log, enum log_level level, const char *group, const char *message,
               const struct log_field *fields)
{
    char storage[LOGFMT_LINE_MAX_BYTES];
    struct line line;
    begin_line(&line, storage, sizeof storage, log, level);
    add_message(&line, group, message);
    for (; fields != NULL && fields->key != NULL; fields++)
        logfmt_field(&line.text, fields);
    logfmt_end(&line.text);

    pthread_mutex_lock(&log->lock);
    if (!try_queue(log, &line)) {
        atomic_fetch_add(&log->lost, 1);
        log->lost_untold++;
    } else if (log->idle) {
        log->idle = false;
        wake_writer(log);
    }
    pthread_mutex_unlock(&log->lock);
}

int log_set_server(struct log *log, const char *name)
{
    struct logfmt text;
    char storage[SERVER_MAX_BYTES];
    logfmt_begin(&text, storage, sizeof storage);
    logfmt_raw(&text, " ");
    logfmt_pair(&text, "server", name, strlen(name));
    if (text.full)
        return HERD_ETOOLONG;
    pthread_mutex_lock(&log->lock);
    memcpy(log->server, text.bytes, text.len);
    log->server_len = text.len;
    pthread_mutex_unlock(&log->lock);
    return 0;
}

void log_set_level(struct log *log, enum log_level level)
{
    atomic_store(&log->level, level);
}

bool log_enabled(const struct log *log, enum log_level level)
{
    return log != NULL && level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

uint64_t log_lost(const struct log *log)
{
    return atomic_load(&log->lost);
}

int log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(levels[i].name, name) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return HERD_EINVAL;
}

const char *log_level_name(enum log_level level)
{
    return levels[level].name;
}
