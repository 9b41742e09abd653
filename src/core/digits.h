/* digits.h: eight bytes of a text at a time: where its digits end, what they are worth, and back. */
#ifndef CORE_DIGITS_H
#define CORE_DIGITS_H

#include <endian.h>

#include <herd/buf.h>

#define DIGITS_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Eight bytes, the first in the low bits. */
static inline uint64_t digits_load(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return le64toh(word);
}

/* The eight bytes of a text from `at` on (at <= len); zeros behind its end. */
static inline uint64_t digits_word(struct herd_slice text, size_t at)
{
    size_t left = text.len - at;
    if (left >= 8)
        return digits_load(text.data + at);
    if (left == 0)
        return 0;
    if (text.len >= 8)
        return digits_load(text.data + text.len - 8) >> (8 * (8 - left));
    uint64_t word = 0;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)(unsigned char)text.data[at + i] << (8 * i);
    return word;
}

/* A word as a number that is ordered as the texts are. */
static inline uint64_t digits_order(uint64_t word)
{
    return __builtin_bswap64(word);
}

/* The high bits of bytes that are set in `marks`: how many bytes come before the first, 8 for
 * none. */
static inline unsigned digits_before(uint64_t marks)
{
    return marks == 0 ? 8 : (unsigned)__builtin_ctzll(marks) / 8;
}

/* Where the bytes of a word are that are no decimal digits, as digits_before takes it. */
static inline uint64_t digits_others(uint64_t word)
{
    uint64_t value = word ^ DIGITS_EACH('0'); /* a digit becomes 0..9 */
    uint64_t low = value & DIGITS_EACH(0x7f);
    return ((low + DIGITS_EACH(0x7f - 9)) | value) & DIGITS_EACH(0x80);
}

/* How many bytes at the beginning of a word are decimal digits. */
static inline unsigned digits_count(uint64_t word)
{
    return digits_before(digits_others(word));
}

/* What the first `count` (1..8) bytes of a word, all digits, are worth. Neighbours are joined to
 * numbers of two, then four, then eight digits. */
static inline uint32_t digits_value(uint64_t word, unsigned count)
{
    word <<= 8 * (8 - count);
    word = (word & DIGITS_EACH(0x0f)) * (10 * 256 + 1) >> 8;
    word = (word & UINT64_C(0x00ff00ff00ff00ff)) * (100 * 65536 + 1) >> 16;
    return (uint32_t)((word & UINT64_C(0x0000ffff0000ffff)) * (10000 * (UINT64_C(1) << 32) + 1) >>
                      32);
}

/* 10 to the power of `exponent`, 0..9. */
static inline uint32_t digits_power(unsigned exponent)
{
    static const uint32_t powers[] = {1,      10,      100,      1000,      10000,
                                      100000, 1000000, 10000000, 100000000, 1000000000};
    return powers[exponent];
}

/* A number below 10^8 as eight digits, the first in the low bits: split into halves of four digits,
 * of two, of one. 10486 / 2^20 is 1/100 for what is below 10,000, 103 / 2^10 is 1/10 for what is
 * below 100. */
static inline uint64_t digits_of(uint32_t value)
{
    uint64_t word = value / 10000 | (uint64_t)(value % 10000) << 32;
    uint64_t hundreds = (word * 10486 >> 20) & UINT64_C(0x0000007f0000007f);
    word = hundreds | (word - 100 * hundreds) << 16;
    uint64_t tens = (word * 103 >> 10) & UINT64_C(0x000f000f000f000f);
    word = tens | (word - 10 * tens) << 8;
    return word | DIGITS_EACH('0');
}

static inline void digits_store(char *at, uint64_t word)
{
    word = htole64(word);
    memcpy(at, &word, sizeof(word));
}

#endif
