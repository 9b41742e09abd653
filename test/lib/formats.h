/* formats.h: what is formatted by printf, counted. A target that links herd_formats has its calls
 * of snprintf and vsnprintf counted, also those that an optimised build checks for room. */
#ifndef TEST_FORMATS_H
#define TEST_FORMATS_H

#include <stdbool.h>

/* It has no place to hand state through. */
extern struct formats {
    bool on;
    unsigned count;
} formats;

#endif
