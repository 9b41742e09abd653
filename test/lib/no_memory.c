/*
 * Preloaded into a program: once the file named by NO_MEMORY_ORDER is there, the n-th allocation
 * from then on fails, of whatever library; n is the text of that file, which is renamed to its name
 * and ".done" when it does. Without the file nothing fails any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* glibc's own, which need no look-up: that would allocate. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static atomic_bool begun; /* the libraries are there: what they allocate before is not ours */
static atomic_long left;  /* allocations before the one that fails, and that one; 0: no order yet */

/* Those of what is preloaded come last. */
__attribute__((constructor)) static void begin(void)
{
    atomic_store(&begun, true);
}

/* 0: there is none. */
static long read_order(const char *path)
{
    char text[16] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    return len > 0 ? atol(text) : 0;
}

static bool fails(void)
{
    const char *path = getenv("NO_MEMORY_ORDER");
    int error = errno;
    bool it_does = false;
    long none = 0;
    if (path == NULL || !atomic_load(&begun))
        return false;
    if (atomic_load(&left) == 0)
        atomic_compare_exchange_strong(&left, &none, read_order(path));
    if (atomic_load(&left) > 0 && access(path, F_OK) != 0)
        atomic_store(&left, 0);
    if (atomic_load(&left) > 0 && atomic_fetch_sub(&left, 1) == 1) {
        char done[4096];
        snprintf(done, sizeof(done), "%s.done", path);
        it_does = rename(path, done) == 0;
    }
    errno = it_does ? ENOMEM : error;
    return it_does;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}
