/* The node's effects that are not bytes: questions for places, and notices for the log. */
#include <herd/err.h>

#include "server/room.h"

/* When there is no memory for anything longer. */
static const char no_memory[] =
    "{\n   \"html_attributions\": [],\n   \"results\": [],\n   \"status\": "
    "\"UNKNOWN_ERROR\",\n   \"error_message\": \"out of memory\"\n}\n\n";

static int render(const void *data, unsigned count, struct herd_buf *out)
{
    int rc = places_answer_render(data, count, out);
    return rc < 0 ? herd_buf_append_text(out, no_memory) : 0;
}

static size_t length(const void *data, unsigned count)
{
    return places_answer_length(data, count);
}

static void let_go(void *data)
{
    places_answer_unref(data);
}

static void let_go_kept(void *data)
{
    places_answer_let_go(data);
}

static const struct herd_places_type places_type = {
    .render = render, .let_go = let_go, .length = length};
static const struct herd_places_type kept_type = {
    .render = render, .let_go = let_go_kept, .length = length};

static void on_places(void *arg, struct places_answer *take_answer)
{
    struct herd_places places = {.type = &places_type, .data = take_answer};
    herd_ask_answer(arg, net_now(), places);
}

/*
 * What waits for all clients together is bounded: as configured for who does not read, and twice as
 * much for who only waits for the answer to an earlier question, so that who does not read is the
 * first to be refused.
 */
static bool has_unread_room(const struct server *server, const struct herd_ask *ask, size_t bytes)
{
    size_t most = (size_t)server->config->values.places_unread_max_mib << 20;
    return server->unread_bytes + bytes <= (herd_ask_is_unread(ask) ? most : 2 * most);
}

/* Many answers may come in one turn, before the first of them has been handed to the socket, which
 * tells whether the client reads. Where that matters they are, all that it takes. */
static void try_to_send(struct server *server, struct herd_ask *ask, size_t bytes)
{
    size_t most = (size_t)server->config->values.places_unread_max_mib << 20;
    while (server->unread_bytes + bytes > most && herd_ask_try(ask))
        net_flush_early(server->net);
}

/* What is sent at once, has no results, or is kept for others anyway takes no more of it. */
static bool may_keep(struct server *server, struct herd_ask *ask,
                     const struct places_answer *answer)
{
    size_t bytes = places_answer_bytes(answer);
    if (herd_ask_has_room(ask) || !places_answer_is_long(answer) || places_answer_is_kept(answer))
        return true;
    try_to_send(server, ask, bytes);
    return herd_ask_has_room(ask) || has_unread_room(server, ask, bytes);
}

/* Whether places would be thrown away when they come, unless the client reads until then. */
static bool is_in_vain(const struct server *server, const struct herd_ask *ask)
{
    return herd_ask_is_unread(ask) && !herd_ask_has_room(ask) &&
           !has_unread_room(server, ask, PLACES_ANSWER_MAX_BYTES);
}

static struct places_answer *refuse(struct server *server, const struct herd_ask *ask)
{
    bool is_unread = herd_ask_is_unread(ask);
    metrics_add(&server->metrics,
                is_unread ? METRIC_places_refused_unread_total : METRIC_places_refused_behind_total,
                1);
    net_count_limit(server->net, is_unread ? LIMIT_UNREAD : LIMIT_BEHIND);
    return places_answer_error(is_unread ? PLACES_ERROR_UNREAD : PLACES_ERROR_BEHIND);
}

/* What waits takes, and counts as, what its texts need. */
static void trim_unless_sent(const struct herd_ask *ask, struct places_answer *answer)
{
    if (!herd_ask_has_room(ask))
        places_answer_trim(answer);
}

static void on_paid_places(void *arg, struct places_answer *take_answer)
{
    struct question question = *(struct question *)arg;
    struct server *server = question.server;
    blocks_keep(&server->questions, arg);
    trim_unless_sent(question.ask, take_answer);
    if (!may_keep(server, question.ask, take_answer)) {
        places_answer_unref(take_answer);
        take_answer = refuse(server, question.ask);
    }
    places_answer_keep(take_answer, &server->unread_bytes);
    struct herd_places places = {.type = &kept_type, .data = take_answer};
    herd_ask_answer(question.ask, net_now(), places);
}

static int ask_paid(struct server *server, const struct places_query *query,
                    const struct herd_effect *effect)
{
    if (is_in_vain(server, effect->ask)) {
        on_places(effect->ask, refuse(server, effect->ask));
        return 0;
    }
    struct question *question = blocks_take(&server->questions);
    if (question == NULL)
        return HERD_ENOMEM;
    *question = (struct question){server, effect->ask};
    int rc = places_ask(server->places, query, (uint64_t)(uintptr_t)effect->conn, on_paid_places,
                        question);
    if (rc < 0)
        blocks_keep(&server->questions, question);
    return rc;
}

/* Of a question that costs nothing. */
static void on_free_places(void *arg, struct places_answer *take_answer)
{
    trim_unless_sent(arg, take_answer);
    struct herd_places places = {
        .type = &places_type, .data = take_answer, .bytes = places_answer_bytes(take_answer)};
    herd_ask_answer(arg, net_now(), places);
}

static void answer_failure(struct herd_ask *ask, int rc)
{
    if (rc == HERD_EBUSY) {
        on_places(ask, places_answer_error(PLACES_ERROR_QUESTIONS));
        return;
    }
    on_places(ask, places_answer_unknown(herd_strerror(rc)));
}

static void ask_places(struct server *server, const struct herd_effect *effect)
{
    const struct places_query query = {effect->where.latitude, effect->where.longitude,
                                       effect->radius_m};
    int rc = places_is_paid(server->places)
                 ? ask_paid(server, &query, effect)
                 : places_ask(server->places, &query, (uint64_t)(uintptr_t)effect->conn,
                              on_free_places, effect->ask);
    if (rc < 0)
        answer_failure(effect->ask, rc);
}

/* Nobody can tell the answers to a question for no places apart, so it costs no call. */
static void answer_none(struct herd_ask *ask)
{
    on_places(ask, places_answer_none(true));
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
    bool has_count = notice->kind == HERD_NOTICE_HELLO_REFUSED;
    if (notice->reason[0] != '\0')
        LOG(server->log, level, "link", text, log_text("peer", notice->peer),
            log_text("reason", notice->reason),
            log_int(has_count ? "count" : NULL, (int64_t)notice->sequence));
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
        answer_none(effect->ask);
    else
        ask_places(server, effect);
}
