/* read_queue.h: streams whose bytes wait in the kernel, because in a turn of the loop so many were
 * read from that others would have to wait for too long. Who came first is read from first; who has
 * been read from in this turn, and has more to say, comes behind all who have not. */
#ifndef NET_READ_QUEUE_H
#define NET_READ_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct stream;

/* All 0: nobody waits. A place for each that has waited at once, until read_queue_give_back. */
struct read_queue {
    struct stream **streams;
    size_t count, cap;
    size_t read; /* of them, the last ones: were read from in this turn */
    size_t most; /* that waited at once since read_queue_give_back */
};

/* False: no memory. */
bool read_queue_join(struct read_queue *queue, struct stream *stream, bool was_read);
/* It is in it. */
void read_queue_leave(struct read_queue *queue, const struct stream *stream);
/* At a turn's end: hands the first ones, `max` at most, to `resume`, which may close them; they are
 * out of it then. None that was read from in this turn: had the poll not missed it in the next one,
 * it would tell of it first again. */
void read_queue_resume(struct read_queue *queue, size_t max, void (*resume)(struct stream *stream));
/* Frees what is far more than it has needed since the last call; how many bytes. */
size_t read_queue_give_back(struct read_queue *queue);
/* Nobody waits. */
void read_queue_free(struct read_queue *queue);

#endif
