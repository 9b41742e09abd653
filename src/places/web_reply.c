#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "places/web_reply.h"

/* Ends `text` after at most `len` bytes, not within a UTF-8 sequence. */
static void cut(char *text, size_t len)
{
    if (strlen(text) <= len)
        return;
    while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    text[len] = '\0';
}

void web_reply_fail(struct web_reply *reply, enum places_status status, const char *message)
{
    reply->status = status;
    reply->is_quoted = true;
    size_t len = strnlen(message, WEB_MESSAGE_RAW_MAX);
    memcpy(reply->message, message, len);
    reply->message[len] = '\0';
}

void web_reply_fail_because(struct web_reply *reply, enum places_status status, const char *why)
{
    reply->status = status;
    reply->is_quoted = false;
    snprintf(reply->message, sizeof reply->message, "The places provider failed: %s", why);
}

void web_reply_fail_malformed(struct web_reply *reply, const char *why)
{
    web_reply_fail_because(reply, PLACES_UNKNOWN_ERROR, why);
    reply->failure.is_final = true;
}

enum places_status web_status_of_http(int http_status)
{
    static const struct {
        int http_status;
        enum places_status status;
    } table[] = {
        {400, PLACES_INVALID_REQUEST},
        {401, PLACES_REQUEST_DENIED},
        {403, PLACES_REQUEST_DENIED},
        {429, PLACES_OVER_QUERY_LIMIT},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].http_status == http_status)
            return table[i].status;
    }
    return PLACES_UNKNOWN_ERROR;
}

void web_reply_fail_http(struct web_reply *reply, int http_status)
{
    char why[32];
    snprintf(why, sizeof why, "HTTP %d", http_status);
    web_reply_fail_because(reply, web_status_of_http(http_status), why);
}

void web_reply_places(struct web_reply *reply, const struct json_t *results)
{
    if (results == NULL) {
        web_reply_fail_because(reply, PLACES_UNKNOWN_ERROR, "out of memory");
        return;
    }
    reply->status = json_array_size(results) > 0 ? PLACES_OK : PLACES_ZERO_RESULTS;
    reply->answer = places_answer_new(reply->status);
    for (size_t i = 0; i < json_array_size(results) && i < PLACES_RESULTS_MAX; i++)
        places_answer_add_result(reply->answer, json_array_get(results, i));
}

struct places_answer *web_reply_finish(struct web_reply *reply, const struct web_key *key)
{
    web_key_hide(key, reply->message);
    cut(reply->message, WEB_MESSAGE_MAX);
    if (reply->answer == NULL) {
        reply->answer = places_answer_new(reply->status);
        places_answer_set_error(reply->answer, reply->message);
        places_answer_set_failure(reply->answer, reply->failure);
    }
    return reply->answer;
}
