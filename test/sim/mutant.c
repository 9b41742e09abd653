#include <herd/record.h>
#include <herd/store.h>

#include "core/node.h"
#include "mutant.h"

enum { ECHO_EVERY = 5000 };

/* The one place for it: the functions below have the signatures of those that they stand for. */
static enum plant_kind planted;
static unsigned ends_seen;

void mutant_plant(enum plant_kind kind)
{
    planted = kind;
}

/* The names are the linker's. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

int64_t __real_herd_record_order_ns(const struct herd_record *record, int64_t max_skew_ns);
int __real_herd_record_compare(const struct herd_record *a, const struct herd_record *b,
                               int64_t max_skew_ns);
uint32_t __real_node_new_source(struct herd_node *node);
void __real_node_send_acks(struct herd_node *node);
int __real_persist_answer(struct herd_conn *conn, const struct herd_record *record);
bool __real_herd_cursor_next(struct herd_store *store, herd_cursor cursor, struct herd_entry *out);
void __real_herd_cursor_to_begin(struct herd_store *store, herd_cursor cursor);

int64_t __wrap_herd_record_order_ns(const struct herd_record *record, int64_t max_skew_ns)
{
    return planted == PLANT_LAST_WINS ? 0 : __real_herd_record_order_ns(record, max_skew_ns);
}

int __wrap_herd_record_compare(const struct herd_record *a, const struct herd_record *b,
                               int64_t max_skew_ns)
{
    if (planted == PLANT_LAST_WINS)
        return 1;
    return planted == PLANT_NO_TIES ? 0 : __real_herd_record_compare(a, b, max_skew_ns);
}

uint32_t __wrap_node_new_source(struct herd_node *node)
{
    return planted == PLANT_ONE_SOURCE ? 1 : __real_node_new_source(node);
}

void __wrap_node_send_acks(struct herd_node *node)
{
    uint64_t on_disk = node->persist.on_disk;
    if (planted == PLANT_EARLY_ACKS)
        node->persist.on_disk = UINT64_MAX;
    __real_node_send_acks(node);
    node->persist.on_disk = on_disk;
}

int __wrap_persist_answer(struct herd_conn *conn, const struct herd_record *record)
{
    return planted == PLANT_NO_WAIT ? herd_record_append_at(record, conn_output(conn))
                                    : __real_persist_answer(conn, record);
}

void __wrap_herd_cursor_to_begin(struct herd_store *store, herd_cursor cursor)
{
    if (planted == PLANT_NO_CATCH_UP)
        herd_cursor_to_end(store, cursor);
    else
        __real_herd_cursor_to_begin(store, cursor);
}

bool __wrap_herd_cursor_next(struct herd_store *store, herd_cursor cursor, struct herd_entry *out)
{
    bool more = __real_herd_cursor_next(store, cursor, out);
    if (more && planted == PLANT_NO_SOURCE)
        out->source = UINT32_MAX;
    if (!more && planted == PLANT_ECHO && ++ends_seen % ECHO_EVERY == 0) {
        __real_herd_cursor_to_begin(store, cursor);
        more = __real_herd_cursor_next(store, cursor, out);
    }
    return more;
}
