/* put.h: numbers of the protocol's lines, each with a space before it, written without printf. */
#ifndef CORE_PUT_H
#define CORE_PUT_H

#include <stdint.h>
#include <string.h>

enum { HEX_DIGITS = 16, NUMBER_DIGITS_MAX = 20 };

/* Each writes into room that is there, and returns the end. */
static inline char *put_hex(char *at, uint64_t value)
{
    *at++ = ' ';
    for (unsigned i = 0; i < HEX_DIGITS; i++)
        at[i] = "0123456789abcdef"[value >> (4 * (HEX_DIGITS - 1 - i)) & 0xf];
    return at + HEX_DIGITS;
}

static inline char *put_number(char *at, uint64_t value)
{
    char digits[NUMBER_DIGITS_MAX];
    size_t from = sizeof(digits);
    do
        digits[--from] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    *at++ = ' ';
    memcpy(at, digits + from, sizeof(digits) - from);
    return at + sizeof(digits) - from;
}

#endif
