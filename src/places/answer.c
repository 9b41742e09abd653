#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include <jansson.h>

#include <herd/err.h>

#include "base/utf8.h"
#include "places/answer_room.h"
#include "places/answer_spares.h"

/* 15 digits give back every decimal that came in with at most 15: 34.06893, not 34.06893000…2. */
enum { RESULT_FLAGS = JSON_INDENT(3) | JSON_REAL_PRECISION(15) };

static const char element_indent[] = "\n      ";

/* A result as it is rendered: indented, what is small and deep becomes fifty times as long, and
 * each asker gets a copy. Google's have some 3 KiB. */
enum { RESULT_MAX_BYTES = 64 << 10, TEXT_MAX_BYTES = 1 << 30 };

/* Of all html_attributions together; Google's are a line each, for 20 places at most. */
enum { ATTRIBUTIONS_MAX_BYTES = 64 << 10 };

static const char text_without_memory[] = "\"out of memory\"";

static const struct places_answer answer_without_memory = {
    .without_memory = true,
    .shared = text_without_memory,
    .failure = {.retry_after_ms = -1, .is_final = true}};

#define SHARED(its_status, text)                                                                   \
    {                                                                                              \
        .status = (its_status), .shared = "\"" text "\"", .failure = {.retry_after_ms = -1 }       \
    }

static const struct places_answer errors[] = {
    [PLACES_ERROR_QUESTIONS] =
        SHARED(PLACES_OVER_QUERY_LIMIT, "too many questions are waiting for places"),
    [PLACES_ERROR_CLIENT_QUESTIONS] =
        SHARED(PLACES_OVER_QUERY_LIMIT, "too many questions for places from this connection"),
    [PLACES_ERROR_DAY] = SHARED(PLACES_OVER_QUERY_LIMIT, "the calls for today are used up"),
    [PLACES_ERROR_DAY_UNCOUNTED] =
        SHARED(PLACES_OVER_QUERY_LIMIT, "the calls of the day cannot be counted"),
    [PLACES_ERROR_DOWN] =
        SHARED(PLACES_UNKNOWN_ERROR,
               "The places provider failed: it is down, and left alone for a moment"),
    [PLACES_ERROR_LATE] =
        SHARED(PLACES_UNKNOWN_ERROR, "The places provider failed: no answer in time"),
    [PLACES_ERROR_NO_CALL] =
        SHARED(PLACES_UNKNOWN_ERROR, "no call to the places provider was free in time"),
    [PLACES_ERROR_STOP] = SHARED(PLACES_UNKNOWN_ERROR, "the server stops"),
    [PLACES_ERROR_UNREAD] =
        SHARED(PLACES_OVER_QUERY_LIMIT, "too many answers wait for clients to read them"),
    [PLACES_ERROR_BEHIND] =
        SHARED(PLACES_OVER_QUERY_LIMIT, "too many answers wait for those to earlier questions"),
    [PLACES_ERROR_OFF_EARTH] =
        SHARED(PLACES_INVALID_REQUEST, "location or radius: value out of range"),
};

static const struct places_answer nothing_found = {.status = PLACES_ZERO_RESULTS,
                                                   .shared = "",
                                                   .failure.retry_after_ms = -1},
                                  nothing_asked = {.status = PLACES_OK,
                                                   .shared = "",
                                                   .failure.retry_after_ms = -1};

const char *places_status_name(enum places_status status)
{
    static const char *const names[] = {
        [PLACES_OK] = "OK",
        [PLACES_ZERO_RESULTS] = "ZERO_RESULTS",
        [PLACES_INVALID_REQUEST] = "INVALID_REQUEST",
        [PLACES_OVER_QUERY_LIMIT] = "OVER_QUERY_LIMIT",
        [PLACES_REQUEST_DENIED] = "REQUEST_DENIED",
        [PLACES_UNKNOWN_ERROR] = "UNKNOWN_ERROR",
    };
    return names[status];
}

void answer_begin(struct places_answer *answer, enum places_status status)
{
    *answer = (struct places_answer){
        .references = 1,
        .status = status,
        .failure.retry_after_ms = -1,
        .spares = answer->spares,
        .attributions = {.data = answer->attributions.data, .cap = answer->attributions.cap},
        .results = {.data = answer->results.data, .cap = answer->results.cap}};
}

struct places_answer *places_answer_new(enum places_status status)
{
    struct places_answer *answer = calloc(1, sizeof *answer);
    if (answer == NULL)
        return (struct places_answer *)(uintptr_t)&answer_without_memory; /* never written to */
    answer_begin(answer, status);
    return answer;
}

struct places_answer *places_answer_error(enum places_error which)
{
    return (struct places_answer *)(uintptr_t)&errors[which]; /* never written to */
}

struct places_answer *places_answer_none(bool is_found)
{
    const struct places_answer *answer = is_found ? &nothing_asked : &nothing_found;
    return (struct places_answer *)(uintptr_t)answer; /* never written to */
}

struct places_answer *places_answer_ref(struct places_answer *answer)
{
    if (answer->shared == NULL)
        answer->references++;
    return answer;
}

void places_answer_unref(struct places_answer *answer)
{
    if (answer == NULL || answer->shared != NULL)
        return;
    assert(answer->references > 0);
    if (--answer->references > 0)
        return;
    if (answer->spares != NULL)
        answer_spares_keep(answer);
    else
        answer_free(answer);
}

void answer_free(struct places_answer *answer)
{
    herd_buf_free(&answer->error);
    herd_buf_free(&answer->attributions);
    herd_buf_free(&answer->results);
    free(answer);
}

void places_answer_keep(struct places_answer *answer, size_t *total)
{
    if (!places_answer_is_long(answer) || answer->keepers++ > 0)
        return;
    answer->kept = total;
    *total += places_answer_bytes(answer);
}

bool places_answer_is_kept(const struct places_answer *answer)
{
    return answer->keepers > 0;
}

void places_answer_let_go(struct places_answer *answer)
{
    if (places_answer_is_long(answer) && --answer->keepers == 0)
        *answer->kept -= places_answer_bytes(answer);
    places_answer_unref(answer);
}

enum places_status places_answer_status(const struct places_answer *answer)
{
    return answer->without_memory ? PLACES_UNKNOWN_ERROR : answer->status;
}

size_t places_answer_count(const struct places_answer *answer)
{
    return answer->without_memory ? 0 : answer->count;
}

bool places_answer_is_long(const struct places_answer *answer)
{
    return answer->results.len > 0 || answer->attributions.len > 0;
}

size_t places_answer_bytes(const struct places_answer *answer)
{
    if (answer->shared != NULL)
        return 0;
    return sizeof *answer + answer->error.cap + answer->attributions.cap + answer->results.cap;
}

static void trim(struct herd_buf *buf)
{
    if (buf->len == 0) {
        herd_buf_free(buf);
        return;
    }
    char *data = buf->len < buf->cap ? realloc(buf->data, buf->len) : NULL;
    if (data == NULL)
        return;
    buf->data = data;
    buf->cap = buf->len;
}

void places_answer_trim(struct places_answer *answer)
{
    if (answer->shared != NULL || answer->references > 1 || answer->keepers > 0)
        return;
    trim(&answer->attributions);
    trim(&answer->results);
}

void places_answer_set_failure(struct places_answer *answer, struct places_failure failure)
{
    if (answer->shared == NULL)
        answer->failure = failure;
}

struct places_failure places_answer_failure(const struct places_answer *answer)
{
    return answer->failure;
}

static int lose_memory(struct places_answer *answer)
{
    if (answer->shared == NULL) {
        answer->without_memory = true;
        herd_buf_free(&answer->attributions);
        herd_buf_free(&answer->results);
    }
    return HERD_ENOMEM;
}

struct indenter {
    struct herd_buf *out;
    size_t len_max;
    bool is_too_long, without_memory;
};

/* jansson indents from the left margin; within an answer a result stands two levels deep. It
 * escapes the newlines in strings, so each newline here begins a line. */
static int on_json(const char *text, size_t len, void *arg)
{
    struct indenter *indenter = arg;
    struct herd_slice rest = herd_slice(text, len);
    while (rest.len > 0) {
        const char *newline = memchr(rest.data, '\n', rest.len);
        size_t before = newline != NULL ? (size_t)(newline - rest.data) : rest.len;
        if (indenter->out->len + before > indenter->len_max) {
            indenter->is_too_long = true;
            return -1;
        }
        int rc = herd_buf_append(indenter->out, rest.data, before);
        if (rc == 0 && newline != NULL)
            rc = herd_buf_append_text(indenter->out, element_indent);
        if (rc < 0) {
            indenter->without_memory = true;
            return -1;
        }
        size_t taken = before + (newline != NULL);
        rest = herd_slice(rest.data + taken, rest.len - taken);
    }
    return 0;
}

/* Appends `value` with its lines after the first indented. 0, HERD_ENOMEM or HERD_EINVAL (also when
 * it has more than `max_bytes`). jansson goes on where a name could not be said. */
static int append_json(struct herd_buf *out, const json_t *value, size_t flags, size_t max_bytes)
{
    struct indenter indenter = {.out = out, .len_max = out->len + max_bytes};
    int rc = json_dump_callback(value, on_json, &indenter, flags);
    if (indenter.without_memory)
        return HERD_ENOMEM;
    if (indenter.is_too_long)
        return HERD_EINVAL;
    /* Nothing is wrong with a string that jansson has made: then it had no memory itself. */
    if (rc < 0)
        return json_is_string(value) ? HERD_ENOMEM : HERD_EINVAL;
    return 0;
}

static json_t *string_of_ascii(const char *text)
{
    size_t len = strlen(text);
    char *ascii = malloc(len + 1);
    if (ascii == NULL)
        return NULL;
    for (size_t i = 0; i <= len; i++) {
        ascii[i] = text[i];
        if ((unsigned char)text[i] >= 0x80)
            ascii[i] = '?';
    }
    json_t *string = json_stringn(ascii, len);
    free(ascii);
    return string;
}

/* 0, HERD_ENOMEM, or HERD_EINVAL when it has more than `max_bytes`: then a part of it is there. */
static int append_text(struct herd_buf *out, const char *text, size_t max_bytes)
{
    json_t *string = utf8_is_valid(text, strlen(text)) ? json_string(text) : string_of_ascii(text);
    if (string == NULL)
        return HERD_ENOMEM;
    int rc = append_json(out, string, JSON_ENCODE_ANY, max_bytes);
    json_decref(string);
    return rc;
}

int places_answer_set_error(struct places_answer *answer, const char *message)
{
    if (answer->without_memory)
        return HERD_ENOMEM;
    herd_buf_free(&answer->error);
    return append_text(&answer->error, message, TEXT_MAX_BYTES) < 0 ? lose_memory(answer) : 0;
}

struct places_answer *places_answer_unknown(const char *message)
{
    struct places_answer *answer = places_answer_new(PLACES_UNKNOWN_ERROR);
    places_answer_set_error(answer, message);
    return answer;
}

static int begin_element(struct herd_buf *list)
{
    int rc = list->len > 0 ? herd_buf_append_text(list, ",") : 0;
    return rc < 0 ? rc : herd_buf_append_text(list, element_indent);
}

/* The end of adding an attribution that begins at `before` and came out as `rc`. */
static int end_attribution(struct places_answer *answer, size_t before, int rc)
{
    if (rc == HERD_ENOMEM)
        return lose_memory(answer);
    if (rc < 0)
        answer->attributions.len = before;
    return rc;
}

int places_answer_add_attribution(struct places_answer *answer, const char *html)
{
    if (answer->without_memory)
        return HERD_ENOMEM;
    if (html[0] == '\0')
        return 0;
    struct herd_buf *all = &answer->attributions;
    size_t before = all->len;
    int rc = begin_element(all);
    if (rc == 0 && all->len >= ATTRIBUTIONS_MAX_BYTES)
        rc = HERD_EINVAL;
    if (rc == 0)
        rc = append_text(all, html, ATTRIBUTIONS_MAX_BYTES - all->len);
    return end_attribution(answer, before, rc);
}

int places_answer_render_attribution(const char *html, struct herd_buf *out)
{
    return html[0] != '\0' ? append_text(out, html, ATTRIBUTIONS_MAX_BYTES) : 0;
}

int places_answer_add_rendered_attribution(struct places_answer *answer, struct herd_slice html)
{
    if (answer->without_memory)
        return HERD_ENOMEM;
    struct herd_buf *all = &answer->attributions;
    size_t before = all->len;
    int rc = begin_element(all);
    if (rc == 0 && all->len + html.len > ATTRIBUTIONS_MAX_BYTES)
        rc = HERD_EINVAL;
    if (rc == 0)
        rc = herd_buf_append_slice(all, html);
    return end_attribution(answer, before, rc);
}

/* The end of adding a result that begins at `before` in results and came out as `rc`. */
static int end_result(struct places_answer *answer, size_t before, int rc)
{
    if (rc == HERD_ENOMEM)
        return lose_memory(answer);
    if (rc < 0) {
        answer->results.len = before;
        return rc;
    }
    answer->ends[answer->count++] = answer->results.len;
    return 0;
}

int places_answer_append_result(struct places_answer *answer, places_append_cb *append, void *arg)
{
    if (answer->without_memory)
        return HERD_ENOMEM;
    if (answer->count == PLACES_RESULTS_MAX)
        return HERD_EFULL;
    size_t before = answer->results.len;
    int rc = begin_element(&answer->results);
    if (rc == 0)
        rc = append(arg, &answer->results);
    return end_result(answer, before, rc);
}

static int append_object(void *arg, struct herd_buf *out)
{
    return append_json(out, arg, RESULT_FLAGS, RESULT_MAX_BYTES);
}

int places_answer_add_result(struct places_answer *answer, const struct json_t *object)
{
    if (!answer->without_memory && !json_is_object(object))
        return HERD_EINVAL;
    return places_answer_append_result(answer, append_object, (void *)(uintptr_t)object);
}

static int append_rendered(void *arg, struct herd_buf *out)
{
    return herd_buf_append_slice(out, *(const struct herd_slice *)arg);
}

int places_answer_add_rendered(struct places_answer *answer, struct herd_slice object)
{
    return places_answer_append_result(answer, append_rendered, &object);
}

static struct herd_slice end_of_list(struct herd_slice elements)
{
    return herd_slice_of(elements.len > 0 ? "\n   ]" : "]");
}

enum { PARTS = 11 };

/* The answer's text in pieces; their length. */
static size_t lay_out(const struct places_answer *answer, size_t count,
                      struct herd_slice parts[PARTS])
{
    size_t shown = places_answer_count(answer) < count ? places_answer_count(answer) : count;
    struct herd_slice attributions = herd_buf_slice(&answer->attributions);
    struct herd_slice results = herd_buf_slice(&answer->results);
    struct herd_slice error = herd_buf_slice(&answer->error);
    results.len = shown > 0 ? answer->ends[shown - 1] : 0;
    if (answer->shared != NULL)
        error = herd_slice_of(answer->shared);
    else if (answer->without_memory)
        error = herd_slice_of(text_without_memory);
    const struct herd_slice all[PARTS] = {
        herd_slice_of("{\n   \"html_attributions\": ["),
        attributions,
        end_of_list(attributions),
        herd_slice_of(",\n   \"results\": ["),
        results,
        end_of_list(results),
        herd_slice_of(",\n   \"status\": \""),
        herd_slice_of(places_status_name(places_answer_status(answer))),
        herd_slice_of(error.len > 0 ? "\",\n   \"error_message\": " : "\""),
        error,
        herd_slice_of("\n}\n\n"),
    };
    size_t len = 0;
    for (size_t i = 0; i < PARTS; i++) {
        parts[i] = all[i];
        len += all[i].len;
    }
    return len;
}

size_t places_answer_length(const struct places_answer *answer, size_t count)
{
    struct herd_slice parts[PARTS];
    return lay_out(answer, count, parts);
}

int places_answer_render(const struct places_answer *answer, size_t count, struct herd_buf *out)
{
    struct herd_slice parts[PARTS];
    int rc = herd_buf_reserve(out, lay_out(answer, count, parts));
    for (size_t i = 0; rc == 0 && i < PARTS; i++)
        rc = herd_buf_append_slice(out, parts[i]);
    return rc;
}
