#include "testing.h"

#include "herd_bench_histogram.h"

static struct histogram histogram;

static int begin(void **state)
{
    (void)state;
    histogram = (struct histogram){0};
    return 0;
}

static void empty_is_zero(void **state)
{
    (void)state;
    assert_int_equal(histogram_quantile_ns(&histogram, 0.5), 0);
    assert_int_equal(histogram_quantile_ns(&histogram, 1), 0);
}

/* What is read back is not below what was added, and at most 1/128 above it. */
static void values_come_back_within_the_error(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < UINT64_C(1) << HISTOGRAM_RANGE_BITS; value += 1 + value / 97) {
        histogram = (struct histogram){0};
        histogram_add(&histogram, (int64_t)value);
        histogram_add(&histogram, INT64_C(1) << 41); /* or `max` would hide the bucket */
        uint64_t back = histogram_quantile_ns(&histogram, 0.5);
        if (back < value || back - value > value / 128)
            fail_msg("%llu came back as %llu", (unsigned long long)value, (unsigned long long)back);
    }
}

static void quantiles_of_a_thousand(void **state)
{
    (void)state;
    for (int i = 1; i <= 1000; i++)
        histogram_add(&histogram, i * 1000);
    assert_in_range(histogram_quantile_ns(&histogram, 0.5), 500000, 504000);
    assert_in_range(histogram_quantile_ns(&histogram, 0.99), 990000, 998000);
    assert_int_equal(histogram_quantile_ns(&histogram, 1), 1000000);
    assert_int_equal(histogram.max_ns, 1000000);
    assert_int_equal(histogram.sum_ns, UINT64_C(500500000));
}

static void extremes(void **state)
{
    (void)state;
    histogram_add(&histogram, -5);
    assert_int_equal(histogram_quantile_ns(&histogram, 1), 0);
    histogram_add(&histogram, INT64_MAX);
    assert_int_equal(histogram.max_ns, INT64_MAX);
    assert_int_equal(histogram.count, 2);
    assert_true(histogram_quantile_ns(&histogram, 1) >= (UINT64_C(1) << HISTOGRAM_RANGE_BITS) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(empty_is_zero, begin),
        cmocka_unit_test_setup(values_come_back_within_the_error, begin),
        cmocka_unit_test_setup(quantiles_of_a_thousand, begin),
        cmocka_unit_test_setup(extremes, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
