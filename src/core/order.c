#include <herd/posix_time.h>

#include "core/digits.h"
#include "core/order.h"

/* Bit 3 of each byte that is no space, of a location, a time and what is between fields: all other
 * bytes of them have that bit or the next one. */
static inline uint64_t fills(uint64_t word)
{
    return word | word >> 1;
}

/*
 * The time in the usual form that a canonical text says behind a location of `location_len` bytes,
 * which begins at `location`; NULL when it is not known to. Most positions of a client are of one
 * length, and what is between two spaces is one field.
 */
static const char *usual_time_behind(const char *location, size_t location_len, const char *end)
{
    enum { LEAST = 8, MOST = 24 }; /* three words show all of it */
    if (location_len < LEAST || location_len > MOST ||
        (size_t)(end - location) < location_len + HERD_TIME_USUAL_LEN + 2)
        return NULL;
    const char *time = location + location_len + 1;
    uint64_t filled =
        fills(digits_load(location)) & fills(digits_load(location + location_len - 8)) &
        fills(digits_load(location + (location_len - 8) / 2)) & fills(digits_load(time)) &
        fills(digits_load(time + 8)) & fills(digits_load(time + HERD_TIME_USUAL_LEN - 8));
    bool usual = (filled & DIGITS_EACH(0x08)) == DIGITS_EACH(0x08) && time[-1] == ' ' &&
                 time[10] == '.' && time[HERD_TIME_USUAL_LEN] == ' ';
    return usual ? time : NULL;
}

/* Two times in the usual form are ordered as their texts are. */
static int compare_usual_times(const char *a, const char *b)
{
    static const unsigned words[] = {0, 8, HERD_TIME_USUAL_LEN - 8};
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        uint64_t of_a = digits_order(digits_load(a + words[i]));
        uint64_t of_b = digits_order(digits_load(b + words[i]));
        if (of_a != of_b)
            return of_a < of_b ? -1 : 1;
    }
    return 0;
}

int order_by_text(const struct herd_record *record, struct herd_slice text, int64_t max_skew_ns)
{
    const char *location = text.data + record->client.len + 1;
    if (record->sent.len != HERD_TIME_USUAL_LEN || record->sent.data[10] != '.')
        return 0;
    const char *sent = usual_time_behind(location, record->location.len, text.data + text.len);
    int order = sent != NULL ? compare_usual_times(record->sent.data, sent) : 0;
    /* One that is too far ahead counts for less than it says: of what is held, that is as well. */
    if (order > 0)
        return herd_record_order_ns(record, max_skew_ns) == record->sent_ns ? order : 0;
    return max_skew_ns > 0 ? 0 : order;
}
