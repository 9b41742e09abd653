/*
 * Preloaded into a server: as long as the file named by SLOW_READ_WHILE is there, reads at an
 * offset hang, as on a disk that does not answer. The SQLite files are read so, and nothing else.
 * If there is a path in that file, reads of this one begin to hang: `path (deleted)` for one that
 * is replaced.
 */
#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

typedef ssize_t pread_fn(int fd, void *out, size_t len, off_t at);

static bool hangs(const char *path, int fd)
{
    char only[PATH_MAX] = "", link[64], file[PATH_MAX] = "";
    FILE *which = path != NULL ? fopen(path, "re") : NULL;
    if (which == NULL)
        return false;
    size_t len = fread(only, 1, sizeof(only) - 1, which);
    fclose(which);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return len == 0 || (readlink(link, file, sizeof(file) - 1) > 0 && strcmp(only, file) == 0);
}

static ssize_t read_later(const char *name, int fd, void *out, size_t len, off_t at)
{
    const struct timespec step = {0, 1000000};
    const char *path = getenv("SLOW_READ_WHILE");
    pread_fn *next;
    *(void **)&next = dlsym(RTLD_NEXT, name);
    bool is_slow = hangs(path, fd);
    while (is_slow && access(path, F_OK) == 0)
        nanosleep(&step, NULL);
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
