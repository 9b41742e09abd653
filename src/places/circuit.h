/* circuit.h: the circuit breaker: a provider that fails again and again is left alone for a while,
 * then tried with one call. Pure: time and randomness come in. */
#ifndef PLACES_CIRCUIT_H
#define PLACES_CIRCUIT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rng.h"

/*
 *   CLOSED --failures_max in a row--> OPEN --its time is over, a question comes--> PROBING
 *     ^  ^                             | ^                                           |  |
 *     |  +--------- an answer ---------+ +---------------- the probe fails ----------+  |
 *     +----------------------------------------------------------- the probe answers ---+
 */
enum circuit_state { CIRCUIT_CLOSED, CIRCUIT_OPEN, CIRCUIT_PROBING };

/* All zero is a closed one. */
struct circuit {
    enum circuit_state state;
    int64_t failures;   /* in a row */
    int64_t open_until; /* ms; while it is open */
};

enum { CIRCUIT_JITTER_PERCENT = 20 };

/* Whether a call may be made now. When it is open and its time is over, it becomes PROBING and the
 * call is the probe. */
bool circuit_admits(struct circuit *circuit, int64_t now_ms);

/* A call that answered, whatever it said. True: the circuit was not closed before. */
bool circuit_answered(struct circuit *circuit);

/* A call that failed; those that were made before it opened change nothing. True: it opened, for
 * open_ms ± CIRCUIT_JITTER_PERCENT. */
bool circuit_failed(struct circuit *circuit, int64_t now_ms, bool is_probe, int64_t failures_max,
                    int64_t open_ms, struct rng *rng);

#endif
