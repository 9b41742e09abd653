/*
 * Preloaded into a server: as long as the file named by SLOW_SYNC_WHILE is there, fsync and
 * fdatasync hang, as on a disk that does not answer.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void hang(void)
{
    const struct timespec step = {0, 1000000};
    const char *path = getenv("SLOW_SYNC_WHILE");
    while (path != NULL && access(path, F_OK) == 0)
        nanosleep(&step, NULL);
}

static int call(const char *name, int fd)
{
    int (*next)(int fd);
    *(void **)&next = dlsym(RTLD_NEXT, name);
    hang();
    return next(fd);
}

int fsync(int fd)
{
    return call("fsync", fd);
}

int fdatasync(int fd)
{
    return call("fdatasync", fd);
}
