/*
 * Preloaded into a server: as long as the file named by SLOW_READ_WHILE is there, reads at an offset
 * hang, as on a disk that does not answer. The SQLite files are read so, and nothing else.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

typedef ssize_t pread_fn(int fd, void *out, size_t len, off_t at);

static ssize_t read_later(const char *name, int fd, void *out, size_t len, off_t at)
{
    const struct timespec step = {0, 1000000};
    const char *path = getenv("SLOW_READ_WHILE");
    pread_fn *next;
    *(void **)&next = dlsym(RTLD_NEXT, name);
    while (path != NULL && access(path, F_OK) == 0)
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
