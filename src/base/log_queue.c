#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "base/log_queue.h"

/* Stands before the bytes of each line. */
struct record {
    size_t len;
    uint64_t lost; /* as log_piece.lost */
};

int log_queue_init(struct log_queue *queue, size_t cap)
{
    *queue = (struct log_queue){.bytes = malloc(cap), .cap = cap};
    return queue->bytes != NULL ? 0 : HERD_ENOMEM;
}

void log_queue_free(struct log_queue *queue)
{
    free(queue->bytes);
    *queue = (struct log_queue){0};
}

static void put(struct log_queue *queue, const void *bytes, size_t len)
{
    assert(len <= queue->cap - queue->len);
    if (len == 0)
        return;
    size_t tail = (queue->head + queue->len) % queue->cap;
    size_t first = len < queue->cap - tail ? len : queue->cap - tail;
    memcpy(queue->bytes + tail, bytes, first);
    memcpy(queue->bytes, (const char *)bytes + first, len - first);
    queue->len += len;
}

static void peek(const struct log_queue *queue, size_t offset, void *out, size_t len)
{
    assert(offset + len <= queue->len);
    size_t at = (queue->head + offset) % queue->cap;
    size_t first = len < queue->cap - at ? len : queue->cap - at;
    memcpy(out, queue->bytes + at, first);
    memcpy((char *)out + first, queue->bytes, len - first);
}

bool log_queue_fits(const struct log_queue *queue, size_t line_len, size_t other_len)
{
    size_t needed = sizeof(struct record) + line_len;
    if (other_len > 0)
        needed += sizeof(struct record) + other_len;
    return needed <= queue->cap - queue->len;
}

void log_queue_put(struct log_queue *queue, const struct herd_slice *parts, size_t part_count,
                   uint64_t lost)
{
    struct record record = {.lost = lost};
    for (size_t i = 0; i < part_count; i++)
        record.len += parts[i].len;
    assert(record.len <= LOG_PIECE_MAX_BYTES);
    put(queue, &record, sizeof record);
    for (size_t i = 0; i < part_count; i++)
        put(queue, parts[i].data, parts[i].len);
}

void log_queue_take(struct log_queue *queue, struct log_piece *piece)
{
    piece->len = 0;
    piece->lost = 0;
    while (queue->len > 0 && piece->lost == 0) {
        struct record record;
        peek(queue, 0, &record, sizeof record);
        if (piece->len > 0 && (record.lost > 0 || piece->len + record.len > PIPE_BUF))
            return;
        peek(queue, sizeof record, piece->bytes + piece->len, record.len);
        queue->head = (queue->head + sizeof record + record.len) % queue->cap;
        queue->len -= sizeof record + record.len;
        piece->len += record.len;
        piece->lost = record.lost;
    }
}
