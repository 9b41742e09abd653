/* The node's effects that are not bytes: questions for places, and notices for the log. */
#include <stdlib.h>

#include <herd/err.h>

#include "server/room.h"

/* An ask on its way through the broker. */
struct request {
    struct server *server;
    struct herd_ask *ask;
    unsigned count;
};

/* In an ask's place when there is no memory for anything else. */
static const char no_memory[] =
    "{\n   \"html_attributions\": [],\n   \"results\": [],\n   \"status\": "
    "\"UNKNOWN_ERROR\",\n   \"error_message\": \"out of memory\"\n}\n\n";

static void answer(struct server *server, struct herd_ask *ask, unsigned count,
                   const struct places_answer *places)
{
    struct herd_slice json = herd_slice_of(no_memory);
    server->json.len = 0;
    if (places != NULL && places_answer_render(places, count, &server->json) == 0)
        json = herd_buf_slice(&server->json);
    herd_ask_answer(ask, net_now(), json);
}

static void on_places(void *arg, struct places_answer *take_answer)
{
    struct request *request = arg;
    answer(request->server, request->ask, request->count, take_answer);
    places_answer_unref(take_answer);
    free(request);
}

static void answer_failure(struct server *server, struct herd_ask *ask, int rc)
{
    bool is_busy = rc == HERD_EBUSY;
    struct places_answer *failure =
        places_answer_new(is_busy ? PLACES_OVER_QUERY_LIMIT : PLACES_UNKNOWN_ERROR);
    places_answer_set_error(failure, is_busy ? "too many questions are waiting for places"
                                             : herd_strerror(rc));
    answer(server, ask, 0, failure);
    places_answer_unref(failure);
}

static void ask_places(struct server *server, const struct herd_effect *effect)
{
    const struct places_query query = {effect->where.latitude, effect->where.longitude,
                                       effect->radius_m};
    struct request *request = malloc(sizeof(*request));
    int rc = HERD_ENOMEM;
    if (request != NULL) {
        *request = (struct request){server, effect->ask, effect->count};
        rc = places_ask(server->places, &query, (uint64_t)(uintptr_t)effect->conn, on_places,
                        request);
        if (rc == 0)
            return;
        free(request);
    }
    answer_failure(server, effect->ask, rc);
}

/* Nobody can tell the answers to a question for no places apart, so it costs no call. */
static void answer_none(struct server *server, struct herd_ask *ask)
{
    struct places_answer *none = places_answer_new(PLACES_OK);
    answer(server, ask, 0, none);
    places_answer_unref(none);
}

static const struct {
    enum log_level level;
    const char *text;
} notices[] = {
    [HERD_NOTICE_LINK_UP] = {LOG_INFO, "up"},
    [HERD_NOTICE_LINK_PLAIN] = {LOG_INFO, "up, plain: the neighbour does not know HELLO"},
    [HERD_NOTICE_LINK_DOWN] = {LOG_INFO, "down"},
    [HERD_NOTICE_LINK_FAILED] = {LOG_INFO, "the neighbour cannot be reached; trying on"},
    [HERD_NOTICE_LINK_REFUSED] = {LOG_ERROR, "the neighbour refused"},
    [HERD_NOTICE_HELLO] = {LOG_INFO, "dialled by the neighbour"},
    [HERD_NOTICE_CLOCKS_DIFFER] = {LOG_ERROR, "the neighbour's clock differs"},
    [HERD_NOTICE_DISK_FAILED] = {LOG_ERROR, NULL}, /* durable knows which file, and why */
    [HERD_NOTICE_DISK_WORKS] = {LOG_INFO, NULL},
    [HERD_NOTICE_HELLO_REFUSED] = {LOG_ERROR, "a neighbour was refused"},
};

static void log_notice(const struct server *server, const struct herd_notice *notice)
{
    enum log_level level = notices[notice->kind].level;
    const char *text = notices[notice->kind].text;
    if (text == NULL)
        return;
    if (notice->reason[0] != '\0')
        LOG(server->log, level, "link", text, log_text("peer", notice->peer),
            log_text("reason", notice->reason));
    else
        LOG(server->log, level, "link", text, log_text("peer", notice->peer),
            log_hex("epoch", notice->epoch), log_int("sequence", (int64_t)notice->sequence));
}

void server_effect(void *arg, const struct herd_effect *effect)
{
    struct server *server = arg;
    if (effect->kind == HERD_EFFECT_NOTICE)
        log_notice(server, &effect->notice);
    else if (effect->kind == HERD_EFFECT_PERSIST)
        storage_write(server, effect->batch);
    else if (effect->count == 0)
        answer_none(server, effect->ask);
    else
        ask_places(server, effect);
}
