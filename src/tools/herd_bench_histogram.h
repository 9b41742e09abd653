/* herd_bench_histogram.h: how often each latency occurred, in bounded memory. */
#ifndef TOOLS_HERD_BENCH_HISTOGRAM_H
#define TOOLS_HERD_BENCH_HISTOGRAM_H

#include <stdint.h>

/*
 * Buckets as of an HDR histogram: each power of two is cut into 128 equal parts, so that a value
 * read back is too large by at most 1/128 (0.8 %), and never too small. 2^40 ns (18 minutes) and
 * more fall into the last bucket; `max` is exact always.
 */
enum {
    HISTOGRAM_PART_BITS = 7,
    HISTOGRAM_RANGE_BITS = 40,
    HISTOGRAM_BUCKETS = (HISTOGRAM_RANGE_BITS - HISTOGRAM_PART_BITS + 1) << HISTOGRAM_PART_BITS
};

/* All zero is an empty one. */
struct histogram {
    uint64_t count, sum_ns, max_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* A negative value (clocks of two processors) counts as 0. */
void histogram_add(struct histogram *histogram, int64_t value_ns);

/* The value that `share` (0..1) of those added do not exceed, as its bucket's upper end; 0 for an
 * empty histogram. */
uint64_t histogram_quantile_ns(const struct histogram *histogram, double share);

#endif
