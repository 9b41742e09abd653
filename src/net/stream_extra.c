#include "net/stream_extra.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

size_t extra_unsent(const struct stream_extra *extra)
{
    size_t bytes = 0;
    const struct piece *piece = extra->first;
    if (extra->is_with_libuv) {
        bytes = uv_stream_get_write_queue_size((const uv_stream_t *)&extra->stream->tcp);
        piece = piece->next;
    }
    for (; piece != NULL; piece = piece->next)
        bytes += piece->buf.len;
    return bytes;
}

void extra_tighten(struct herd_buf *buf, size_t sent)
{
    buf->len -= sent;
    if (sent > 0)
        memmove(buf->data, buf->data + sent, buf->len);
    if (buf->len > buf->cap / 4 * 3)
        return;
    char *data = realloc(buf->data, buf->len);
    if (data == NULL)
        return;
    buf->data = data;
    buf->cap = buf->len;
}

int extra_add(struct stream_extra *extra, struct herd_buf *take_buf, size_t sent)
{
    struct piece *last = NULL;
    if (extra->first != NULL)
        last = (struct piece *)(void *)((char *)extra->end - offsetof(struct piece, next));
    bool is_open = last != NULL && !(extra->is_with_libuv && last == extra->first);
    if (is_open && last->buf.len + take_buf->len <= STREAM_GATHER_BYTES)
        return herd_buf_append_slice(&last->buf, herd_buf_slice(take_buf)) < 0 ? UV_ENOMEM : 0;
    struct piece *piece = malloc(sizeof(*piece));
    if (piece == NULL)
        return UV_ENOMEM;
    extra_tighten(take_buf, sent);
    *piece = (struct piece){.buf = *take_buf};
    *take_buf = (struct herd_buf){0};
    *extra->end = piece;
    extra->end = &piece->next;
    return 0;
}
