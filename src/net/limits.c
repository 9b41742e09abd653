#include "net/limits.h"

#include <stdio.h>
#include <string.h>

#include "core/node.h"
#include "core/prune.h"
#include "core/reconcile.h"
#include "net/room.h"

/* The number stands in the reason where that has a `#`. */
static const struct {
    enum log_level level;
    const char *text, *reason;
    int number;
} rows[LIMIT_COUNT] = {
    [LIMIT_CONNECTIONS] = {LOG_WARNING, "connections refused", "connections_max was reached", 0},
    [LIMIT_FILES] = {LOG_WARNING, "connections refused", "the limit of open files was reached", 0},
    [LIMIT_MEMORY] = {LOG_WARNING, "connections refused", "out of memory", 0},
    [LIMIT_SOCKET] = {LOG_WARNING, "connections refused", "the socket cannot be used", 0},
    [LIMIT_ACCEPT] = {LOG_WARNING, "connections wait", "they cannot even be accepted to be closed",
                      0},
    [LIMIT_UNREAD] = {LOG_WARNING, "places refused to clients that do not read",
                      "unread_max_mib was reached", 0},
    [LIMIT_BEHIND] = {LOG_WARNING, "places refused that wait for those to earlier questions",
                      "twice unread_max_mib was reached", 0},
    [LIMIT_QUESTIONS] = {LOG_WARNING, "places refused", "# questions for the places file wait",
                         LIMITS_QUESTIONS},
    [LIMIT_HELD] = {LOG_WARNING, "questions kept from the places provider", "# have no answer yet",
                    LIMITS_HELD},
    [LIMIT_WAITING] = {LOG_WARNING, "questions kept from the places provider",
                       "waiting_max was reached", 0},
    [LIMIT_CLIENT_CALLS] = {LOG_WARNING, "questions kept from the places provider",
                            "calls_per_client was reached", 0},
    [LIMIT_CONTROL] = {LOG_WARNING, "connections to the control socket refused", "there are #",
                       LIMITS_CONTROL},
    [LIMIT_STALLED] = {LOG_INFO, "connections cut off with answers that were not read",
                       "none was taken for # s after they had ended", STREAM_STALLED_MS / 1000},
    [LIMIT_CUT_OFF] = {LOG_INFO, "connections cut off that went on sending",
                       "# MiB came after their last answer", STREAM_LINGER_BYTES >> 20},
    [LIMIT_TURN_ACCEPTS] = {LOG_INFO, "connections wait for the next turn",
                            "# were accepted in one turn", NET_ACCEPTS_PER_TURN},
    [LIMIT_TURN_READS] = {LOG_INFO, "clients wait for the next turn", "turn_reads was reached", 0},
    [LIMIT_TURN_BYTES] = {LOG_INFO, "clients wait for the next turn", "turn_read_kib was reached",
                          0},
    [LIMIT_OUTPUT] = {LOG_INFO, "clients not read from", "output_max_kib was reached", 0},
    [LIMIT_HELD_BACK] = {LOG_INFO, "places wait for clients to read", "output_max_kib was reached",
                         0},
    [LIMIT_PIPELINE] = {LOG_INFO, "clients not read from", "pipeline_max was reached", 0},
    [LIMIT_DISK] = {LOG_WARNING, "IAMAT wait", "the disk is behind", 0},
    [LIMIT_TURN_CLIENT] = {LOG_INFO, "lines wait for the next turn",
                           "turn_lines_client was reached", 0},
    [LIMIT_TURN_CLIENTS] = {LOG_INFO, "lines wait for the next turn",
                            "turn_lines_clients was reached", 0},
    [LIMIT_TURN_LINK] = {LOG_INFO, "lines wait for the next turn", "turn_lines_link was reached",
                         0},
    [LIMIT_WAITS] = {LOG_WARNING, "WHATSAT with AFTER refused", "waits_max was reached", 0},
    [LIMIT_WAITS_SHARE] = {LOG_WARNING, "WHATSAT with AFTER refused",
                           "its connection has as many as are free of waits_max", 0},
    [LIMIT_SAFETY] = {LOG_WARNING, "IAMAT refused that were not safe in time",
                      "safety_timeout_ms was reached", 0},
    [LIMIT_ORIGINS] = {LOG_WARNING, "records go over all links", "those of # servers go over trees",
                       PRUNE_ORIGINS_MAX},
    [LIMIT_LEAF] = {LOG_WARNING, "differences from a neighbour left alone",
                    "more than # clients share 4 digits of their hash", WALK_LEAF_MAX},
    [LIMIT_NOTICES] = {LOG_WARNING, "lines about links lost", "# came in one turn",
                       NODE_NOTICES_MAX},
};

/* As people write it: 1,024. */
static void write_number(char *out, size_t size, int number)
{
    int thousands = number / 1000;
    if (thousands > 0)
        snprintf(out, size, "%d,%03d", thousands, number % 1000);
    else
        snprintf(out, size, "%d", number);
}

void limits_reason(enum limit which, char out[LIMITS_REASON_BYTES])
{
    const char *reason = rows[which].reason;
    int before = (int)strcspn(reason, "#");
    char number[16] = "";
    if (reason[before] == '#')
        write_number(number, sizeof(number), rows[which].number);
    snprintf(out, LIMITS_REASON_BYTES, "%.*s%s%s", before, reason, number,
             reason[before] == '#' ? reason + before + 1 : "");
}

static void tell(struct limits *limits, enum limit which, uint64_t now_ms)
{
    int error = limits->of[which].error;
    char reason[LIMITS_REASON_BYTES];
    limits_reason(which, reason);
    LOG(limits->log, rows[which].level, "limit", rows[which].text, log_text("reason", reason),
        log_int("count", limits->of[which].untold),
        log_text(error != 0 ? "error" : NULL, error != 0 ? strerror(error) : ""));
    limits->of[which].untold = 0;
    limits->of[which].told_ms = now_ms;
    limits->of[which].told = true;
}

static void on_timer(uv_timer_t *timer);

/* For the first whose ten seconds end; a limit that was not reached again needs no timer. */
static void set_timer(struct limits *limits, uint64_t now_ms)
{
    uint64_t at_ms = UINT64_MAX;
    for (enum limit i = 0; i < LIMIT_COUNT; i++) {
        if (limits->of[i].untold > 0 && limits->of[i].told_ms + limits->again_ms < at_ms)
            at_ms = limits->of[i].told_ms + limits->again_ms;
    }
    if (at_ms < UINT64_MAX)
        uv_timer_start(&limits->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

static bool may_tell(const struct limits *limits, enum limit which, uint64_t now_ms)
{
    return !limits->of[which].told || now_ms - limits->of[which].told_ms >= limits->again_ms;
}

static void on_timer(uv_timer_t *timer)
{
    struct limits *limits = (struct limits *)timer; /* its first member */
    uint64_t now_ms = uv_now(timer->loop);
    for (enum limit i = 0; i < LIMIT_COUNT; i++) {
        if (limits->of[i].untold > 0 && may_tell(limits, i, now_ms))
            tell(limits, i, now_ms);
    }
    set_timer(limits, now_ms);
}

void limits_init(struct limits *limits, uv_loop_t *loop, struct log *log)
{
    *limits = (struct limits){.log = log, .again_ms = LIMITS_AGAIN_MS};
    uv_timer_init(loop, &limits->timer);
    uv_unref((uv_handle_t *)&limits->timer);
}

void limits_count(struct limits *limits, enum limit which, int64_t times)
{
    uint64_t now_ms = uv_now(limits->timer.loop);
    limits->of[which].untold += times;
    if (may_tell(limits, which, now_ms))
        tell(limits, which, now_ms);
    else if (!uv_is_active((uv_handle_t *)&limits->timer))
        set_timer(limits, now_ms);
}

void limits_fail(struct limits *limits, enum limit which, int error)
{
    limits->of[which].error = error;
    limits_count(limits, which, 1);
}

void limits_look_at(struct limits *limits, const struct herd_node_stats *stats)
{
    const struct {
        enum limit limit;
        uint64_t count;
    } counted[] = {
        {LIMIT_OUTPUT, stats->clients_paused - stats->clients_paused_pipeline},
        {LIMIT_HELD_BACK, stats->places_held_back},
        {LIMIT_PIPELINE, stats->clients_paused_pipeline},
        {LIMIT_DISK, stats->clients_paused_disk},
        {LIMIT_TURN_CLIENT, stats->turns_full_client},
        {LIMIT_TURN_CLIENTS, stats->turns_full_clients},
        {LIMIT_TURN_LINK, stats->turns_full_link},
        {LIMIT_WAITS, stats->waits_refused - stats->waits_refused_share},
        {LIMIT_WAITS_SHARE, stats->waits_refused_share},
        {LIMIT_SAFETY, stats->answers_late},
        {LIMIT_ORIGINS, stats->origins_beyond},
        {LIMIT_LEAF, stats->leaves_beyond},
        {LIMIT_NOTICES, stats->notices_lost},
    };
    limits->reached = stats->limits_reached;
    for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
        uint64_t *seen = &limits->of[counted[i].limit].counted;
        if (counted[i].count > *seen)
            limits_count(limits, counted[i].limit, (int64_t)(counted[i].count - *seen));
        *seen = counted[i].count;
    }
}

void limits_end(struct limits *limits)
{
    uv_timer_stop(&limits->timer);
    for (enum limit i = 0; i < LIMIT_COUNT; i++) {
        if (limits->of[i].untold > 0)
            tell(limits, i, uv_now(limits->timer.loop));
    }
}
