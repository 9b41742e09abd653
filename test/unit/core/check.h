/* check.h: assertions for rows of a table: a failure names the row and prints both values. */
#ifndef TEST_CHECK_H
#define TEST_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <herd/buf.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Two integers; `row` is printf's format and arguments, in parentheses, as in CHECK_INT(("%s",
 * text), …). */
#define CHECK_INT(row, actual, expected)                                                           \
    do {                                                                                           \
        long long check_a = (long long)(actual), check_e = (long long)(expected);                  \
        if (check_a != check_e) {                                                                  \
            check_row row;                                                                         \
            fail_msg("%s is %lld, expected %lld", #actual, check_a, check_e);                      \
        }                                                                                          \
    } while (0)

#define CHECK_TRUE(row, condition)                                                                 \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            check_row row;                                                                         \
            fail_msg("%s does not hold", #condition);                                              \
        }                                                                                          \
    } while (0)

/* Two slices of bytes. */
#define CHECK_SLICE(row, actual, expected)                                                         \
    do {                                                                                           \
        struct herd_slice check_a = (actual), check_e = (expected);                                \
        if (!herd_slice_equal(check_a, check_e)) {                                                 \
            check_row row;                                                                         \
            check_show("got", check_a);                                                            \
            check_show("expected", check_e);                                                       \
            fail_msg("%s differs", #actual);                                                       \
        }                                                                                          \
    } while (0)

/* A slice and a C string. */
#define CHECK_TEXT(row, actual, text) CHECK_SLICE(row, actual, herd_slice_of(text))

__attribute__((format(printf, 1, 2))) static inline void check_row(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print_error("row: %s\n", text);
}

/* Prints bytes as a C string would be written, the first 2,000 of them. */
static inline void check_show(const char *what, struct herd_slice bytes)
{
    char text[8192];
    size_t at = 0;
    size_t len = bytes.len < 2000 ? bytes.len : 2000;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        if (c == '\n')
            at += (size_t)snprintf(text + at, sizeof(text) - at, "\\n");
        else if (c < ' ' || c >= 0x7f)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "\\x%02x", c);
        else
            text[at++] = (char)c;
    }
    text[at] = '\0';
    print_error("%8s (%zu bytes): \"%s\"%s\n", what, bytes.len, text,
                len < bytes.len ? " and more" : "");
}

#endif
