/* frame.h: cuts a stream of bytes, however it arrives, into lines that end at LF. */
#ifndef HERD_FRAME_H
#define HERD_FRAME_H

#include <herd/buf.h>

enum {
    HERD_LINE_MAX = 4096 /* longest line without its LF; a longer one ends the connection */
};

/* What is left of earlier bytes. All zero is an empty one; it holds no memory while it is empty. */
struct herd_frame {
    char *carry;
    uint32_t from, len, cap; /* the bytes kept are carry[from..len) */
};

/*
 * Gives the next line of what was kept and of `*input`, which is advanced past what was used.
 * 1: *line is the next one, without LF and a CR before it; it is valid until the next call on this
 * frame or until the bytes of `input` change. 0: no whole line; what was left of `*input` is kept,
 * and `*input` is empty. HERD_ETOOLONG: the line is longer than HERD_LINE_MAX, *line is its first
 * HERD_LINE_MAX bytes. Do not go on. HERD_ENOMEM: nothing was used.
 */
int herd_frame_next(struct herd_frame *frame, struct herd_slice *input, struct herd_slice *line);

/* The same where nothing is kept and the LF is known to stand `len` bytes behind the beginning of
 * `*input`: never 0 or HERD_ENOMEM. */
int herd_frame_take(struct herd_slice *input, size_t len, struct herd_slice *line);

/* Gives back the line that the last call gave, which is not used yet: the next one gives it again.
 * `before` is what `*input` was before that call. */
void herd_frame_put_back(struct herd_frame *frame, struct herd_slice before, struct herd_slice line,
                         struct herd_slice *input);

/* Keeps all of `input` for later calls (who stops in the middle of it). 0, or HERD_ENOMEM. */
int herd_frame_keep(struct herd_frame *frame, struct herd_slice input);

/* After the end of the stream: 1 and the last line, which had no LF, or 0; HERD_ETOOLONG as above.
 * Call when herd_frame_next gave 0. */
int herd_frame_last(struct herd_frame *frame, struct herd_slice *line);

/* Bytes kept. */
static inline size_t herd_frame_kept(const struct herd_frame *frame)
{
    return frame->len - frame->from;
}

void herd_frame_free(struct herd_frame *frame);

#endif
