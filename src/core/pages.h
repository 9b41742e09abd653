/* pages.h: memory that goes back to the system at once, where malloc might keep it among others. */
#ifndef CORE_PAGES_H
#define CORE_PAGES_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE_BYTES = 4096 };

/* Frees what malloc gave, whose whole pages go back. */
static inline void pages_free(void *memory, size_t bytes)
{
    size_t misaligned = (PAGE_BYTES - (uintptr_t)memory % PAGE_BYTES) % PAGE_BYTES;
    if (bytes >= misaligned + PAGE_BYTES)
        madvise((char *)memory + misaligned, (bytes - misaligned) / PAGE_BYTES * PAGE_BYTES,
                MADV_DONTNEED);
    free(memory);
}

#endif
