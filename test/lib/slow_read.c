/*
 * Preloaded into a server: as long as the file named by SLOW_READ_WHILE is there, calls hang, as on
 * a disk that does not answer. Without text in that file, reads at an offset do: the SQLite files
 * are read so, and nothing else. With a path in it, those of the file of that path begin to hang
 * (`path (deleted)` for one that is replaced); and with a second line, not its reads but the calls
 * named there: close, fstat, stat or open, the last two by the same path as it stands in the call.
 * Once a call hangs there is a file beside the first one, of its name and ".hangs".
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* Not from their headers, whose inline functions and large-file names would be in the way. */
struct stat;
struct stat64;
int stat(const char *path, struct stat *out);
int stat64(const char *path, struct stat64 *out);
int fstat(int fd, struct stat *out);
int fstat64(int fd, struct stat64 *out);
int open(const char *path, int flags, ...);
int open64(const char *path, int flags, ...);
enum { MAKES_FILE = 0100 | 020000000 }; /* O_CREAT, O_TMPFILE */

/* What is to hang now, of which file. */
static bool read_order(const char *path, char only[PATH_MAX], const char **out_call)
{
    FILE *order = path != NULL ? fopen(path, "re") : NULL;
    if (order == NULL)
        return false;
    only[fread(only, 1, PATH_MAX - 1, order)] = '\0';
    fclose(order);
    char *end = strchr(only, '\n');
    *out_call = end != NULL ? end + 1 : "read";
    if (end != NULL)
        *end = '\0';
    return true;
}

/* Of a file by its path; NULL: by its descriptor. */
static bool hangs(const char *while_path, const char *call, const char *path, int fd)
{
    char only[PATH_MAX], link[64], file[PATH_MAX] = "";
    const char *slow_call;
    if (!read_order(while_path, only, &slow_call) || strcmp(slow_call, call) != 0)
        return false;
    if (path != NULL)
        return strcmp(only, path) == 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return only[0] == '\0' ||
           (readlink(link, file, sizeof(file) - 1) > 0 && strcmp(only, file) == 0);
}

static void say_so(const char *while_path)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s.hangs", while_path);
    FILE *sign = fopen(path, "we");
    if (sign != NULL)
        fclose(sign);
}

static void hang(const char *call, const char *path, int fd)
{
    const struct timespec step = {0, 1000000};
    const char *while_path = getenv("SLOW_READ_WHILE");
    int error = errno;
    bool is_slow = hangs(while_path, call, path, fd);
    if (is_slow)
        say_so(while_path);
    while (is_slow && access(while_path, F_OK) == 0)
        nanosleep(&step, NULL);
    errno = error;
}

static ssize_t read_later(const char *name, int fd, void *out, size_t len, off_t at)
{
    ssize_t (*next)(int, void *, size_t, off_t);
    *(void **)&next = dlsym(RTLD_NEXT, name);
    hang("read", NULL, fd);
    return next(fd, out, len, at);
}

ssize_t pread(int fd, void *out, size_t len, off_t at)
{
    return read_later("pread", fd, out, len, at);
}

ssize_t pread64(int fd, void *out, size_t len, off_t at)
{
    return read_later("pread64", fd, out, len, at);
}

int close(int fd)
{
    int (*next)(int);
    *(void **)&next = dlsym(RTLD_NEXT, "close");
    hang("close", NULL, fd);
    return next(fd);
}

static int fstat_later(const char *name, int fd, void *out)
{
    int (*next)(int, void *);
    *(void **)&next = dlsym(RTLD_NEXT, name);
    hang("fstat", NULL, fd);
    return next(fd, out);
}

int fstat(int fd, struct stat *out)
{
    return fstat_later("fstat", fd, out);
}

int fstat64(int fd, struct stat64 *out)
{
    return fstat_later("fstat64", fd, out);
}

static int stat_later(const char *name, const char *path, void *out)
{
    int (*next)(const char *, void *);
    *(void **)&next = dlsym(RTLD_NEXT, name);
    hang("stat", path, -1);
    return next(path, out);
}

int stat(const char *path, struct stat *out)
{
    return stat_later("stat", path, out);
}

int stat64(const char *path, struct stat64 *out)
{
    return stat_later("stat64", path, out);
}

static int open_later(const char *name, const char *path, int flags, unsigned mode)
{
    int (*next)(const char *, int, ...);
    *(void **)&next = dlsym(RTLD_NEXT, name);
    hang("open", path, -1);
    return next(path, flags, mode);
}

static unsigned mode_of(int flags, va_list more)
{
    return (flags & MAKES_FILE) != 0 ? va_arg(more, unsigned) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    unsigned mode = mode_of(flags, more);
    va_end(more);
    return open_later("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    unsigned mode = mode_of(flags, more);
    va_end(more);
    return open_later("open64", path, flags, mode);
}
