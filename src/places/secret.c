/*
 * Blocks of powers of two, each behind a header with its class, from chunks that are never given
 * back; one list of free blocks a class. A block too large for a chunk is a mapping of its own.
 */
#include "places/secret.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/thread.h"

enum { STACK_BYTES = 64 << 10 }; /* deeper than libcurl and OpenSSL go */

enum { CHUNK_BYTES = 1 << 20, SHIFT_MIN = 6, SHIFT_MAX = 17, CLASS_COUNT = SHIFT_MAX + 1 };

/* In front of each block, as long as the strictest alignment. */
union header {
    struct {
        size_t size; /* of header and block together: 1 << shift, or a mapping's */
        int shift;   /* 0: it is a mapping of its own */
    } is;
    max_align_t align;
};

struct free_block {
    struct free_block *next;
};

/* In front of each mapping, as long as the smallest block: so blocks in a chunk stay aligned. */
struct region {
    LIST_ENTRY(region) link;
    size_t size; /* this included */
} __attribute__((aligned(1 << SHIFT_MIN)));

/* The only globals of the room: libcurl's allocator has no argument to keep them in. */
static struct {
    pthread_mutex_t lock;
    struct free_block *free[CLASS_COUNT];
    char *chunk; /* the rest of the newest one */
    size_t chunk_left;
    size_t bytes;
    LIST_HEAD(, region) regions;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* What follows the region's header; the lock is held. */
static void *map(size_t size)
{
    struct region *pages =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    if (madvise(pages, size, MADV_DONTDUMP) != 0) {
        munmap(pages, size);
        return NULL;
    }
    mlock2(pages, size, MLOCK_ONFAULT); /* RLIMIT_MEMLOCK may say no: decision 0006 */
    pool.bytes += size;
    pages->size = size;
    LIST_INSERT_HEAD(&pool.regions, pages, link);
    return pages + 1;
}

static void unmap(union header *first)
{
    struct region *pages = (struct region *)first - 1;
    LIST_REMOVE(pages, link);
    pool.bytes -= pages->size;
    munmap(pages, pages->size);
}

static size_t rounded_to_pages(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) / page * page;
}

/* A block of 1 << shift bytes; the lock is held. */
static void *take(int shift)
{
    struct free_block *block = pool.free[shift];
    size_t size = (size_t)1 << shift;
    if (block != NULL) {
        pool.free[shift] = block->next;
        return block;
    }
    if (pool.chunk_left < size) { /* its rest is lost: less than one block of the largest class */
        pool.chunk = map(CHUNK_BYTES);
        pool.chunk_left = pool.chunk != NULL ? CHUNK_BYTES - sizeof(struct region) : 0;
    }
    if (pool.chunk_left < size)
        return NULL;
    void *fresh = pool.chunk;
    pool.chunk += size;
    pool.chunk_left -= size;
    return fresh;
}

static int shift_of(size_t size)
{
    int shift = SHIFT_MIN;
    while (shift <= SHIFT_MAX && (size_t)1 << shift < size)
        shift++;
    return shift <= SHIFT_MAX ? shift : 0;
}

void *secret_malloc(size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size_t whole = size + sizeof(union header);
    int shift = shift_of(whole);
    size_t pages = rounded_to_pages(whole + sizeof(struct region));
    whole = shift > 0 ? (size_t)1 << shift : pages - sizeof(struct region);
    pthread_mutex_lock(&pool.lock);
    union header *header = shift > 0 ? take(shift) : map(pages);
    pthread_mutex_unlock(&pool.lock);
    if (header == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    header->is.size = whole;
    header->is.shift = shift;
    return header + 1;
}

void secret_free(void *block)
{
    if (block == NULL)
        return;
    union header *header = (union header *)block - 1;
    size_t size = header->is.size;
    int shift = header->is.shift;
    explicit_bzero(header, size);
    pthread_mutex_lock(&pool.lock);
    if (shift == 0) {
        unmap(header);
    } else {
        struct free_block *freed = (struct free_block *)header;
        freed->next = pool.free[shift];
        pool.free[shift] = freed;
    }
    pthread_mutex_unlock(&pool.lock);
}

void *secret_calloc(size_t count, size_t size)
{
    if (size > 0 && count > SIZE_MAX / 2 / size)
        return NULL;
    void *block = secret_malloc(count * size);
    if (block != NULL)
        memset(block, 0, count * size);
    return block;
}

void *secret_realloc(void *block, size_t size)
{
    if (block == NULL)
        return secret_malloc(size);
    const union header *header = (const union header *)block - 1;
    size_t room = header->is.size - sizeof *header;
    if (size <= room)
        return block;
    void *larger = secret_malloc(size);
    if (larger == NULL)
        return NULL;
    memcpy(larger, block, room);
    secret_free(block);
    return larger;
}

char *secret_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = secret_malloc(size);
    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

#ifdef __x86_64__
/* zmm16 to zmm31 are those that nothing else overwrites soon: only a few functions of the C library
 * use them. No clobbers are named: a function's caller counts on none of them. */
static void clear_registers(void)
{
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroall");
    if (__builtin_cpu_supports("avx512f"))
        __asm__ volatile(".irp i,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n\t"
                         "vpxord %zmm\\i, %zmm\\i, %zmm\\i\n\t"
                         ".endr");
}
#else
static void clear_registers(void)
{
}
#endif

__attribute__((noinline)) void secret_burn(void)
{
    char area[STACK_BYTES];
    explicit_bzero(area, sizeof area);
    clear_registers();
}

size_t secret_bytes(void)
{
    pthread_mutex_lock(&pool.lock);
    size_t bytes = pool.bytes;
    pthread_mutex_unlock(&pool.lock);
    return bytes;
}

static void on_crash(int number)
{
    (void)number;
    for (;;)
        pause();
}

/* The lock is kept. */
void secret_wipe_all(void)
{
    const struct region *region;
    int number;
    for (size_t i = 0; (number = thread_crash_signal(i)) != 0; i++)
        signal(number, on_crash);
    pthread_mutex_lock(&pool.lock);
    LIST_FOREACH(region, &pool.regions, link)
    {
        explicit_bzero((void *)(uintptr_t)(region + 1), region->size - sizeof *region);
    }
    secret_burn();
}
