#include <assert.h>

#include <herd/err.h>
#include <herd/posix_time.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The index behind the digits that begin at `at`. */
static size_t skip_digits(struct herd_slice text, size_t at)
{
    while (at < text.len && is_digit(text.data[at]))
        at++;
    return at;
}

/* Where the mark of `digits[.digits]` stands (text.len without a fraction), or -1 if it is not of
 * that form. */
static ptrdiff_t find_mark(struct herd_slice text)
{
    size_t mark = skip_digits(text, 0);
    if (mark == 0)
        return -1;
    if (mark == text.len)
        return (ptrdiff_t)mark;
    if (text.data[mark] != '.')
        return -1;
    size_t end = skip_digits(text, mark + 1);
    return end == text.len && end > mark + 1 ? (ptrdiff_t)mark : -1;
}

int herd_time_parse(struct herd_slice text, int64_t *out_ns)
{
    ptrdiff_t mark = find_mark(text);
    if (mark < 0)
        return HERD_ESYNTAX;
    int64_t seconds = 0;
    for (ptrdiff_t i = 0; i < mark; i++) {
        seconds = seconds * 10 + (text.data[i] - '0');
        if (seconds > INT64_MAX / HERD_NS_PER_S)
            return HERD_ERANGE;
    }
    int64_t fraction = 0;
    int64_t unit = HERD_NS_PER_S / 10;
    for (size_t i = (size_t)mark + 1; i < text.len && unit > 0; i++, unit /= 10)
        fraction += unit * (text.data[i] - '0');
    if (seconds == INT64_MAX / HERD_NS_PER_S && fraction > INT64_MAX % HERD_NS_PER_S)
        return HERD_ERANGE;
    *out_ns = seconds * HERD_NS_PER_S + fraction;
    return 0;
}

static size_t format_unsigned(uint64_t ns, char *out)
{
    char digits[HERD_TIME_TEXT_MAX];
    size_t at = sizeof(digits);
    for (int decimals = 0; decimals < 9; decimals++, ns /= 10)
        digits[--at] = (char)('0' + ns % 10);
    digits[--at] = '.';
    do {
        digits[--at] = (char)('0' + ns % 10);
        ns /= 10;
    } while (ns > 0);
    memcpy(out, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
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

bool herd_time_diff_valid(struct herd_slice text)
{
    if (text.len == 0 || (text.data[0] != '+' && text.data[0] != '-'))
        return false;
    return find_mark(herd_slice(text.data + 1, text.len - 1)) >= 0;
}
