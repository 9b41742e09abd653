/* plain_lines.h: lines of a stream by the rules of the protocol, in a few lines of plain code, to
 * compare herd_frame with. */
#ifndef TEST_PLAIN_LINES_H
#define TEST_PLAIN_LINES_H

#include <herd/frame.h>

/*
 * Takes the next line off the stream, whose end has come: 1 and *line without LF and a CR before
 * it, 0 at the end, -1 and its first HERD_LINE_MAX bytes for a line that is too long.
 */
static inline int plain_line(struct herd_slice *stream, struct herd_slice *line)
{
    if (stream->len == 0)
        return 0;
    const char *end = memchr(stream->data, '\n', stream->len);
    size_t len = end != NULL ? (size_t)(end - stream->data) : stream->len;
    size_t used = end != NULL ? len + 1 : len;
    *line = herd_slice(stream->data, len);
    *stream = herd_slice(stream->data + used, stream->len - used);
    if (line->len > 0 && line->data[line->len - 1] == '\r')
        line->len--;
    if (line->len <= HERD_LINE_MAX)
        return 1;
    line->len = HERD_LINE_MAX;
    return -1;
}

#endif
