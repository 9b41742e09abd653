/* log_queue.h: the lines that wait for the log's writer, in a ring of bytes of a fixed size. */
#ifndef BASE_LOG_QUEUE_H
#define BASE_LOG_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <herd/buf.h>

/* One piece holds at most PIPE_BUF bytes of whole lines, or a single line that is longer. */
enum { LOG_PIECE_MAX_BYTES = 17408 };

/* Whole lines on their way out of the queue; or one notice that lines were lost, with how many. */
struct log_piece {
    size_t len;
    uint64_t lost;
    char bytes[LOG_PIECE_MAX_BYTES];
};

/* Not locked: that is the log's matter. The oldest byte is at `head`. */
struct log_queue {
    char *bytes;
    size_t cap;
    size_t head;
    size_t len;
};

/* Room for `cap` bytes, lines and a few bytes for each. 0 or HERD_ENOMEM. */
int log_queue_init(struct log_queue *queue, size_t cap);
void log_queue_free(struct log_queue *queue);

/* Whether lines of these lengths (with LF; 0: none) fit, both. */
bool log_queue_fits(const struct log_queue *queue, size_t line_len, size_t other_len);

/*
 * Queues the line that `parts` make together, at most LOG_PIECE_MAX_BYTES; it must fit. `lost` > 0:
 * it is a notice of that many.
 */
void log_queue_put(struct log_queue *queue, const struct herd_slice *parts, size_t part_count,
                   uint64_t lost);

/* Moves the oldest lines into the piece; its len is 0 when there are none. */
void log_queue_take(struct log_queue *queue, struct log_piece *piece);

#endif
