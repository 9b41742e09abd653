/*
 * Byte by byte: depth of braces and brackets, whether it is within a string, and what the last
 * string of the outermost object was. When that object has a member `features` with an array, its
 * elements are the features, else it is one itself.
 *
 * Features that stand one after the other and begin with a record separator, or were seen to have a
 * line each, are also ended by the next separator or the line's end: one that is broken does not
 * take those behind it with it.
 */
#include "places/feature_reader.h"

#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

enum { CHUNK_BYTES = 64 << 10, NAME_BYTES = 16, RECORD_SEPARATOR = 0x1e };

struct feature_reader {
    feature_source_cb *source;
    void *arg;
    char chunk[CHUNK_BYTES];
    size_t at, len; /* in chunk */
    int64_t line;
    struct herd_buf text; /* of the object that is being read */
    bool is_kept, is_too_large;
    int64_t begin_line;
    int64_t depth;
    bool in_string, is_escaped;
    char name[NAME_BYTES]; /* the last string of the outermost object, cut */
    size_t name_len;
    bool is_collection;  /* within the array `features` */
    bool was_collection; /* the outermost object had one: it is no feature itself */
    bool has_separators, has_lines;
    bool is_one_line; /* the object that is being read, until now */
    bool is_garbage;  /* what stands between two features, up to the line's end */
    int64_t end_line; /* of the last feature */
};

int feature_reader_new(feature_source_cb *source, void *arg, struct feature_reader **out)
{
    struct feature_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return HERD_ENOMEM;
    reader->source = source;
    reader->arg = arg;
    reader->line = 1;
    *out = reader;
    return 0;
}

void feature_reader_free(struct feature_reader *reader)
{
    if (reader == NULL)
        return;
    herd_buf_free(&reader->text);
    free(reader);
}

int64_t feature_reader_line(const struct feature_reader *reader)
{
    return reader->line;
}

static void begin_object(struct feature_reader *reader)
{
    reader->text.len = 0;
    reader->is_kept = true;
    reader->is_too_large = false;
    reader->is_one_line = true;
    reader->begin_line = reader->line;
}

static int keep(struct feature_reader *reader, char byte)
{
    if (!reader->is_kept || reader->is_too_large)
        return 0;
    if (reader->text.len < FEATURE_MAX_BYTES)
        return herd_buf_append(&reader->text, &byte, 1);
    reader->is_too_large = true;
    reader->text.len = 0;
    return 0;
}

static void give(struct feature_reader *reader, enum feature_state state, struct feature *out)
{
    if (reader->is_too_large)
        state = FEATURE_TOO_LARGE;
    *out = (struct feature){.state = state, .line = reader->begin_line};
    if (state == FEATURE_WHOLE || state == FEATURE_CUT_OFF)
        out->text = herd_buf_slice(&reader->text);
    reader->is_kept = false;
    reader->end_line = reader->line;
}

/* Back between two features, with what was read of one lost. */
static void cut_off(struct feature_reader *reader, struct feature *out)
{
    give(reader, reader->is_garbage ? FEATURE_STRAY : FEATURE_CUT_OFF, out);
    reader->depth = 0;
    reader->in_string = reader->is_escaped = reader->is_garbage = false;
}

static void in_string(struct feature_reader *reader, char byte)
{
    bool is_end = byte == '"' && !reader->is_escaped;
    reader->is_escaped = byte == '\\' && !reader->is_escaped;
    if (is_end)
        reader->in_string = false;
    else if (reader->depth == 1 && reader->name_len < NAME_BYTES)
        reader->name[reader->name_len++] = byte;
}

static bool is_features(const struct feature_reader *reader)
{
    return reader->name_len == 8 && memcmp(reader->name, "features", 8) == 0;
}

/* An opening bracket or brace. */
static void open_bracket(struct feature_reader *reader, char byte)
{
    bool is_object = byte == '{';
    if (is_object && (reader->depth == 0 || (reader->is_collection && reader->depth == 2)))
        begin_object(reader);
    if (!is_object && reader->depth == 1 && is_features(reader)) {
        reader->is_collection = reader->was_collection = true;
        reader->is_kept = false;
        reader->text.len = 0;
    }
    if (reader->depth == 0) {
        reader->was_collection = false;
        reader->name_len = 0;
    }
    reader->depth++;
}

/* A closing one. 1: it ends a feature. */
static int close_bracket(struct feature_reader *reader, struct feature *out)
{
    reader->depth--;
    if (reader->is_collection && reader->depth == 1)
        reader->is_collection = false;
    if (reader->is_collection && reader->depth == 2 && reader->is_kept) {
        give(reader, FEATURE_WHOLE, out);
        return 1;
    }
    if (reader->depth > 0 || reader->was_collection)
        return 0;
    reader->has_lines = reader->has_lines || (reader->is_one_line && !reader->has_separators);
    give(reader, FEATURE_WHOLE, out);
    return 1;
}

/* Also the mark that some editors put in front of UTF-8. */
static bool is_white(char byte)
{
    static const char white[] = " \t\r\n\x1e\xef\xbb\xbf";
    return memchr(white, byte, sizeof white - 1) != NULL;
}

/* Ends what is broken. 1: there was something. */
static int on_boundary(struct feature_reader *reader, char byte, struct feature *out)
{
    bool is_line = byte == '\n', is_separator = byte == RECORD_SEPARATOR;
    int64_t line = reader->line;
    reader->line += is_line;
    reader->has_separators = reader->has_separators || is_separator;
    if (is_line)
        reader->is_one_line = false;
    bool is_end = is_separator || (is_line && reader->has_lines);
    if (!is_end || reader->was_collection)
        return 0;
    if (reader->is_garbage &&
        reader->end_line == line) { /* the rest of a feature that was told of */
        reader->is_garbage = false;
        return 0;
    }
    if (reader->depth == 0 && !reader->is_garbage)
        return 0;
    cut_off(reader, out);
    return 1;
}

/* Between two features: 0, or HERD_ESYNTAX when nothing tells where the next one begins. */
static int between(struct feature_reader *reader, char byte)
{
    if (is_white(byte) || reader->is_garbage)
        return 0;
    if (!reader->has_lines && !reader->has_separators)
        return HERD_ESYNTAX;
    begin_object(reader);
    reader->is_kept = false;
    reader->is_garbage = true;
    return 0;
}

/* 1: a feature ended with this byte. */
static int take(struct feature_reader *reader, char byte, struct feature *out)
{
    if (byte == '\n' || byte == RECORD_SEPARATOR) {
        if (on_boundary(reader, byte, out) > 0)
            return 1;
    }
    if (reader->depth == 0 && (byte != '{' || reader->is_garbage))
        return between(reader, byte);
    if (!reader->in_string && (byte == '{' || byte == '['))
        open_bracket(reader, byte);
    int rc = keep(reader, byte);
    if (rc < 0)
        return rc;
    if (reader->in_string) {
        in_string(reader, byte);
    } else if (byte == '"') {
        reader->in_string = true;
        if (reader->depth == 1)
            reader->name_len = 0;
    } else if (byte == '}' || byte == ']') {
        return close_bracket(reader, out);
    }
    return 0;
}

static int at_end(struct feature_reader *reader, struct feature *out)
{
    bool is_rest = reader->is_garbage && reader->end_line == reader->line;
    if (reader->depth == 0 && (!reader->is_garbage || is_rest))
        return 0;
    if (reader->was_collection)
        return HERD_ESYNTAX; /* the file ends within the collection */
    cut_off(reader, out);
    return 1;
}

int feature_reader_next(struct feature_reader *reader, struct feature *out)
{
    for (;;) {
        while (reader->at < reader->len) {
            int rc = take(reader, reader->chunk[reader->at++], out);
            if (rc != 0)
                return rc;
        }
        int64_t got = reader->source(reader->arg, reader->chunk, sizeof reader->chunk);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return at_end(reader, out);
        reader->at = 0;
        reader->len = (size_t)got;
    }
}
