#include "base/utf8.h"

size_t utf8_length(const unsigned char *at, size_t left)
{
    static const struct {
        unsigned char first_min, first_max, len, second_min, second_max;
    } forms[] = {
        {0x00, 0x7f, 1, 0x00, 0x00}, {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
        {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
        {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (at[0] < forms[i].first_min || at[0] > forms[i].first_max)
            continue;
        size_t len = forms[i].len;
        if (len > left || (len > 1 && (at[1] < forms[i].second_min || at[1] > forms[i].second_max)))
            return 0;
        for (size_t next = 2; next < len; next++)
            if ((at[next] & 0xc0) != 0x80)
                return 0;
        return len;
    }
    return 0;
}

bool utf8_is_control(const unsigned char *at, size_t len)
{
    return *at < 0x20 || *at == 0x7f || (len == 2 && *at == 0xc2 && at[1] < 0xa0);
}

bool utf8_is_valid(const char *text, size_t len)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t at = 0, step = 1;
    for (; at < len && step > 0; at += step)
        step = utf8_length(bytes + at, len - at);
    return step > 0;
}
