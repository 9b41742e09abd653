#include "places/client_cap.h"

#include "core/rng.h"

bool client_cap_take(struct client_cap *cap, int64_t now_ms, uint64_t client,
                     int64_t per_minute_max)
{
    if (client == 0 || per_minute_max == 0)
        return true;
    struct rng hash = {cap->seed ^ client};
    uint64_t at = rng_below(&hash, CLIENT_CAP_SLOTS);
    double full = (double)per_minute_max, tokens = full;
    if (cap->slots[at].client == client) {
        double minutes = (double)(now_ms - cap->slots[at].at_ms) / 60000;
        tokens = cap->slots[at].tokens + minutes * full;
        if (tokens > full)
            tokens = full;
    }
    bool has_one = tokens >= 1;
    cap->slots[at].client = client;
    cap->slots[at].at_ms = now_ms;
    cap->slots[at].tokens = has_one ? tokens - 1 : tokens;
    return has_one;
}
