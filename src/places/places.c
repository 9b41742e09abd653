/*
 * places_ask -> (the provider is local) ask it -> on_direct -> done
 *            -> (it is remote) broker_ask -> on_pump: effects -> call -> on_called -> broker_called
 *               -> on_pump -> answer -> done
 *
 * Effects are carried out in a later turn of the loop (an idle handle runs while there may be any),
 * so `done` never runs inside the call that asked. A provider is held by a desk; after a reload the
 * old desk stays until its last call has come back.
 *
 * places_reload -> (the desks of the plan are open, or on_desk_opened) -> adopt
 */
#include "places/places.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include <uv.h>

#include <herd/err.h>

#include "base/blocks.h"
#include "base/log.h"
#include "base/metrics.h"
#include "places/broker_limits.h"
#include "places/desk.h"
#include "places/ledger.h"

enum { DAY_S = 24 * 60 * 60, PRICE_CALLS = 1000 };
enum { TURN_NS = 500000 }; /* for answers in a turn: a call may have tens of thousands of askers */

/* What a reload is to bring. `desk` NULL: nothing. */
struct plan {
    struct desk *desk, *fallback;
    struct broker_limits limits;
    int64_t price_per_thousand;
};

struct places {
    uv_loop_t *loop;
    struct log *log;
    struct metrics *metrics;
    void (*limited)(void *arg, enum places_limit limit); /* or NULL */
    void *limited_arg;
    struct broker *broker;
    struct ledger *ledger;
    struct desk *desk;
    struct desk *fallback; /* or NULL */
    struct plan plan;      /* some desk of it is opening */
    struct desk_owner owner;
    int desks; /* that are not closed, retired ones too */
    int64_t price_per_thousand;
    struct blocks errands, askers; /* spare ones */
    bool is_down, is_unwritten;    /* as the log has it */
    uv_idle_t pump;
    uv_timer_t timer; /* the broker's next tick */
    int handles;      /* still open */
    bool is_open;     /* the loop may run: nothing waits for a disk */
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

static void tell_limit(const struct places *places, enum places_limit limit)
{
    if (limit != PLACES_LIMIT_NONE && places->limited != NULL)
        places->limited(places->limited_arg, limit);
}

/* ---- Desks ---------------------------------------------------------------------------------- */

static void on_desk_closed(struct places *places)
{
    places->desks--;
    if (places->is_failed && places->desks == 0)
        free(places);
    else
        finish_closing(places);
}

/* ---- Questions that need no broker: to a provider that costs nothing ------------------------ */

static void on_direct(void *arg, struct places_answer *take_answer)
{
    struct errand errand = *(struct errand *)arg;
    enum places_status status = places_answer_status(take_answer);
    bool has_failed = status != PLACES_OK && status != PLACES_ZERO_RESULTS;
    struct places *places = errand.desk->places;
    blocks_keep(&places->errands, arg);
    metrics_add(places->metrics, METRIC_places_local_total, 1);
    if (errand.instead != NULL && has_failed) {
        places_answer_unref(take_answer);
        take_answer = errand.instead;
    } else {
        places_answer_unref(errand.instead);
    }
    errand.done(errand.arg, take_answer);
    desk_leave(errand.desk);
}

/* `within_ms`: of what the provider gives itself; INT64_MAX: all of it. */
static int ask_directly(struct desk *desk, const struct places_query *query, places_done_cb *done,
                        void *arg, struct places_answer *instead, int64_t within_ms)
{
    struct errand *errand = blocks_take(&desk->places->errands);
    if (errand == NULL)
        return HERD_ENOMEM;
    *errand = (struct errand){.desk = desk, .done = done, .arg = arg, .instead = instead};
    int rc =
        desk->provider->type->ask(desk->provider, query, on_direct, errand, &errand->places_call);
    if (rc == HERD_EBUSY) {
        metrics_add(desk->places->metrics, METRIC_places_refused_total, 1);
        tell_limit(desk->places, PLACES_LIMIT_LOCAL);
    }
    if (rc < 0) {
        blocks_keep(&desk->places->errands, errand);
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
    blocks_keep(&places->errands, errand);
    desk_leave(desk);
    pump_soon(places);
}

static void call(struct places *places, const struct broker_effect *effect)
{
    struct desk *desk = places->desk;
    struct errand *errand = blocks_take(&places->errands);
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
    blocks_keep(&places->errands, errand);
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
    tell_limit(places, effect->limit);
    blocks_keep(&places->askers, effect->asker);
    asker.done(asker.arg, effect->answer);
}

static void fall_back(struct places *places, const struct broker_effect *effect)
{
    struct asker asker = *(struct asker *)effect->asker;
    int64_t left_ms = effect->until_ms - (int64_t)uv_now(places->loop);
    tell_limit(places, effect->limit);
    blocks_keep(&places->askers, effect->asker);
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

size_t places_give_back(struct places *places, size_t *kept_bytes)
{
    if (places->is_closing)
        return 0;
    return blocks_give_back(&places->errands, kept_bytes) +
           blocks_give_back(&places->askers, kept_bytes) +
           desk_give_back(places->desk, kept_bytes) + desk_give_back(places->fallback, kept_bytes);
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
    if (!places_is_paid(places))
        return ask_directly(places->desk, query, done, arg, NULL, INT64_MAX);
    struct asker *asker = blocks_take(&places->askers);
    if (asker == NULL)
        return HERD_ENOMEM;
    *asker = (struct asker){done, arg};
    int rc = broker_ask(places->broker, now_of(places), query, client, asker);
    if (rc < 0)
        blocks_keep(&places->askers, asker);
    else
        pump_soon(places);
    return rc;
}

bool places_is_paid(const struct places *places)
{
    return places->desk->provider->type->is_remote;
}

/* ---- Opening and reloading ------------------------------------------------------------------ */

/* A desk for the type: one that is there, or a new one. */
static int find_desk(struct places *places, const struct provider_type *type,
                     const struct config_values *values, struct desk **out, struct herd_buf *error)
{
    struct desk *const there[] = {places->desk, places->fallback, places->plan.desk,
                                  places->plan.fallback};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) {
        if (!desk_is_as_named(there[i], type, values))
            continue;
        desk_refresh(there[i], values);
        *out = there[i];
        return 0;
    }
    int rc = desk_open(&places->owner, type, values, places->is_open, out, error);
    places->desks += rc == 0;
    return rc;
}

/* One that is neither asked nor planned is not kept. */
static void retire_unless_used(struct places *places, struct desk *desk)
{
    if (desk != places->desk && desk != places->fallback && desk != places->plan.desk &&
        desk != places->plan.fallback)
        desk_retire(desk);
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
        /* At the start `desk` is where the one in service stands. */
        struct desk *const unused = *desk;
        if (!places->is_open)
            *desk = NULL;
        retire_unless_used(places, unused);
    }
    return rc;
}

static int64_t price_of(const struct desk *desk, const struct config_values *values)
{
    return desk->provider->type->is_billed ? values->places_price_per_thousand : 0;
}

static void drop(struct places *places)
{
    const struct plan plan = places->plan;
    places->plan = (struct plan){0};
    retire_unless_used(places, plan.desk);
    retire_unless_used(places, plan.fallback);
}

/* All of a plan, once it can be. */
static void adopt(struct places *places)
{
    const struct plan plan = places->plan;
    struct desk *const old[] = {places->desk, places->fallback};
    if (plan.desk->is_opening || (plan.fallback != NULL && plan.fallback->is_opening))
        return;
    bool is_other = strcmp(places->desk->identity, plan.desk->identity) != 0;
    places->desk = plan.desk;
    places->fallback = plan.fallback;
    places->price_per_thousand = plan.price_per_thousand;
    places->plan = (struct plan){0};
    for (size_t i = 0; i < 2; i++)
        retire_unless_used(places, old[i]);
    broker_configure(places->broker, &plan.limits, is_other);
    pump_soon(places);
}

static void on_desk_opened(struct desk *desk, const char *error)
{
    struct places *places = desk->places;
    if (error == NULL) {
        adopt(places);
        return;
    }
    LOG(places->log, LOG_ERROR, "places", "the new places file is no good; the old places stay",
        log_text("reason", error));
    drop(places);
}

int places_reload(struct places *places, const struct config_values *values, struct herd_buf *error)
{
    struct plan plan = {0};
    int rc = find_desks(places, values, &plan.desk, &plan.fallback, error);
    if (rc < 0)
        return rc;
    plan.limits = broker_limits_of(values, plan.desk->provider->type);
    plan.price_per_thousand = price_of(plan.desk, values);
    const struct plan before = places->plan;
    places->plan = plan;
    retire_unless_used(places, before.desk);
    retire_unless_used(places, before.fallback);
    adopt(places);
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
    places->limited = setup->limited;
    places->limited_arg = setup->arg;
    places->errands = (struct blocks){.size = sizeof(struct errand), .max = PLACES_SPARES_MAX};
    places->askers = (struct blocks){.size = sizeof(struct asker), .max = PLACES_SPARES_MAX};
    places->owner = (struct desk_owner){.places = places,
                                        .loop = setup->loop,
                                        .log = setup->log,
                                        .metrics = setup->metrics,
                                        .opened = on_desk_opened,
                                        .closed = on_desk_closed};
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
    places->is_open = true;
    places->price_per_thousand = price_of(places->desk, setup->values);
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
    blocks_free(&places->errands);
    blocks_free(&places->askers);
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
    struct ledger *ledger = places->ledger;
    places->ledger = NULL;
    ledger_close(ledger, has_record ? &record : NULL, on_ledger_closed, places);
}

static void hurry_desk(const struct desk *desk, int64_t within_ms)
{
    if (desk != NULL && desk->provider->type->hurry != NULL)
        desk->provider->type->hurry(desk->provider, within_ms);
}

void places_hurry(struct places *places, int64_t within_ms, int64_t fallback_ms)
{
    drop(places);
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
    drop(places);
    desk_close(places->desk);
    desk_close(places->fallback);
}
