#include <stdlib.h>

#include <herd/err.h>
#include <herd/frame.h>

enum { FRAME_MIN_BYTES = 128 };

static void drop_if_empty(struct herd_frame *frame)
{
    if (frame->cap > 0 && frame->from == frame->len)
        herd_frame_free(frame);
}

static struct herd_slice without_cr(const char *data, size_t len)
{
    return herd_slice(data, len > 0 && data[len - 1] == '\r' ? len - 1 : len);
}

/* A line may have its CR beyond the limit, so the limit counts what is left without it. */
static int check(const char *data, size_t len, struct herd_slice *line)
{
    *line = without_cr(data, len);
    if (line->len <= HERD_LINE_MAX)
        return 1;
    line->len = HERD_LINE_MAX;
    return HERD_ETOOLONG;
}

/* Whether a line without its LF yet is too long, whatever follows: its last byte may be its CR. */
static bool is_too_long(const char *data, size_t len)
{
    return len > HERD_LINE_MAX + 1 || (len == HERD_LINE_MAX + 1 && data[len - 1] != '\r');
}

int herd_frame_keep(struct herd_frame *frame, struct herd_slice input)
{
    if (input.len == 0)
        return 0;
    size_t kept = herd_frame_kept(frame);
    if (frame->from > 0) {
        memmove(frame->carry, frame->carry + frame->from, kept);
        frame->from = 0;
        frame->len = (uint32_t)kept;
    }
    size_t need = kept + input.len;
    if (need > frame->cap) {
        size_t cap = FRAME_MIN_BYTES;
        while (cap < need)
            cap *= 2;
        if (cap > UINT32_MAX)
            return HERD_ENOMEM;
        char *carry = realloc(frame->carry, cap);
        if (carry == NULL)
            return HERD_ENOMEM;
        frame->carry = carry;
        frame->cap = (uint32_t)cap;
    }
    memcpy(frame->carry + kept, input.data, input.len);
    frame->len = (uint32_t)need;
    return 0;
}

/* The line that began in the carry: from there if it is whole, else completed with the beginning of
 * the input. */
static int next_of_carry(struct herd_frame *frame, struct herd_slice *input,
                         struct herd_slice *line)
{
    const char *begin = frame->carry + frame->from;
    const char *end = memchr(begin, '\n', herd_frame_kept(frame));
    if (end == NULL && herd_frame_kept(frame) <= HERD_LINE_MAX + 1 && input->len > 0) {
        const char *input_end = memchr(input->data, '\n', input->len);
        size_t used = input_end != NULL ? (size_t)(input_end - input->data) + 1 : input->len;
        /* One byte more than the limit, its CR and its LF are all that a line can need. */
        size_t room = HERD_LINE_MAX + 3 - herd_frame_kept(frame);
        if (used > room)
            used = room;
        if (herd_frame_keep(frame, herd_slice(input->data, used)) < 0)
            return HERD_ENOMEM;
        *input = herd_slice(input->data + used, input->len - used);
        begin = frame->carry + frame->from;
        end = memchr(begin, '\n', herd_frame_kept(frame));
    }
    if (end != NULL) {
        frame->from += (uint32_t)(end - begin) + 1;
        return check(begin, (size_t)(end - begin), line);
    }
    if (!is_too_long(begin, herd_frame_kept(frame)))
        return 0;
    *line = herd_slice(begin, HERD_LINE_MAX);
    return HERD_ETOOLONG;
}

int herd_frame_take(struct herd_slice *input, size_t len, struct herd_slice *line)
{
    int rc = check(input->data, len, line);
    *input = herd_slice(input->data + len + 1, input->len - len - 1);
    return rc;
}

int herd_frame_next(struct herd_frame *frame, struct herd_slice *input, struct herd_slice *line)
{
    if (herd_frame_kept(frame) > 0)
        return next_of_carry(frame, input, line);
    drop_if_empty(frame);
    if (input->len == 0)
        return 0;
    const char *end = memchr(input->data, '\n', input->len);
    if (end != NULL)
        return herd_frame_take(input, (size_t)(end - input->data), line);
    if (is_too_long(input->data, input->len)) {
        *line = herd_slice(input->data, HERD_LINE_MAX);
        return HERD_ETOOLONG;
    }
    int rc = herd_frame_keep(frame, *input);
    if (rc == 0)
        *input = herd_slice(input->data + input->len, 0);
    return rc;
}

int herd_frame_last(struct herd_frame *frame, struct herd_slice *line)
{
    if (herd_frame_kept(frame) == 0)
        return 0;
    const char *begin = frame->carry + frame->from;
    size_t len = herd_frame_kept(frame);
    frame->from = frame->len;
    return check(begin, len, line);
}

void herd_frame_put_back(struct herd_frame *frame, struct herd_slice before, struct herd_slice line,
                         struct herd_slice *input)
{
    if (before.len > 0 && line.data == before.data)
        *input = before;
    else
        frame->from = (uint32_t)(line.data - frame->carry);
}

void herd_frame_free(struct herd_frame *frame)
{
    free(frame->carry);
    *frame = (struct herd_frame){0};
}
