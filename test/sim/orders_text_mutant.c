/* A planted bug for sim-orders and sim-schedules: where the texts of two times tell which is newer,
 * the other one is taken. */
#include "core/order.h"

int __real_order_by_text(const struct herd_record *record, struct herd_slice text,
                         int64_t max_skew_ns);
int __wrap_order_by_text(const struct herd_record *record, struct herd_slice text,
                         int64_t max_skew_ns);

int __wrap_order_by_text(const struct herd_record *record, struct herd_slice text,
                         int64_t max_skew_ns)
{
    return -__real_order_by_text(record, text, max_skew_ns);
}
