/* copy.h: copies short texts in line: most fields are of 4 to 64 bytes, where calling memcpy costs
 * more than it does. */
#ifndef CORE_COPY_H
#define CORE_COPY_H

#include <stddef.h>
#include <string.h>

/* Copies `len` bytes that do not overlap; returns the end of the copy. The last 16 (8, 4) bytes are
 * copied once more rather than counted. */
static inline char *copy_bytes(char *to, const char *from, size_t len)
{
    if (len >= 16) {
        size_t last = len - 16;
        for (size_t at = 0; at < last; at += 16)
            memcpy(to + at, from + at, 16);
        memcpy(to + last, from + last, 16);
    } else if (len >= 8) {
        memcpy(to, from, 8);
        memcpy(to + len - 8, from + len - 8, 8);
    } else if (len >= 4) {
        memcpy(to, from, 4);
        memcpy(to + len - 4, from + len - 4, 4);
    } else {
        for (size_t at = 0; at < len; at++)
            to[at] = from[at];
    }
    return to + len;
}

#endif
