/* client_cap.h: how many calls one client may cause a minute: a bucket of tokens each, in a table
 * of fixed size. Pure. */
#ifndef PLACES_CLIENT_CAP_H
#define PLACES_CLIENT_CAP_H

#include <stdbool.h>
#include <stdint.h>

/* Clients that are remembered; another one in the same place of the table takes it over. */
enum { CLIENT_CAP_SLOTS = 4096 };

/* All zero but for the seed is an empty one. */
struct client_cap {
    uint64_t seed;
    struct {
        uint64_t client;
        int64_t at_ms;
        double tokens;
    } slots[CLIENT_CAP_SLOTS];
};

/* Takes a token of the client's, of which it has `per_minute_max` at first and gets as many a
 * minute. False: it has none. Client 0 is nobody and may always, so may all when per_minute_max is
 * 0. */
bool client_cap_take(struct client_cap *cap, int64_t now_ms, uint64_t client,
                     int64_t per_minute_max);

#endif
