#include <math.h>

#include <herd/err.h>
#include <herd/geo.h>

#include "core/digits.h"

enum { SIGNIFICANT_DIGITS_MAX = 18 };

/* How the digits before the decimal mark are shared out: degrees, then minutes, then seconds, two
 * digits each. */
enum form { FORM_DEGREES, FORM_MINUTES, FORM_SECONDS, FORM_NONE };

struct coordinate {
    enum form form;
    double degrees;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* `digits[.digits]` of at most `whole_digits` before the mark as a number; digits past double's
 * precision are dropped. */
static double number(const char *whole, size_t whole_digits, const char *fraction,
                     size_t fraction_digits)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                    1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
    uint64_t value = 0;
    for (size_t i = 0; i < whole_digits; i++)
        value = value * 10 + (uint64_t)(whole[i] - '0');
    size_t decimals = 0;
    while (decimals < fraction_digits && whole_digits + decimals < SIGNIFICANT_DIGITS_MAX)
        value = value * 10 + (uint64_t)(fraction[decimals++] - '0');
    return (double)value / powers[decimals];
}

/* degrees_digits: 2 for a latitude, 3 for a longitude. */
static enum form form_of(size_t whole_digits, size_t degrees_digits)
{
    if (whole_digits >= 1 && whole_digits <= degrees_digits)
        return FORM_DEGREES;
    if (whole_digits == degrees_digits + 2)
        return FORM_MINUTES;
    return whole_digits == degrees_digits + 4 ? FORM_SECONDS : FORM_NONE;
}

/* Whether what stands in [digits..end), the first `lead` of it degrees, is more than `max` degrees.
 * By its digits: a double has too few of them to tell 90.00000000000000001 from 90. */
static bool is_beyond(const char *digits, size_t lead, const char *end, unsigned max)
{
    unsigned degrees = 0;
    bool has_more = false;
    for (size_t i = 0; i < lead; i++)
        degrees = degrees * 10 + (unsigned)(digits[i] - '0');
    for (const char *at = digits + lead; at < end; at++)
        has_more = has_more || (*at >= '1' && *at <= '9');
    return degrees > max || (degrees == max && has_more);
}

/* One coordinate at the beginning of *text, which is advanced past it. */
static int parse_coordinate(struct herd_slice *text, size_t degrees_digits, struct coordinate *out)
{
    if (text->len < 2 || (text->data[0] != '+' && text->data[0] != '-'))
        return HERD_ESYNTAX;
    const char *whole = text->data + 1;
    const char *end = text->data + text->len;
    const char *mark = whole;
    while (mark < end && is_digit(*mark))
        mark++;
    const char *rest = mark;
    if (mark < end && *mark == '.') {
        rest++;
        while (rest < end && is_digit(*rest))
            rest++;
        if (rest == mark + 1)
            return HERD_ESYNTAX;
    }
    const char *fraction = mark + 1;
    size_t fraction_digits = rest > mark ? (size_t)(rest - mark) - 1 : 0;
    size_t whole_digits = (size_t)(mark - whole);

    out->form = form_of(whole_digits, degrees_digits);
    if (out->form == FORM_NONE)
        return HERD_ESYNTAX;
    /* Only the last part has the fraction: 40°26'46.3" = 40 + 26/60 + 46.3/3600. */
    size_t lead = out->form == FORM_DEGREES ? whole_digits : degrees_digits;
    unsigned max = degrees_digits == 2 ? 90 : 180;
    double parts[3] = {0, 0, 0};
    if (is_beyond(whole, lead, rest, max))
        return HERD_ERANGE;
    for (size_t part = 0; part <= (size_t)out->form; part++) {
        size_t digits = part == 0 ? lead : 2;
        if (part > 0 && *whole >= '6')
            return HERD_ERANGE; /* 60 minutes, or seconds */
        bool last = part == (size_t)out->form;
        parts[part] = number(whole, digits, fraction, last ? fraction_digits : 0);
        whole += digits;
    }
    double degrees = fmin(parts[0] + parts[1] / 60 + parts[2] / 3600, max); /* rounded up, maybe */
    out->degrees = text->data[0] == '-' ? -degrees : degrees;
    *text = herd_slice(rest, (size_t)(end - rest));
    return 0;
}

int herd_location_parse(struct herd_slice text, struct herd_location *out)
{
    struct coordinate latitude, longitude;
    int rc = parse_coordinate(&text, 2, &latitude);
    if (rc == 0)
        rc = parse_coordinate(&text, 3, &longitude);
    if (rc < 0)
        return rc;
    if (text.len == 1 && text.data[0] == '/')
        text.len = 0;
    if (text.len > 0 || latitude.form != longitude.form)
        return HERD_ESYNTAX;
    *out = (struct herd_location){latitude.degrees, longitude.degrees};
    return 0;
}

/* Eight bytes of text, padded with zeros, as a number that is ordered as texts are. */
#define TEXT_ORDER(a, b, c) ((uint64_t)(a) << 56 | (uint64_t)(b) << 48 | (uint64_t)(c) << 40)

/* The end of a coordinate in degrees that begins at `at`, so far from the pole or the date line
 * that no fraction takes it there; 0 for none. One word decides: a coordinate of degrees has at most
 * `degrees_digits` (below 7) of them before the mark, which is in the word as well. So many of them
 * are less than `limit` as a text if they are as numbers. */
static inline size_t skip_plain(struct herd_slice text, size_t at, unsigned degrees_digits,
                                uint64_t limit)
{
    if (at == text.len || (text.data[at] != '+' && text.data[at] != '-'))
        return 0;
    uint64_t word = digits_word(text, ++at);
    uint64_t others = digits_others(word);
    unsigned count = digits_before(others);
    if (count == 0 || count > degrees_digits ||
        (count == degrees_digits && digits_order(word) >= limit))
        return 0;
    if ((word >> (8 * count) & 0xff) != '.') /* zeros behind the end of the text */
        return at + count;
    unsigned end = digits_before(others & (others - 1)); /* the next one that is no digit */
    if (end == count + 1)
        return 0;
    at += end;
    while (end == 8) {
        end = digits_count(digits_word(text, at));
        at += end;
    }
    return at;
}

size_t herd_location_begins(struct herd_slice text)
{
    size_t latitude_end = skip_plain(text, 0, 2, TEXT_ORDER('9', '0', 0));
    return latitude_end > 0 ? skip_plain(text, latitude_end, 3, TEXT_ORDER('1', '8', '0')) : 0;
}

double herd_geo_distance_m(struct herd_location a, struct herd_location b)
{
    static const double radians = 3.14159265358979323846 / 180;
    double half_lat = sin((b.latitude - a.latitude) * radians / 2);
    double half_lon = sin((b.longitude - a.longitude) * radians / 2);
    double h = half_lat * half_lat +
               cos(a.latitude * radians) * cos(b.latitude * radians) * half_lon * half_lon;
    return 2 * HERD_EARTH_RADIUS_M * asin(sqrt(h < 1 ? h : 1));
}
