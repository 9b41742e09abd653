#include <assert.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "core/digits.h"

enum { DECIMALS = HERD_TIME_DECIMALS, DIFF_USUAL_LEN = sizeof("+0.263873386") - 1 };

#define SECONDS_MAX    (INT64_MAX / HERD_NS_PER_S)
#define SECONDS_BEYOND UINT64_C(10000000000) /* more than SECONDS_MAX, however many digits follow */

/* The index behind the digits that begin at `at`. */
static size_t skip_digits(struct herd_slice text, size_t at)
{
    unsigned count;
    do {
        count = digits_count(digits_word(text, at));
        at += count;
    } while (count == 8);
    return at;
}

/* The digits that begin at 0, as a number that stays at SECONDS_BEYOND once it is there; the index
 * behind them. */
static size_t read_seconds(struct herd_slice text, uint64_t *out)
{
    size_t at = 0;
    unsigned count;
    *out = 0;
    do {
        uint64_t word = digits_word(text, at);
        count = digits_count(word);
        if (count > 0)
            *out = *out * digits_power(count) + digits_value(word, count);
        if (*out > SECONDS_BEYOND)
            *out = SECONDS_BEYOND;
        at += count;
    } while (count == 8);
    return at;
}

/* The digits that begin at `at`, as billionths; those behind the ninth are not looked at but have
 * to be digits. The index behind them. */
static size_t read_fraction(struct herd_slice text, size_t at, uint32_t *out_ns)
{
    uint64_t word = digits_word(text, at);
    unsigned count = digits_count(word);
    *out_ns = 0;
    if (count == 0)
        return at;
    *out_ns = digits_value(word, count) * digits_power(DECIMALS - count);
    at += count;
    if (count < 8)
        return at;
    size_t end = skip_digits(text, at);
    if (end > at)
        *out_ns += (uint32_t)(text.data[at] - '0');
    return end;
}

/*
 * Three words, `dddddddd`, `dd.ddddd` and the last eight digits: two of them share four. As a
 * difference to zeros and the mark each byte is the digit's value, and 0 for the mark. What is more
 * than that sets its high bit when the rest up to 0x7f is added, or has it set; what carries over
 * is such a byte, too.
 */
bool herd_time_begins(struct herd_slice text, int64_t *out_ns)
{
    enum { MARK_BITS = 16 }; /* below the mark in its word */
    if (text.len < HERD_TIME_USUAL_LEN)
        return false;
    uint64_t mark = (uint64_t)('0' ^ '.') << MARK_BITS;
    uint64_t first = digits_load(text.data) ^ DIGITS_EACH('0');
    uint64_t middle = digits_load(text.data + 8) ^ DIGITS_EACH('0') ^ mark;
    uint64_t last = digits_load(text.data + HERD_TIME_USUAL_LEN - 8) ^ DIGITS_EACH('0');
    uint64_t room = DIGITS_EACH(0x7f - 9);
    uint64_t others = first | (first + room) | middle |
                      (middle + room + (UINT64_C(9) << MARK_BITS)) | last | (last + room);
    if ((others & DIGITS_EACH(0x80)) != 0)
        return false;
    uint64_t seconds =
        digits_value(first, 8) * UINT64_C(100) + (middle & 0xff) * 10 + (middle >> 8 & 0xff);
    uint64_t tenths = middle >> (MARK_BITS + 8) & 0xff;
    *out_ns =
        (int64_t)(seconds * HERD_NS_PER_S + tenths * (HERD_NS_PER_S / 10) + digits_value(last, 8));
    return seconds < SECONDS_MAX;
}

int herd_time_parse(struct herd_slice text, int64_t *out_ns)
{
    uint64_t seconds;
    uint32_t fraction = 0;
    if (text.len == HERD_TIME_USUAL_LEN && herd_time_begins(text, out_ns))
        return 0;
    size_t mark = read_seconds(text, &seconds);
    if (mark == 0)
        return HERD_ESYNTAX;
    if (mark < text.len) {
        if (text.data[mark] != '.')
            return HERD_ESYNTAX;
        size_t end = read_fraction(text, mark + 1, &fraction);
        if (end < text.len || end == mark + 1)
            return HERD_ESYNTAX;
    }
    if (seconds > SECONDS_MAX || (seconds == SECONDS_MAX && fraction > INT64_MAX % HERD_NS_PER_S))
        return HERD_ERANGE;
    *out_ns = (int64_t)seconds * HERD_NS_PER_S + fraction;
    return 0;
}

/* Writes the seconds, at most 11 digits, without leading zeros. */
static char *put_seconds(uint64_t seconds, char *out)
{
    if (seconds < 10) { /* most differences */
        *out = (char)('0' + seconds);
        return out + 1;
    }
    uint32_t high = (uint32_t)(seconds / 100000000);
    uint64_t low = digits_of((uint32_t)(seconds % 100000000));
    if (high == 0) {
        unsigned zeros =
            digits_before(((low & DIGITS_EACH(0x0f)) + DIGITS_EACH(0x7f)) & DIGITS_EACH(0x80));
        for (unsigned i = zeros; i < 8; i++)
            *out++ = (char)(low >> (8 * i));
        return out;
    }
    if (high >= 100)
        *out++ = (char)('0' + high / 100);
    if (high >= 10)
        *out++ = (char)('0' + high / 10 % 10);
    *out++ = (char)('0' + high % 10);
    digits_store(out, low);
    return out + 8;
}

void herd_time_decimals_format(uint32_t ns, char out[HERD_TIME_DECIMALS])
{
    digits_store(out, digits_of(ns / 10));
    out[8] = (char)('0' + ns % 10);
}

static size_t format_unsigned(uint64_t ns, char *out)
{
    char *at = put_seconds(ns / HERD_NS_PER_S, out);
    *at++ = '.';
    herd_time_decimals_format((uint32_t)(ns % HERD_NS_PER_S), at);
    return (size_t)(at + DECIMALS - out);
}

size_t herd_time_format(int64_t ns, char out[HERD_TIME_TEXT_MAX])
{
    assert(ns >= 0);
    return format_unsigned((uint64_t)ns, out);
}

size_t herd_time_diff_format(int64_t ns, char out[HERD_TIME_TEXT_MAX])
{
    out[0] = ns < 0 ? '-' : '+';
    uint64_t magnitude = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    return 1 + format_unsigned(magnitude, out + 1);
}

/* A sign, one digit, the mark and nine digits: nearly all differences. */
static bool is_usual_diff(const char *at)
{
    unsigned whole = (unsigned)(at[1] - '0'), last = (unsigned)(at[11] - '0');
    return at[2] == '.' && whole <= 9 && last <= 9 && digits_others(digits_load(at + 3)) == 0;
}

bool herd_time_diff_valid(struct herd_slice text)
{
    if (text.len == 0 || (text.data[0] != '+' && text.data[0] != '-'))
        return false;
    if (text.len == DIFF_USUAL_LEN && is_usual_diff(text.data))
        return true;
    size_t mark = skip_digits(text, 1);
    if (mark == 1 || mark == text.len)
        return mark > 1;
    size_t end = text.data[mark] == '.' ? skip_digits(text, mark + 1) : 0;
    return end == text.len && end > mark + 1;
}
