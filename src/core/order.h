/* order.h: which of two records of a client is newer, by as little of their texts as that takes. */
#ifndef CORE_ORDER_H
#define CORE_ORDER_H

#include <herd/record.h>

/*
 * A record and the canonical text of another one of the same client: > 0 when the record is the
 * newer one as herd_record_compare has it, < 0 when it is the older one, 0 when the texts of their
 * times do not tell.
 */
int order_by_text(const struct herd_record *record, struct herd_slice text, int64_t max_skew_ns);

#endif
