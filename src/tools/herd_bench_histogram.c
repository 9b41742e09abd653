#include "herd_bench_histogram.h"

enum { PARTS = 1 << HISTOGRAM_PART_BITS };

static unsigned bucket_of(uint64_t value)
{
    if (value < PARTS)
        return (unsigned)value;
    unsigned shift = 63U - (unsigned)__builtin_clzll(value) - HISTOGRAM_PART_BITS;
    unsigned bucket = (shift << HISTOGRAM_PART_BITS) + (unsigned)(value >> shift);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t upper_end(unsigned bucket)
{
    if (bucket < 2 * PARTS)
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_PART_BITS) - 1;
    return ((uint64_t)(bucket - (shift << HISTOGRAM_PART_BITS) + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, int64_t value_ns)
{
    uint64_t value = value_ns > 0 ? (uint64_t)value_ns : 0;
    histogram->count++;
    histogram->sum_ns += value;
    if (value > histogram->max_ns)
        histogram->max_ns = value;
    histogram->buckets[bucket_of(value)]++;
}

uint64_t histogram_quantile_ns(const struct histogram *histogram, double share)
{
    double wanted = share * (double)histogram->count;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen == 0 || (double)seen < wanted)
            continue;
        uint64_t end = upper_end(i);
        return end < histogram->max_ns ? end : histogram->max_ns;
    }
    return histogram->max_ns;
}
