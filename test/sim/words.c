#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

#include "words.h"

void words_append(struct herd_buf *out, struct herd_slice text)
{
    if (herd_buf_append_slice(out, text) < 0)
        abort();
}

void words_printf(struct herd_buf *out, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(text))
        abort();
    words_append(out, herd_slice(text, (size_t)len));
}

/* A sign or mark, and so many digits; printf is slow where a run says hundreds of thousands. */
static char *put_digits(char *at, char before, uint64_t value, int digits)
{
    *at++ = before;
    for (int i = digits; i > 0; i--, value /= 10)
        at[i - 1] = (char)('0' + value % 10);
    return at + digits;
}

/* Degrees with 6 decimals: ±DD.DDDDDD±DDD.DDDDDD */
static void put_degrees(struct herd_buf *out, const char signs[2], const uint64_t whole[2],
                        const uint64_t millionths[2])
{
    char text[32];
    char *at = text;
    for (int i = 0; i < 2; i++) {
        at = put_digits(at, signs[i], whole[i], i == 0 ? 2 : 3);
        at = put_digits(at, '.', millionths[i], 6);
    }
    words_append(out, herd_slice(text, (size_t)(at - text)));
}

void words_id(struct herd_buf *out, uint32_t i)
{
    static const char *const before[] = {"kiwi-", "", "téléphone-",
                                         "0123456789abcdef0123456789abcdef-"};
    words_printf(out, "%s%u%s", before[i % 4], (unsigned)i, i % 4 == 0 ? ".cs.ucla.edu" : "");
    if (i % 32 == 31) {
        while (out->len < 256)
            words_append(out, herd_slice_of("x"));
    }
}

void words_location(struct herd_buf *out, struct rng *rng, bool fat)
{
    static const char signs[] = {'+', '-'};
    char north = signs[rng_below(rng, 2)];
    char east = signs[rng_below(rng, 2)];
    uint64_t lat = rng_below(rng, 90);
    uint64_t lon = rng_below(rng, 180);
    uint64_t millionths[2];
    switch (rng_below(rng, 8)) {
    case 0:
        words_printf(out, "%c%02llu%02llu.%llu%c%03llu%02llu.%llu", north, (unsigned long long)lat,
                     (unsigned long long)rng_below(rng, 60), (unsigned long long)rng_below(rng, 10),
                     east, (unsigned long long)lon, (unsigned long long)rng_below(rng, 60),
                     (unsigned long long)rng_below(rng, 10));
        break;
    case 1:
        words_printf(out, "%c%02llu%c%03llu/", north, (unsigned long long)lat, east,
                     (unsigned long long)lon);
        break;
    default:
        millionths[1] = rng_below(rng, 1000000);
        millionths[0] = rng_below(rng, 1000000);
        put_degrees(out, (const char[2]){north, east}, (const uint64_t[2]){lat, lon}, millionths);
        for (uint64_t more = fat ? 20 + rng_below(rng, 30) : 0; more > 0; more--)
            words_append(out, herd_slice_of("00000000000000000000000000000000000000000000000000"));
    }
}

/* The seconds of this century have 10 digits. */
static char *put_time(char *at, uint64_t whole, uint64_t fraction)
{
    at = put_digits(at, (char)('0' + whole / 1000000000 % 10), whole % 1000000000, 9);
    return put_digits(at, '.', fraction, 9);
}

/* Seconds as they are told, from 1,000,000,000 on. */
void words_time(struct herd_buf *out, struct rng *rng, int64_t ns)
{
    unsigned long long whole = (unsigned long long)(ns / SIM_S);
    unsigned long long fraction = (unsigned long long)(ns % SIM_S);
    char text[32];
    switch (rng_below(rng, 8)) {
    case 0:
        words_printf(out, "%llu", whole);
        break;
    case 1:
        words_printf(out, "%llu.%llu", whole, fraction / 500000000 * 5);
        break;
    case 2:
        words_printf(out, "%llu.%03llu", whole, fraction / 1000000);
        break;
    case 3:
        words_printf(out, "%llu.%09llu%03llu", whole, fraction,
                     (unsigned long long)rng_below(rng, 1000));
        break;
    default:
        words_append(out, herd_slice(text, (size_t)(put_time(text, whole, fraction) - text)));
    }
}

static const char *const nonsense[] = {
    "IAMAT",
    "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127",
    "IAMAT kiwi.cs.ucla.edu 34.068930-118.445127 1520023934.918963997",
    "IAMAT kiwi.cs.ucla.edu +91.0+180.0 1520023934.918963997",
    "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997 more",
    "WHATSAT kiwi.cs.ucla.edu 51 5",
    "WHATSAT kiwi.cs.ucla.edu 10 21",
    "WHATSAT kiwi.cs.ucla.edu -1 5",
    "WHATSAT nobody-has-this-id 10 5",
    "FLOOD",
    "FLOOD Hill kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997 never Hill +0.1",
    "RESUME 0123456789abcdef 7",
    "iamat kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997",
    "AT Hill +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997",
    "?",
    "what is this",
};

enum { NONSENSE_COUNT = sizeof(nonsense) / sizeof(nonsense[0]) };

struct herd_slice words_nonsense(struct rng *rng)
{
    return herd_slice_of(nonsense[rng_below(rng, NONSENSE_COUNT)]);
}

bool words_is_nonsense(struct herd_slice line)
{
    for (size_t i = 0; i < NONSENSE_COUNT; i++) {
        if (herd_slice_equal(line, herd_slice_of(nonsense[i])))
            return true;
    }
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

size_t words_split(struct herd_slice line, struct herd_slice fields[WORDS_FIELDS_MAX])
{
    size_t count = 0;
    const char *at = line.data;
    const char *end = line.data + line.len;
    while (count < WORDS_FIELDS_MAX) {
        while (at < end && is_space(*at))
            at++;
        if (at == end)
            break;
        const char *begin = at;
        while (at < end && !is_space(*at))
            at++;
        fields[count++] = herd_slice(begin, (size_t)(at - begin));
    }
    return count;
}

void words_places(struct herd_buf *out, struct herd_location where, double radius_m, unsigned count)
{
    char place[] = ",\n      { \"name\" : \"place 00\" }";
    char *number = strchr(place, '0');
    words_printf(out,
                 "{\n   \"html_attributions\" : [],\n   \"status\" : \"OK\",\n"
                 "   \"asked_e6\" : [ %lld, %lld, %lld, %u ],\n   \"results\" : [",
                 llround(where.latitude * 1e6), llround(where.longitude * 1e6),
                 llround(radius_m * 1e6), count);
    for (unsigned i = 0; i < count; i++) {
        number[0] = (char)('0' + i / 10 % 10);
        number[1] = (char)('0' + i % 10);
        words_append(out, herd_slice_of(i > 0 ? place : place + 1));
    }
    words_append(out, herd_slice_of("\n   ]\n}\n\n"));
}
