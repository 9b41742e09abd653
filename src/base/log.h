/* log.h: logfmt lines, one an event, written by a thread of their own so that a slow disk or pipe
 * never holds up the loop. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_LINES };

/* A key and its value. Made with the helpers below; a NULL key ends a list. */
struct log_field {
    const char *key;
    enum { LOG_FIELD_TEXT, LOG_FIELD_BYTES, LOG_FIELD_INT, LOG_FIELD_HEX, LOG_FIELD_MS } kind;
    const char *text;
    size_t len;
    int64_t number;
};

static inline struct log_field log_text(const char *key, const char *text)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_TEXT, .text = text};
}

static inline struct log_field log_bytes(const char *key, const char *data, size_t len)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_BYTES, .text = data, .len = len};
}

static inline struct log_field log_int(const char *key, int64_t number)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_INT, .number = number};
}

/* An unsigned 64-bit number as 16 hexadecimal digits (epochs, digests). */
static inline struct log_field log_hex(const char *key, uint64_t number)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_HEX, .number = (int64_t)number};
}

/* Nanoseconds, shown in milliseconds with three decimals: `took=1.250ms`. */
static inline struct log_field log_ms(const char *key, int64_t ns)
{
    return (struct log_field){.key = key, .kind = LOG_FIELD_MS, .number = ns};
}

struct log;

/*
 * Opens a log and starts its writer. `path` is a file to append to (made with mode 0640), or NULL
 * for stderr. On stderr that is journald's (JOURNAL_STREAM names it) each line begins with `<N>`,
 * sd-daemon's priority; elsewhere with `time=` in RFC 3339 UTC. 0, or a negative HERD_E… with errno
 * set by the call that failed: HERD_EBUSY where no thread can be had.
 */
int log_open(const char *path, enum log_level level, struct log **out);

/*
 * Opens the file again (log rotation), or another one; NULL is stderr. Lines that are queued go to
 * the new one. 0, or HERD_EIO with errno set, and the old one stays.
 */
int log_reopen(struct log *log, const char *path);

void log_set_level(struct log *log, enum log_level level);

/* Whether lines of that level are written. A log that is NULL takes none. */
bool log_enabled(const struct log *log, enum log_level level);

/*
 * Queues one line `level=… server=… group=<group> msg=<message> key=value …`, whatever its level.
 * Never blocks: the queue holds LOG_QUEUE_MAX_BYTES; what does not fit is counted, and the next
 * line that fits is preceded by `msg="lines lost" count=N`. So are lines that could not be written
 * (disk full). A line of more than 16 KiB is cut and ends in `truncated=true`.
 *
 * A value is quoted when it is empty, or has a space, `"`, `=`, a backslash, a control character or
 * a byte that is not UTF-8. Between quotes the escapes are JSON's (`\"`, `\\`, `\n`, `\u001b`), and
 * `\xff` for a byte that is not UTF-8. Keys are the caller's words and are written as they are.
 * `fields` ends with a NULL key; NULL is none. May be called from any thread.
 */
void log_write(struct log *log, enum log_level level, const char *group, const char *message,
               const struct log_field *fields);

/* LOG(log, LOG_INFO, "link", "up", log_text("peer", name), log_hex("epoch", epoch)); */
#define LOG(log, level, group, ...)                                                                \
    do {                                                                                           \
        if (log_enabled((log), (level)))                                                           \
            LOG_FIELDS((log), (level), (group), __VA_ARGS__, (struct log_field){0});               \
    } while (0)
#define LOG_FIELDS(log, level, group, message, ...)                                                \
    log_write((log), (level), (group), (message), (struct log_field[]){__VA_ARGS__})

/* A field that every later line carries (server=Hill); copied. 0, or HERD_ETOOLONG (500 bytes). */
int log_set_server(struct log *log, const char *name);

/* Lines lost so far, because the queue was full or writing failed. */
uint64_t log_lost(const struct log *log);

/* Writes out what is queued (waits at most 1 s for a stuck reader), stops the thread, frees. No
 * other thread may use the log any more. NULL is allowed. */
void log_close(struct log *log);

/* Writes out what is queued, as log_close, and nothing that comes later; frees nothing. For a process
 * that ends at once, though other threads may still use the log. */
void log_finish(struct log *log);

/* "info" -> LOG_INFO. 0 or HERD_EINVAL. */
int log_level_parse(const char *name, enum log_level *out);
const char *log_level_name(enum log_level level);

enum { LOG_QUEUE_MAX_BYTES = 1 << 20 };

#endif
