#include <herd/record.h>
#include <herd/store.h>

#include "mutant.h"

struct herd_node;
struct herd_command;
struct link;
struct neighbour;
struct origin_set;

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
bool __real_herd_cursor_next(struct herd_store *store, herd_cursor cursor, struct herd_entry *out);
void __real_herd_cursor_to_begin(struct herd_store *store, herd_cursor cursor);
uint64_t __real_held_claim(const struct link *link, uint64_t passed);
int __real_prune_on_have(struct neighbour *from, const struct herd_command *command);
int __real_prune_graft(struct neighbour *to, const struct origin_set *wanted);

uint64_t __wrap_held_claim(const struct link *link, uint64_t passed)
{
    return planted == PLANT_FULL_MARK ? passed : __real_held_claim(link, passed);
}

int __wrap_prune_on_have(struct neighbour *from, const struct herd_command *command)
{
    return planted == PLANT_NO_HAVE ? 0 : __real_prune_on_have(from, command);
}

int __wrap_prune_graft(struct neighbour *to, const struct origin_set *wanted)
{
    return planted == PLANT_NO_GRAFT ? 0 : __real_prune_graft(to, wanted);
}

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
