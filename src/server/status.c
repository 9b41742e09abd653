/* What `herdctl status` shows: one JSON object. */
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "server/room.h"

void server_collect_metrics(struct server *server)
{
    const struct herd_node_stats *stats = herd_node_stats(server->node);
    struct herd_link_status link;
    int64_t up = 0;
    for (size_t i = 0; herd_node_link(server->node, i, &link); i++)
        up += link.up;
    int64_t unwritten_ns = herd_node_unwritten_ns(server->node, net_now());
    int64_t batch_ns = server->writing ? (int64_t)uv_hrtime() - server->writing_since_ns : 0;
    const struct {
        enum metric metric;
        uint64_t value;
    } counted[] = {
        {METRIC_lines_received_total, stats->lines_received},
        {METRIC_lines_invalid_total, stats->lines_invalid},
        {METRIC_iamat_total, stats->iamat},
        {METRIC_whatsat_total, stats->whatsat},
        {METRIC_records_applied_total, stats->records_applied},
        {METRIC_records_old_total, stats->records_old},
        {METRIC_floods_received_total, stats->floods_received},
        {METRIC_floods_sent_total, stats->floods_sent},
        {METRIC_floods_held_back_total, stats->floods_held_back},
        {METRIC_prunes_sent_total, stats->prunes_sent},
        {METRIC_grafts_sent_total, stats->grafts_sent},
        {METRIC_haves_missing_total, stats->haves_missing},
        {METRIC_link_failures_total, stats->link_failures},
        {METRIC_links_repairs_total, stats->walks},
        {METRIC_records_mended_total, stats->records_mended},
        {METRIC_records_expired_total, stats->records_expired},
        {METRIC_clients_paused_total, stats->clients_paused},
        {METRIC_clients_paused_pipeline_total, stats->clients_paused_pipeline},
        {METRIC_clients_paused_disk_total, stats->clients_paused_disk},
        {METRIC_places_held_back_total, stats->places_held_back},
        {METRIC_places_again_total, stats->places_again},
        {METRIC_places_questions_open, stats->places_open},
        {METRIC_places_unread_bytes, server->unread_bytes},
        {METRIC_turns_full_client_total, stats->turns_full_client},
        {METRIC_turns_full_clients_total, stats->turns_full_clients},
        {METRIC_turns_full_link_total, stats->turns_full_link},
        {METRIC_answers_waiting, stats->answers_waiting},
        {METRIC_answer_lines_waiting, stats->answer_lines_waiting},
        {METRIC_answers_unsafe_total, stats->answers_unsafe},
        {METRIC_answers_late_total, stats->answers_late},
        {METRIC_origins_beyond_total, stats->origins_beyond},
        {METRIC_leaves_beyond_total, stats->leaves_beyond},
        {METRIC_hello_refused_total, stats->hello_refused},
        {METRIC_notices_lost_total, stats->notices_lost},
        {METRIC_waits_open, stats->waits_open},
        {METRIC_waits_refused_total, stats->waits_refused},
        {METRIC_waits_refused_share_total, stats->waits_refused_share},
        {METRIC_clients, herd_store_count(herd_node_store(server->node))},
        {METRIC_store_idle_bytes, herd_store_idle_bytes(herd_node_store(server->node))},
        {METRIC_links_up, (uint64_t)up},
        {METRIC_disk_batch_ms, (uint64_t)(batch_ns / HERD_NS_PER_MS)},
        {METRIC_disk_age_ms, (uint64_t)(unwritten_ns / HERD_NS_PER_MS)},
        {METRIC_log_lines_lost_total, log_lost(server->log)},
    };
    for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
        metrics_set(&server->metrics, counted[i].metric, (int64_t)counted[i].value);
    if (server->places != NULL)
        places_measure(server->places);
}

static json_t *hex(uint64_t value)
{
    char text[17];
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)value);
    return json_string(text);
}

static json_t *links(const struct server *server)
{
    json_t *array = json_array();
    struct herd_link_status link;
    for (size_t i = 0; herd_node_link(server->node, i, &link); i++) {
        json_t *object =
            json_pack("{s:s, s:s, s:b, s:b, s:I, s:I, s:I}", "peer", link.peer, "state", link.state,
                      "up", link.up, "inbound", link.inbound, "sequence", (json_int_t)link.sequence,
                      "acked", (json_int_t)link.acked, "in_flight", (json_int_t)link.in_flight);
        if (json_array_append_new(array, object) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *metrics(struct server *server)
{
    json_t *object = json_object();
    server_collect_metrics(server);
    for (enum metric i = 0; i < METRIC_COUNT; i++)
        json_object_set_new(object, metrics_name(i), json_integer(server->metrics.value[i]));
    return object;
}

int server_status(struct server *server, struct herd_buf *out)
{
    const struct herd_store *store = herd_node_store(server->node);
    int64_t uptime_ns = (int64_t)uv_hrtime() - server->started_ns;
    json_t *object =
        json_pack("{s:s, s:s, s:i, s:o, s:f, s:I, s:I, s:o, s:I, s:o, s:o}", "server",
                  herd_node_name(server->node), "version", HERD_VERSION, "pid", (int)getpid(),
                  "epoch", hex(herd_node_epoch(server->node)), "uptime_s",
                  (double)uptime_ns / HERD_NS_PER_S, "clients", (json_int_t)herd_store_count(store),
                  "sequence", (json_int_t)herd_store_sequence(store), "digest",
                  hex(herd_store_digest(store)), "store_bytes", (json_int_t)herd_store_bytes(store),
                  "links", links(server), "metrics", metrics(server));
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (text == NULL)
        return HERD_ENOMEM;
    int rc = herd_buf_printf(out, "%s\n", text);
    free(text);
    return rc;
}
