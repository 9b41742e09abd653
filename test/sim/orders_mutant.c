/* A planted bug for sim-orders: an order that looks at the time alone, so that ties go to whoever
 * came first. */
#include <herd/record.h>

int __wrap_herd_record_compare(const struct herd_record *a, const struct herd_record *b,
                               int64_t max_skew_ns);

int __wrap_herd_record_compare(const struct herd_record *a, const struct herd_record *b,
                               int64_t max_skew_ns)
{
    int64_t a_ns = herd_record_order_ns(a, max_skew_ns);
    int64_t b_ns = herd_record_order_ns(b, max_skew_ns);
    return a_ns < b_ns ? -1 : a_ns > b_ns;
}
