#include "durable/witness.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <herd/buf.h>

enum { FILE_MODE = 0600, NUMBER_DIGITS = 19, TEXT_BYTES = NUMBER_DIGITS + 1 + 16 + 1 };

/* `<number> <hash of its digits>` LF, always of the same length, so that a write adds nothing. */
static void format(char out[TEXT_BYTES + 1], int64_t number)
{
    int len = snprintf(out, TEXT_BYTES + 1, "%0*" PRId64 " ", NUMBER_DIGITS, number);
    snprintf(out + len, (size_t)(TEXT_BYTES + 1 - len), "%016" PRIx64 "\n",
             (uint64_t)XXH3_64bits(out, NUMBER_DIGITS));
}

/* A line is within a sector and always as long, so that a power loss leaves one of those that were
 * written, or none: an empty file, or zeros where a file system has made it longer first. */
static int64_t read_number(int fd)
{
    static const char zeros[TEXT_BYTES];
    char text[TEXT_BYTES + 1] = "", expected[TEXT_BYTES + 1];
    ssize_t len = pread(fd, text, TEXT_BYTES, 0);
    if (len >= 0 && memcmp(text, zeros, (size_t)len) == 0)
        return 0;
    int64_t number = len == TEXT_BYTES ? strtoll(text, NULL, 10) : WITNESS_DAMAGED;
    if (number < 0)
        return WITNESS_DAMAGED;
    format(expected, number);
    return memcmp(text, expected, TEXT_BYTES) == 0 ? number : WITNESS_DAMAGED;
}

int witness_open(const char *records_path, int64_t *out_number)
{
    struct herd_buf path = {0};
    int fd = -1;
    *out_number = 0;
    if (herd_buf_printf(&path, "%s-witness", records_path) == 0) {
        fd = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
        int readable = fd >= 0 ? fd : open(path.data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (readable >= 0)
            *out_number = read_number(readable);
        if (fd < 0)
            witness_close(readable);
    }
    herd_buf_free(&path);
    return fd;
}

void witness_write(int fd, int64_t number)
{
    char text[TEXT_BYTES + 1];
    if (fd < 0)
        return;
    format(text, number);
    (void)!pwrite(fd, text, TEXT_BYTES, 0);
}

void witness_sync(int fd)
{
    if (fd >= 0)
        (void)!fdatasync(fd);
}

void witness_close(int fd)
{
    if (fd >= 0)
        close(fd);
}
