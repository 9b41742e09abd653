/* utf8.h: which bytes are UTF-8, and which of them a terminal would obey. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The bytes of the UTF-8 sequence at `at`, 1 to 4 of the `left` ones there, or 0 when there is none
 * (Unicode 15, table 3-7). */
size_t utf8_length(const unsigned char *at, size_t left);
/* Whether all of it is; takes no memory, for want of which a text could be taken for a bad one. */
bool utf8_is_valid(const char *text, size_t len);

/* Whether that sequence, of `len` bytes, is a control character: C0's, DEL, or C1's, which are two
 * bytes each. */
bool utf8_is_control(const unsigned char *at, size_t len);

#endif
