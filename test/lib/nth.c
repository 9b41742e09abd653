#include "nth.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

/* What is wrapped has no place to hand state through. Shared with children. */
static struct shared {
    atomic_int kind;  /* threads of what is tested may still work while the next is armed */
    atomic_uint left; /* calls before the one that fails, and that one; 0: none does */
    atomic_bool has_failed;
} * shared;

void nth_arm(int kind, unsigned nth)
{
    if (shared == NULL) {
        void *page =
            mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert(page != MAP_FAILED);
        shared = page;
    }
    atomic_store(&shared->left, 0);
    atomic_store(&shared->kind, kind);
    atomic_store(&shared->has_failed, false);
    atomic_store(&shared->left, nth);
}

bool nth_fails(int kind)
{
    unsigned left = shared != NULL ? atomic_load(&shared->left) : 0;
    if (left == 0 || kind != atomic_load(&shared->kind))
        return false;
    while (!atomic_compare_exchange_weak(&shared->left, &left, left - 1)) {
        if (left == 0)
            return false;
    }
    if (left > 1)
        return false;
    atomic_store(&shared->has_failed, true);
    return true;
}

bool nth_has_failed(void)
{
    return atomic_load(&shared->has_failed);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
char *__wrap_strndup(const char *text, size_t len);
int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __real_vasprintf(char **out, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
int __wrap_vasprintf(char **out, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

void *__wrap_malloc(size_t size)
{
    return nth_fails(NTH_ALLOCATION) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return nth_fails(NTH_ALLOCATION) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return nth_fails(NTH_ALLOCATION) ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return nth_fails(NTH_ALLOCATION) ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t len)
{
    return nth_fails(NTH_ALLOCATION) ? NULL : __real_strndup(text, len);
}

int __wrap_vasprintf(char **out, const char *format, va_list args)
{
    if (!nth_fails(NTH_ALLOCATION))
        return __real_vasprintf(out, format, args);
    *out = (char *)1; /* nobody may rely on it */
    return -1;
}

int __wrap_asprintf(char **out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = __wrap_vasprintf(out, format, args);
    va_end(args);
    return len;
}
