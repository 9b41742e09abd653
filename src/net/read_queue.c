#include "net/read_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_PLACES = 64 };

static bool grow(struct read_queue *queue)
{
    size_t cap = queue->cap > 0 ? 2 * queue->cap : FIRST_PLACES;
    struct stream **streams = realloc(queue->streams, cap * sizeof(struct stream *));
    if (streams == NULL)
        return false;
    queue->streams = streams;
    queue->cap = cap;
    return true;
}

bool read_queue_join(struct read_queue *queue, struct stream *stream, bool was_read)
{
    if (queue->count == queue->cap && !grow(queue))
        return false;
    size_t place = was_read ? queue->count : queue->count - queue->read;
    queue->streams[queue->count++] = queue->streams[place];
    queue->streams[place] = stream;
    queue->read += was_read;
    queue->most = queue->count > queue->most ? queue->count : queue->most;
    return true;
}

static void drop(struct read_queue *queue, size_t at, size_t count)
{
    queue->count -= count;
    memmove(queue->streams + at, queue->streams + at + count,
            (queue->count - at) * sizeof(struct stream *));
}

void read_queue_leave(struct read_queue *queue, const struct stream *stream)
{
    size_t at = 0;
    while (at < queue->count && queue->streams[at] != stream)
        at++;
    assert(at < queue->count);
    queue->read -= at >= queue->count - queue->read;
    drop(queue, at, 1);
}

void read_queue_resume(struct read_queue *queue, size_t max, void (*resume)(struct stream *stream))
{
    size_t count = queue->count - queue->read;
    if (count > max)
        count = max;
    queue->read = 0;
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        resume(queue->streams[i]);
    drop(queue, 0, count);
}

size_t read_queue_give_back(struct read_queue *queue)
{
    size_t before = queue->cap, cap = before;
    while (cap > FIRST_PLACES && queue->most <= cap / 4)
        cap /= 2;
    queue->most = queue->count;
    struct stream **streams =
        cap < before ? realloc(queue->streams, cap * sizeof(struct stream *)) : NULL;
    if (streams == NULL)
        return 0;
    queue->streams = streams;
    queue->cap = cap;
    return (before - cap) * sizeof(struct stream *);
}

void read_queue_free(struct read_queue *queue)
{
    assert(queue->count == 0);
    free(queue->streams);
    *queue = (struct read_queue){0};
}
