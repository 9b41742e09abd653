#include <stdint.h>

#include "shortage.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *memory);

/* malloc has no place to hand state through. */
static struct {
    bool on, for_good;
    size_t left; /* allocations before the one that fails */
    size_t failures;
    long live;
} shortage;

void shortage_begin(size_t nth, bool for_good)
{
    shortage.on = true;
    shortage.for_good = for_good;
    shortage.left = nth - 1;
    shortage.failures = 0;
}

void shortage_end(void)
{
    shortage.on = false;
}

bool shortage_pause(void)
{
    bool on = shortage.on;
    shortage.on = false;
    return on;
}

void shortage_resume(bool on)
{
    shortage.on = on;
}

size_t shortage_left(void)
{
    return shortage.failures > 0 ? 0 : shortage.left + 1;
}

size_t shortage_failures(void)
{
    return shortage.failures;
}

long shortage_live(void)
{
    return shortage.live;
}

static bool fails(void)
{
    if (!shortage.on)
        return false;
    if (shortage.left > 0) {
        shortage.left--;
        return false;
    }
    shortage.left = shortage.for_good ? 0 : SIZE_MAX;
    shortage.failures++;
    return true;
}

static void *counted(void *memory)
{
    shortage.live += memory != NULL;
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (fails())
        return NULL;
    void *memory = __real_realloc(old, size);
    return old == NULL ? counted(memory) : memory;
}

void __wrap_free(void *memory)
{
    shortage.live -= memory != NULL;
    __real_free(memory);
}
