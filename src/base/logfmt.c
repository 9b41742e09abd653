#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/logfmt.h"
#include "base/utf8.h"

static const char truncated[] = " truncated=true";

/* Kept free for logfmt_end: a closing quote, the note and LF. */
enum { END_BYTES = 1 + sizeof truncated };

/* A control character: C0, DEL, or C1 (U+0080..U+009F, which a terminal may obey as well). */
static bool is_control(const unsigned char *at, size_t len)
{
    return (len == 1 && (at[0] < 0x20 || at[0] == 0x7f)) ||
           (len == 2 && at[0] == 0xc2 && at[1] < 0xa0);
}

static bool needs_quotes(const unsigned char *value, size_t value_len)
{
    size_t step;
    for (size_t at = 0; at < value_len; at += step) {
        step = utf8_length(value + at, value_len - at);
        if (step == 0 || is_control(value + at, step) || strchr(" \"=\\", value[at]) != NULL)
            return true;
    }
    return value_len == 0;
}

static size_t room(const struct logfmt *line)
{
    size_t used = line->len + END_BYTES;
    return line->full || used > line->cap ? 0 : line->cap - used;
}

/* All of it or, from the first time that it does not fit, nothing. NULL is allowed as no bytes. */
static void put(struct logfmt *line, const char *bytes, size_t len)
{
    if (len > room(line)) {
        line->full = true;
        return;
    }
    if (len > 0)
        memcpy(line->bytes + line->len, bytes, len);
    line->len += len;
}

/*
 * One character, or one byte that is none, between quotes. The escapes are JSON's, which readers of
 * logfmt know; \xNN for bytes that are no UTF-8, which JSON could not say.
 */
static void put_quoted(struct logfmt *line, const unsigned char *at, size_t len)
{
    static const char named[] = "\n\r\t\"\\";
    static const char letters[] = "nrt\"\\";
    char escape[8];
    const char *name = len == 1 && at[0] != '\0' ? strchr(named, at[0]) : NULL;
    int escape_len;
    if (len == 0)
        escape_len = snprintf(escape, sizeof escape, "\\x%02x", at[0]);
    else if (name != NULL)
        escape_len = snprintf(escape, sizeof escape, "\\%c", letters[name - named]);
    else if (is_control(at, len))
        escape_len = snprintf(escape, sizeof escape, "\\u%04x", at[len - 1]);
    else {
        put(line, (const char *)at, len);
        return;
    }
    put(line, escape, (size_t)escape_len);
}

void logfmt_begin(struct logfmt *line, char *storage, size_t cap)
{
    assert(cap >= 64);
    *line = (struct logfmt){.bytes = storage, .cap = cap};
}

void logfmt_raw(struct logfmt *line, const char *text)
{
    put(line, text, strlen(text));
}

static void put_key(struct logfmt *line, const char *key)
{
    const char *space = line->has_pairs ? " " : "";
    line->full = line->full || strlen(space) + strlen(key) + 1 > room(line);
    put(line, space, strlen(space));
    put(line, key, strlen(key));
    put(line, "=", 1);
    line->has_pairs = true;
}

void logfmt_pair(struct logfmt *line, const char *key, const char *value, size_t value_len)
{
    const unsigned char *bytes = (const unsigned char *)value;
    put_key(line, key);
    bool quoted = needs_quotes(bytes, value_len);
    if (!quoted && value_len <= room(line)) {
        put(line, value, value_len);
        return;
    }
    if (quoted)
        put(line, "\"", 1);
    /* The closing quote has its room in END_BYTES, so that a value that is cut gets one as well. */
    bool open = quoted && !line->full;
    size_t step;
    for (size_t at = 0; at < value_len && !line->full; at += step > 0 ? step : 1) {
        step = utf8_length(bytes + at, value_len - at);
        put_quoted(line, bytes + at, step);
    }
    if (open)
        line->bytes[line->len++] = '"';
}

void logfmt_field(struct logfmt *line, const struct log_field *field)
{
    char number[40];
    uint64_t size = field->number < 0 ? 0 - (uint64_t)field->number : (uint64_t)field->number;
    switch (field->kind) {
    case LOG_FIELD_TEXT:
        logfmt_pair(line, field->key, field->text, field->text != NULL ? strlen(field->text) : 0);
        return;
    case LOG_FIELD_BYTES:
        logfmt_pair(line, field->key, field->text, field->len);
        return;
    case LOG_FIELD_INT:
        snprintf(number, sizeof number, "%" PRId64, field->number);
        break;
    case LOG_FIELD_HEX:
        snprintf(number, sizeof number, "%016" PRIx64, (uint64_t)field->number);
        break;
    case LOG_FIELD_MS:
        snprintf(number, sizeof number, "%s%" PRIu64 ".%03" PRIu64 "ms",
                 field->number < 0 ? "-" : "", size / 1000000, size / 1000 % 1000);
        break;
    }
    put_key(line, field->key);
    logfmt_raw(line, number);
}

void logfmt_end(struct logfmt *line)
{
    if (line->full) {
        memcpy(line->bytes + line->len, truncated, sizeof truncated - 1);
        line->len += sizeof truncated - 1;
    }
    line->bytes[line->len++] = '\n';
    assert(line->len <= line->cap);
}
