/* grown.h: arrays that double when they are full. */
#ifndef CORE_GROWN_H
#define CORE_GROWN_H

#include <stdint.h>
#include <stdlib.h>

/* `array` with room for an element behind the `count` that it has, or NULL: no memory, and it is as
 * it was. */
static inline void *grown(void *array, uint32_t count, uint32_t *cap, size_t element_bytes)
{
    enum { CAP_FIRST = 16 };
    if (count < *cap)
        return array;
    uint32_t new_cap = *cap > 0 ? *cap * 2 : CAP_FIRST;
    void *bigger = realloc(array, new_cap * element_bytes);
    if (bigger != NULL)
        *cap = new_cap;
    return bigger;
}

#endif
