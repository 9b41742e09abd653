#include "places/broker_limits.h"

#include <string.h>

struct broker_limits broker_limits_of(const struct config_values *values,
                                      const struct provider_type *type)
{
    int64_t total_ms = values->places_total_timeout_ms;
    bool has_fallback = strcmp(values->places_fallback, "none") != 0;
    int64_t fallback_ms = has_fallback ? total_ms * 3 / 20 : 0;
    return (struct broker_limits){
        .answer_within_ms = total_ms - (total_ms + 19) / 20 - fallback_ms,
        .fallback_ms = fallback_ms,
        .calls_max = values->places_calls_max,
        .waiting_max = values->places_waiting_max,
        .attempts_max = values->places_attempts_max,
        .retry_min_ms = values->places_retry_min_ms,
        .retry_max_ms = values->places_retry_max_ms,
        .retry_percent = values->places_retry_percent,
        .retry_min = values->places_retry_min,
        .breaker_failures = values->places_breaker_failures,
        .breaker_open_ms = values->places_breaker_open_ms,
        .quota_pause_ms = values->places_quota_pause_ms,
        .calls_per_day = values->places_calls_per_day,
        .calls_per_client = values->places_calls_per_client,
        .cache_max_bytes = type->may_keep ? values->places_cache_max_kib << 10 : 0,
        .cache_fresh_ms = values->places_cache_fresh_s * 1000,
        .cache_stale_ms = values->places_cache_stale_s * 1000,
        .has_fallback = has_fallback,
    };
}
