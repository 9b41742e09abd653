#include "places/circuit.h"

bool circuit_admits(struct circuit *circuit, int64_t now_ms)
{
    if (circuit->state == CIRCUIT_OPEN && now_ms >= circuit->open_until) {
        circuit->state = CIRCUIT_PROBING;
        return true;
    }
    return circuit->state == CIRCUIT_CLOSED;
}

bool circuit_answered(struct circuit *circuit)
{
    bool was_closed = circuit->state == CIRCUIT_CLOSED;
    *circuit = (struct circuit){.state = CIRCUIT_CLOSED};
    return !was_closed;
}

bool circuit_failed(struct circuit *circuit, int64_t now_ms, bool is_probe, int64_t failures_max,
                    int64_t open_ms, struct rng *rng)
{
    if (circuit->state == CIRCUIT_CLOSED && ++circuit->failures < failures_max)
        return false;
    if (circuit->state != CIRCUIT_CLOSED && !is_probe)
        return false;
    int64_t jitter_ms = open_ms * CIRCUIT_JITTER_PERCENT / 100;
    circuit->state = CIRCUIT_OPEN;
    circuit->open_until =
        now_ms + open_ms - jitter_ms + (int64_t)rng_below(rng, (uint64_t)(2 * jitter_ms) + 1);
    return true;
}
