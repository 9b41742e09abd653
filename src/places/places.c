/*
 * places_ask -> (the provider is local) ask it -> on_direct -> done
 *            -> (it is remote) broker_ask -> on_pump: effects -> call -> on_called -> broker_called
 *               -> on_pump -> answer -> done
 *
 * Effects are carried out in a later turn of the loop (an idle handle runs while there may be any),
 * so `done` never runs inside the call that asked. A provider is held by a desk; after a reload the
 * old desk stays until its last call has come back.
 */
#include "places/places.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include <uv.h>

#include <herd/err.h>

#include "base/log.h"
#include "base/metrics.h"
#include "places/broker_limits.h"
#include "places/ledger.h"

enum { DAY_S = 24 * 60 * 60, PRICE_CALLS = 1000 };
enum { TURN_NS = 500000 }; /* for answers in a turn: a call may have tens of thousands of askers */

/* Questions to a provider without a broker; one more is refused. pipeline_max bounds a client's. */
enum { LOCAL_QUESTIONS_MAX = 100000 };

struct desk {
    struct places *places;
    struct provider *provider;
    char *identity;  /* provider_identity */
    char *data_file; /* that it was opened with */
    int64_t calls;   /* under way */
    bool is_retired; /* closes with the last of them */
    bool is_closing;
};

struct places {
    uv_loop_t *loop;
    struct log *log;
    struct metrics *metrics;
    struct broker *broker;
    struct ledger *ledger;
    struct desk *desk;
    struct desk *fallback; /* or NULL */
    int desks;             /* that are not closed, retired ones too */
    int64_t price_per_thousand;
    bool is_down, is_unwritten; /* as the log has it */
    uv_idle_t pump;
    uv_timer_t timer; /* the broker's next tick */
    int handles;      /* still open */
    bool is_closing;
    bool is_failed; /* to open: it goes with the last desk */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* A question, or a call, on its way through a provider. */
struct errand {
    struct desk *desk;
    struct broker_call *call; /* of the broker's; or NULL, then: */
    places_done_cb *done;
    void *arg;
    struct places_answer *instead; /* what is given when the fallback fails too, or NULL */
    struct places_call *places_call;
};

/* Who asked the broker. */
struct asker {
    places_done_cb *done;
    void *arg;
};

static void on_pump(uv_idle_t *idle);
static void finish_closing(struct places *places);

static struct broker_now now_of(const struct places *places)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    return (struct broker_now){(int64_t)uv_now(places->loop), (int64_t)wall.tv_sec / DAY_S};
}

static void pump_soon(struct places *places)
{
    uv_idle_start(&places->pump, on_pump);
}

/* ---- Desks ---------------------------------------------------------------------------------- */

static void free_desk(struct desk *desk)
{
    free(desk->identity);
    free(desk->data_file);
    free(desk);
}

static void on_desk_closed(void *arg)
{
    struct desk *desk = arg;
    struct places *places = desk->places;
    assert(desk->calls == 0);
    free_desk(desk);
    places->desks--;
    if (places->is_failed && places->desks == 0)
        free(places);
    else
        finish_closing(places);
}

static void close_desk(struct desk *desk)
{
    if (desk->is_closing)
        return;
    desk->is_closing = true;
    desk->provider->type->close(desk->provider, on_desk_closed, desk);
}

static void retire(struct desk *desk)
{
    if (desk == NULL)
        return;
    desk->is_retired = true;
    if (desk->calls == 0)
        close_desk(desk);
}

static struct places_options options_of(const struct places *places,
                                        const struct provider_type *type,
                                        const struct config_values *values)
{
    return (struct places_options){
        .loop = places->loop,
        .log = places->log,
        .metrics = places->metrics,
        .base_url = values->places_base_url,
        .key_file = values->places_key_file,
        .ca_file = values->places_ca_file,
        .data_file = values->places_data_file,
        .language = values->places_language,
        .price_class = values->places_price_class,
        .field_mask = values->places_field_mask,
        .memory_max_bytes = values->places_memory_max_mib << 20,
        .connect_timeout_ms = values->places_connect_timeout_ms,
        .total_timeout_ms = values->places_total_timeout_ms,
        .body_max_bytes = values->places_body_max_kib << 10,
        .json_depth_max = values->places_json_depth_max,
        .calls_max = type->is_remote ? values->places_calls_max : LOCAL_QUESTIONS_MAX,
    };
}

static int open_desk(struct places *places, const struct provider_type *type,
                     const struct config_values *values, struct desk **out, struct herd_buf *error)
{
    const struct places_options options = options_of(places, type, values);
    struct desk *desk = malloc(sizeof *desk);
    if (desk == NULL)
        return HERD_ENOMEM;
    *desk = (struct desk){.places = places,
                          .identity = provider_identity(type, &options),
                          .data_file = strdup(values->places_data_file)};
    int rc = HERD_ENOMEM;
    if (desk->identity != NULL && desk->data_file != NULL)
        rc = type->open(&options, &desk->provider, error);
    if (rc < 0) {
        free_desk(desk);
        return rc;
    }
    places->desks++;
    *out = desk;
    return 0;
}

/* ---- Questions that need no broker: to a provider that costs nothing ------------------------ */

static void leave(struct desk *desk)
{
    if (--desk->calls == 0 && desk->is_retired)
        close_desk(desk);
}

static void on_direct(void *arg, struct places_answer *take_answer)
{
    struct errand errand = *(struct errand *)arg;
    enum places_status status = places_answer_status(take_answer);
    bool has_failed = status != PLACES_OK && status != PLACES_ZERO_RESULTS;
    free(arg);
    metrics_add(errand.desk->places->metrics, METRIC_places_local_total, 1);
    if (errand.instead != NULL && has_failed) {
        places_answer_unref(take_answer);
        take_answer = errand.instead;
    } else {
        places_answer_unref(errand.instead);
    }
    errand.done(errand.arg, take_answer);
    leave(errand.desk);
}

/* `within_ms`: of what the provider gives itself; INT64_MAX: all of it. */
static int ask_directly(struct desk *desk, const struct places_query *query, places_done_cb *done,
                        void *arg, struct places_answer *instead, int64_t within_ms)
{
    struct errand *errand = malloc(sizeof *errand);
    if (errand == NULL)
        return HERD_ENOMEM;
    *errand = (struct errand){.desk = desk, .done = done, .arg = arg, .instead = instead};
    int rc =
        desk->provider->type->ask(desk->provider, query, on_direct, errand, &errand->places_call);
    metrics_add(desk->places->metrics, METRIC_places_refused_total, rc == HERD_EBUSY);
    if (rc < 0) {
        free(errand);
        return rc;
    }
    desk->calls++;
    if (within_ms < INT64_MAX)
        desk->provider->type->limit(errand->places_call, within_ms);
    return 0;
}

/* ---- The broker's effects ------------------------------------------------------------------- */

static void on_called(void *arg, struct places_answer *take_answer)
{
    struct errand *errand = arg;
    struct desk *desk = errand->desk;
    struct places *places = desk->places;
    broker_called(places->broker, now_of(places), errand->call, take_answer);
    free(errand);
    leave(desk);
    pump_soon(places);
}

static void call(struct places *places, const struct broker_effect *effect)
{
    struct desk *desk = places->desk;
    struct errand *errand = malloc(sizeof *errand);
    int rc = HERD_ENOMEM;
    if (errand != NULL) {
        *errand = (struct errand){.desk = desk, .call = effect->call};
        broker_call_set_data(effect->call, errand);
        rc = desk->provider->type->ask(desk->provider, &effect->query, on_called, errand,
                                       &errand->places_call);
    }
    if (rc == 0) {
        desk->calls++;
        return;
    }
    free(errand);
    struct places_answer *answer =
        places_answer_new(rc == HERD_EINVAL ? PLACES_INVALID_REQUEST : PLACES_UNKNOWN_ERROR);
    places_answer_set_error(answer, herd_strerror(rc));
    broker_called(places->broker, now_of(places), effect->call, answer);
}

static void cancel(struct places *places, const struct broker_effect *effect)
{
    struct errand *errand = broker_call_data(effect->call);
    (void)places;
    errand->desk->provider->type->cancel(errand->places_call);
}

static void answer(struct places *places, const struct broker_effect *effect)
{
    struct asker asker = *(struct asker *)effect->asker;
    (void)places;
    free(effect->asker);
    asker.done(asker.arg, effect->answer);
}

static void fall_back(struct places *places, const struct broker_effect *effect)
{
    struct asker asker = *(struct asker *)effect->asker;
    int64_t left_ms = effect->until_ms - (int64_t)uv_now(places->loop);
    free(effect->asker);
    if (places->fallback == NULL || places->is_closing ||
        ask_directly(places->fallback, &effect->query, asker.done, asker.arg, effect->answer,
                     left_ms > 0 ? left_ms : 0) < 0)
        asker.done(asker.arg, effect->answer);
}

static void on_written(void *arg, const struct allowance_record *record, const char *error)
{
    struct places *places = arg;
    if (error != NULL && !places->is_unwritten)
        LOG(places->log, LOG_ERROR, "places", "the calls of the day cannot be written down",
            log_text("reason", error));
    if (error == NULL && places->is_unwritten)
        LOG(places->log, LOG_INFO, "places", "the calls of the day can be written down again");
    places->is_unwritten = error != NULL;
    broker_reserved(places->broker, now_of(places), record, error == NULL);
    pump_soon(places);
}

static void reserve(struct places *places, const struct broker_effect *effect)
{
    if (ledger_write(places->ledger, &effect->record) < 0)
        broker_reserved(places->broker, now_of(places), &effect->record, false);
}

/* Says when trouble begins and ends; the provider itself says which. */
static void note(struct places *places, const struct broker_effect *effect)
{
    static const struct {
        enum log_level level;
        const char *text;
        const char *key; /* of the number; NULL: it has none */
    } notices[BROKER_NOTICE_COUNT] = {
        [BROKER_NOTICE_OPENED] = {LOG_WARNING, "the provider is down: left alone, then tried again",
                                  "for_ms"},
        [BROKER_NOTICE_MENDED] = {LOG_INFO, "the provider is back", NULL},
        [BROKER_NOTICE_PAUSED] = {LOG_WARNING, "the provider was asked too much: left alone",
                                  "for_ms"},
        [BROKER_NOTICE_REFUSED] = {LOG_ERROR,
                                   "the provider refuses the key: not asked again until "
                                   "a reload (SIGHUP)",
                                   NULL},
        [BROKER_NOTICE_USED_UP] = {LOG_WARNING, "the calls of the day are used up",
                                   "calls_per_day"},
        [BROKER_NOTICE_UNWRITTEN] = {LOG_ERROR, "no call without writing it down first", NULL},
    };
    enum log_level level = notices[effect->notice].level;
    if (effect->notice == BROKER_NOTICE_OPENED && places->is_down)
        level = LOG_DEBUG; /* each probe of a long outage */
    if (effect->notice == BROKER_NOTICE_OPENED || effect->notice == BROKER_NOTICE_MENDED)
        places->is_down = effect->notice == BROKER_NOTICE_OPENED;
    LOG(places->log, level, "places", notices[effect->notice].text,
        log_int(notices[effect->notice].key, effect->number));
}

void places_measure(struct places *places)
{
    broker_measure(places->broker, now_of(places));
    int64_t calls = places->metrics->value[METRIC_places_calls_today];
    metrics_set(places->metrics, METRIC_places_cost_today,
                calls * places->price_per_thousand / PRICE_CALLS);
}

/* Until `end_ns` of the clock. True: there may be more. */
static bool carry_out(struct places *places, uint64_t end_ns)
{
    static void (*const actions[])(struct places *, const struct broker_effect *) = {
        [BROKER_CALL] = call,          [BROKER_CANCEL] = cancel,   [BROKER_ANSWER] = answer,
        [BROKER_FALLBACK] = fall_back, [BROKER_RESERVE] = reserve, [BROKER_NOTE] = note,
    };
    struct broker_effect effect;
    bool is_more;
    while ((is_more = broker_effect(places->broker, &effect))) {
        actions[effect.kind](places, &effect);
        if (uv_hrtime() >= end_ns)
            break;
    }
    places_measure(places);
    return is_more;
}

static void on_timer(uv_timer_t *timer)
{
    struct places *places = timer->data;
    broker_tick(places->broker, now_of(places));
    pump_soon(places);
}

static void on_pump(uv_idle_t *idle)
{
    struct places *places = idle->data;
    uv_idle_stop(idle);
    if (carry_out(places, uv_hrtime() + TURN_NS))
        pump_soon(places);
    int64_t at_ms = broker_wakeup(places->broker), now_ms = (int64_t)uv_now(places->loop);
    if (at_ms == INT64_MAX)
        uv_timer_stop(&places->timer);
    else
        uv_timer_start(&places->timer, on_timer, at_ms > now_ms ? (uint64_t)(at_ms - now_ms) : 0,
                       0);
    finish_closing(places);
}

int places_ask(struct places *places, const struct places_query *query, uint64_t client,
               places_done_cb *done, void *arg)
{
    assert(!places->is_closing);
    if (!places->desk->provider->type->is_remote)
        return ask_directly(places->desk, query, done, arg, NULL, INT64_MAX);
    struct asker *asker = malloc(sizeof *asker);
    if (asker == NULL)
        return HERD_ENOMEM;
    *asker = (struct asker){done, arg};
    int rc = broker_ask(places->broker, now_of(places), query, client, asker);
    if (rc < 0)
        free(asker);
    else
        pump_soon(places);
    return rc;
}

/* ---- Opening and reloading ------------------------------------------------------------------ */

/* Whether a desk is already what the values name: of a provider that looks at its file itself. */
static bool is_as_named(const struct desk *desk, const struct provider_type *type,
                        const struct config_values *values)
{
    return desk != NULL && desk->provider->type == type && type->refresh != NULL &&
           strcmp(desk->data_file, values->places_data_file) == 0;
}

/* A desk for the type: one of the two that are there, or a new one. */
static int find_desk(struct places *places, const struct provider_type *type,
                     const struct config_values *values, struct desk **out, struct herd_buf *error)
{
    struct desk *const there[] = {places->desk, places->fallback};
    for (size_t i = 0; i < 2; i++) {
        if (!is_as_named(there[i], type, values))
            continue;
        const struct places_options options = options_of(places, type, values);
        type->refresh(there[i]->provider, &options);
        *out = there[i];
        return 0;
    }
    return open_desk(places, type, values, out, error);
}

/* The desks that the values name; *fallback is NULL without one. */
static int find_desks(struct places *places, const struct config_values *values, struct desk **desk,
                      struct desk **fallback, struct herd_buf *error)
{
    const struct provider_type *type = provider_find(values->places_provider);
    const struct provider_type *other = provider_find(values->places_fallback);
    assert(type != NULL); /* config_load knows the names */
    *fallback = NULL;
    int rc = find_desk(places, type, values, desk, error);
    if (rc < 0 || !type->is_remote || other == NULL)
        return rc;
    size_t before = error->len;
    rc = find_desk(places, other, values, fallback, error);
    if (rc < 0) {
        if (error->len == before)
            herd_buf_append_text(error, herd_strerror(rc));
        if (*desk != places->desk && *desk != places->fallback)
            retire(*desk);
    }
    return rc;
}

static void set_price(struct places *places, const struct config_values *values)
{
    bool is_billed = places->desk->provider->type->is_billed;
    places->price_per_thousand = is_billed ? values->places_price_per_thousand : 0;
}

int places_reload(struct places *places, const struct config_values *values, struct herd_buf *error)
{
    struct desk *desk, *fallback;
    int rc = find_desks(places, values, &desk, &fallback, error);
    if (rc < 0)
        return rc;
    bool is_other = strcmp(places->desk->identity, desk->identity) != 0;
    const struct broker_limits limits = broker_limits_of(values, desk->provider->type);
    struct desk *const there[] = {places->desk, places->fallback};
    for (size_t i = 0; i < 2; i++) {
        if (there[i] != desk && there[i] != fallback)
            retire(there[i]);
    }
    places->desk = desk;
    places->fallback = fallback;
    set_price(places, values);
    broker_configure(places->broker, &limits, is_other);
    pump_soon(places);
    return 0;
}

static void warn_of_no_folder(const struct places *places, const struct config_values *values,
                              const char *folder)
{
    if (folder[0] == '\0' && places->desk->provider->type->is_remote &&
        values->places_calls_per_day > 0)
        LOG(places->log, LOG_WARNING, "places",
            "without data_dir a restart forgets the calls of the day",
            log_int("calls_per_day", values->places_calls_per_day));
}

static int open_parts(struct places *places, const struct places_setup *setup,
                      struct herd_buf *error)
{
    struct allowance_record record;
    const struct provider_type *type = provider_find(setup->values->places_provider);
    const struct broker_limits limits = broker_limits_of(setup->values, type);
    int rc = broker_new(&limits, setup->seed, setup->metrics, &places->broker);
    if (rc == 0)
        rc = ledger_open(setup->loop, setup->folder, on_written, places, &places->ledger, &record,
                         error);
    if (rc < 0)
        return rc;
    broker_load(places->broker, &record);
    return find_desks(places, setup->values, &places->desk, &places->fallback, error);
}

static void on_nothing(void *arg)
{
    (void)arg;
}

static void undo(struct places *places)
{
    if (places->ledger != NULL)
        ledger_close(places->ledger, NULL, on_nothing, NULL);
    if (places->broker != NULL)
        broker_free(places->broker);
}

int places_open(const struct places_setup *setup, struct places **out, struct herd_buf *error)
{
    struct places *places = calloc(1, sizeof *places);
    if (places == NULL)
        return HERD_ENOMEM;
    places->loop = setup->loop;
    places->log = setup->log;
    places->metrics = setup->metrics;
    int rc = open_parts(places, setup, error);
    if (rc < 0) {
        undo(places);
        if (error->len == 0)
            herd_buf_printf(error, "places: %s", herd_strerror(rc));
        places->is_failed = true;
        if (places->desks == 0)
            free(places);
        return rc;
    }
    set_price(places, setup->values);
    warn_of_no_folder(places, setup->values, setup->folder);
    uv_idle_init(places->loop, &places->pump);
    uv_timer_init(places->loop, &places->timer);
    places->pump.data = places->timer.data = places;
    places->handles = 2;
    *out = places;
    return 0;
}

/* ---- Closing -------------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct places *places = handle->data;
    if (--places->handles > 0)
        return;
    void (*closed)(void *arg) = places->closed;
    void *arg = places->closed_arg;
    broker_free(places->broker);
    free(places);
    if (closed != NULL)
        closed(arg);
}

static void on_ledger_closed(void *arg)
{
    struct places *places = arg;
    uv_close((uv_handle_t *)&places->pump, on_handle_closed);
    uv_close((uv_handle_t *)&places->timer, on_handle_closed);
}

/* Every call has come back: what was used is known. */
static void finish_closing(struct places *places)
{
    if (!places->is_closing || places->desks > 0 || places->ledger == NULL)
        return;
    struct allowance_record record;
    carry_out(places, UINT64_MAX);
    bool has_record = broker_final(places->broker, &record);
    ledger_close(places->ledger, has_record ? &record : NULL, on_ledger_closed, places);
    places->ledger = NULL;
}

static void hurry_desk(const struct desk *desk, int64_t within_ms)
{
    if (desk != NULL && desk->provider->type->hurry != NULL)
        desk->provider->type->hurry(desk->provider, within_ms);
}

void places_hurry(struct places *places, int64_t within_ms, int64_t fallback_ms)
{
    broker_hurry(places->broker, (int64_t)uv_now(places->loop) + within_ms);
    hurry_desk(places->desk, within_ms);
    hurry_desk(places->fallback, within_ms + fallback_ms);
    pump_soon(places);
}

void places_close(struct places *places, void (*closed)(void *arg), void *arg)
{
    places->is_closing = true;
    places->closed = closed;
    places->closed_arg = arg;
    broker_stop(places->broker);
    pump_soon(places);
    close_desk(places->desk);
    if (places->fallback != NULL)
        close_desk(places->fallback);
}
