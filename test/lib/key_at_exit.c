/*
 * Preloaded into a server: what ends by _exit looks before whether its memory holds a text, which
 * is in KEY_AT_EXIT_HEX with each byte as two digits (else the search would find that), and writes
 * how often into the file KEY_AT_EXIT_TO, behind how often it has found what is in
 * KEY_AT_EXIT_SURE_HEX.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TEXT_MAX = 256, BLOCK = 1 << 16 };

struct needle {
    size_t len;
    char inverted[TEXT_MAX]; /* so that this is none, either */
};

static void read_needle(const char *name, struct needle *out)
{
    const char *hex = getenv(name);
    unsigned byte;
    out->len = 0;
    while (hex != NULL && out->len < TEXT_MAX && sscanf(hex + 2 * out->len, "%2x", &byte) == 1)
        out->inverted[out->len++] = (char)~byte;
}

static size_t count_in(const char *block, size_t len, const struct needle *needle)
{
    const char *end = block + len, *at = block;
    size_t count = 0;
    while ((at = memchr(at, (char)~needle->inverted[0], (size_t)(end - at))) != NULL) {
        size_t same = 0;
        while (same < needle->len && at + same < end && at[same] == (char)~needle->inverted[same])
            same++;
        count += same == needle->len;
        at++;
    }
    return count;
}

/* Of all memory that can be read, without what this needs to read it into. */
static void count_all(const struct needle needles[2], size_t counts[2])
{
    size_t room = BLOCK + TEXT_MAX;
    char *block = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    unsigned long begin, end;
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx r", &begin, &end) != 2 || strstr(line, "[v") != NULL)
            continue;
        for (unsigned long at = begin; at < end; at += BLOCK) {
            if (at <= (unsigned long)block && (unsigned long)block < at + BLOCK)
                continue;
            size_t len = end - at < room ? end - at : room;
            lseek(memory, (off_t)at, SEEK_SET);
            ssize_t got = read(memory, block, len); /* not pread: that may be slow_read.c's */
            for (int i = 0; got > 0 && i < 2; i++)
                counts[i] += count_in(block, (size_t)got, &needles[i]);
        }
    }
    fclose(maps);
    close(memory);
    munmap(block, room);
}

void _exit(int status)
{
    static struct needle needles[2];
    size_t counts[2] = {0};
    read_needle("KEY_AT_EXIT_SURE_HEX", &needles[0]);
    read_needle("KEY_AT_EXIT_HEX", &needles[1]);
    const char *path = getenv("KEY_AT_EXIT_TO");
    FILE *out = path != NULL ? fopen(path, "we") : NULL;
    if (out != NULL) {
        count_all(needles, counts);
        fprintf(out, "%zu %zu\n", counts[0], counts[1]);
        fclose(out);
    }
    for (;;)
        syscall(SYS_exit_group, status);
}
