/* broker_limits.h: the broker's limits, as herd.conf has them. */
#ifndef PLACES_BROKER_LIMITS_H
#define PLACES_BROKER_LIMITS_H

#include "base/config.h"
#include "places/broker.h"

/* For a provider of that type. A twentieth of total_timeout_ms is for the way of the answer; with a
 * fallback, three more are left for it when the provider takes all of its time. */
struct broker_limits broker_limits_of(const struct config_values *values,
                                      const struct provider_type *type);

#endif
