#include <stdarg.h>
#include <stddef.h>

#include "formats.h"

struct formats formats;

__attribute__((format(printf, 3, 0))) int __real_vsnprintf(char *out, size_t size,
                                                           const char *format, va_list args);
__attribute__((format(printf, 3, 0))) int __wrap_vsnprintf(char *out, size_t size,
                                                           const char *format, va_list args);
__attribute__((format(printf, 3, 4))) int __wrap_snprintf(char *out, size_t size,
                                                          const char *format, ...);
__attribute__((format(printf, 5, 0))) int __wrap___vsnprintf_chk(char *out, size_t size, int flag,
                                                                 size_t room, const char *format,
                                                                 va_list args);
__attribute__((format(printf, 5, 6))) int __wrap___snprintf_chk(char *out, size_t size, int flag,
                                                                size_t room, const char *format,
                                                                ...);

int __wrap_vsnprintf(char *out, size_t size, const char *format, va_list args)
{
    formats.count += formats.on;
    return __real_vsnprintf(out, size, format, args);
}

int __wrap_snprintf(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = __wrap_vsnprintf(out, size, format, args);
    va_end(args);
    return len;
}

/* Nothing that tests format is too long for what it is written to. */
int __wrap___vsnprintf_chk(char *out, size_t size, int flag, size_t room, const char *format,
                           va_list args)
{
    (void)flag;
    (void)room;
    return __wrap_vsnprintf(out, size, format, args);
}

int __wrap___snprintf_chk(char *out, size_t size, int flag, size_t room, const char *format, ...)
{
    va_list args;
    (void)flag;
    (void)room;
    va_start(args, format);
    int len = __wrap_vsnprintf(out, size, format, args);
    va_end(args);
    return len;
}
