/*
 * Each frame has the running checksum of all up to it, so the one before says where a frame's own
 * sum begins. Behind a damaged frame those are whole whose sums go on from the frame before as it
 * stands there: two in a row show each other to be so.
 */
#include "durable/wal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 32,
    FRAME_HEADER_BYTES = 24,
    PAGE_MIN_BYTES = 512,
    PAGE_MAX_BYTES = 65536,
    MAGIC = 0x377f0682, /* its last bit: the words that are summed are big-endian */
};

struct sum {
    uint32_t a, b;
};

struct log {
    int fd;
    uint32_t page_bytes;
    bool is_big_endian;
    uint8_t salts[8];
    struct sum begin; /* of the header */
    uint8_t *frame;   /* header and page */
    size_t frame_bytes;
};

static uint32_t big_endian(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t little_endian(const uint8_t *at)
{
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static struct sum add(const struct log *log, struct sum sum, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        uint32_t x = log->is_big_endian ? big_endian(bytes + i) : little_endian(bytes + i);
        uint32_t y = log->is_big_endian ? big_endian(bytes + i + 4) : little_endian(bytes + i + 4);
        sum.a += x + sum.b;
        sum.b += y + sum.a;
    }
    return sum;
}

static struct sum sum_at(const uint8_t *at)
{
    return (struct sum){big_endian(at), big_endian(at + 4)};
}

static bool is_equal(struct sum x, struct sum y)
{
    return x.a == y.a && x.b == y.b;
}

static bool read_header(struct log *log)
{
    uint8_t header[HEADER_BYTES];
    if (pread(log->fd, header, sizeof header, 0) != sizeof header)
        return false;
    uint32_t magic = big_endian(header);
    log->is_big_endian = (magic & 1) != 0;
    log->page_bytes = big_endian(header + 8);
    memcpy(log->salts, header + 16, sizeof log->salts);
    log->begin = sum_at(header + 24);
    return (magic & ~1U) == MAGIC && log->page_bytes >= PAGE_MIN_BYTES &&
           log->page_bytes <= PAGE_MAX_BYTES && log->page_bytes % PAGE_MIN_BYTES == 0 &&
           is_equal(add(log, (struct sum){0, 0}, header, 24), log->begin);
}

/* Reads frame `i`, from 0. False: the file ends before its end. */
static bool read_frame(const struct log *log, int64_t i)
{
    off_t at = HEADER_BYTES + (off_t)i * (off_t)log->frame_bytes;
    return pread(log->fd, log->frame, log->frame_bytes, at) == (ssize_t)log->frame_bytes;
}

/* Whether the frame that was read is whole, and goes on from the sum of the one before. */
static bool is_whole(const struct log *log, struct sum before)
{
    if (memcmp(log->frame + 8, log->salts, sizeof log->salts) != 0)
        return false;
    struct sum sum = add(log, before, log->frame, 8);
    sum = add(log, sum, log->frame + FRAME_HEADER_BYTES, log->page_bytes);
    return is_equal(sum, sum_at(log->frame + 16));
}

static bool look(const struct log *log, struct wal_damage *out)
{
    struct sum before = log->begin;
    bool is_damaged = false, is_proven = false, was_commit = false;
    for (int64_t i = 0; read_frame(log, i); i++) {
        bool whole = is_whole(log, before);
        before = sum_at(log->frame + 16);
        if (!whole && !is_damaged)
            out->at_byte = HEADER_BYTES + i * (int64_t)log->frame_bytes;
        is_damaged |= !whole;
        is_proven |= is_damaged && whole && was_commit;
        was_commit = is_damaged && whole && big_endian(log->frame + 4) != 0;
        out->commits += was_commit;
    }
    return is_proven;
}

bool wal_is_damaged(const char *path, struct wal_damage *out)
{
    struct log log = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
    bool is_damaged = false;
    *out = (struct wal_damage){0, 0};
    if (log.fd < 0)
        return false;
    if (read_header(&log)) {
        log.frame_bytes = FRAME_HEADER_BYTES + (size_t)log.page_bytes;
        log.frame = malloc(log.frame_bytes);
        is_damaged = log.frame != NULL && look(&log, out);
        free(log.frame);
    }
    close(log.fd);
    return is_damaged;
}
