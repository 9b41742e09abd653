/* buf.h: borrowed bytes (herd_slice) and an owned, growing string of bytes (herd_buf). */
#ifndef HERD_BUF_H
#define HERD_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that belong to somebody else; not terminated. */
struct herd_slice {
    const char *data;
    size_t len;
};

static inline struct herd_slice herd_slice(const char *data, size_t len)
{
    return (struct herd_slice){data, len};
}

/* The bytes of a C string, without its NUL. */
static inline struct herd_slice herd_slice_of(const char *text)
{
    return (struct herd_slice){text, strlen(text)};
}

static inline bool herd_slice_equal(struct herd_slice a, struct herd_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Byte order, as memcmp: < 0, 0 or > 0; a prefix comes before what it begins. */
int herd_slice_compare(struct herd_slice a, struct herd_slice b);

/* Owned bytes. All zero is an empty one; herd_buf_free gives the memory back and empties it. */
struct herd_buf {
    char *data;
    size_t len;
    size_t cap;
};

/* Makes room for `more` bytes behind len. 0, or HERD_ENOMEM with the contents unchanged. */
int herd_buf_reserve(struct herd_buf *buf, size_t more);

/* Appends; 0 or HERD_ENOMEM with the contents unchanged. */
int herd_buf_append(struct herd_buf *buf, const void *data, size_t len);
int herd_buf_append_slice(struct herd_buf *buf, struct herd_slice slice);
int herd_buf_append_text(struct herd_buf *buf, const char *text);
int herd_buf_printf(struct herd_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Drops the first `len` bytes (len <= buf->len). */
void herd_buf_consume(struct herd_buf *buf, size_t len);

void herd_buf_free(struct herd_buf *buf);

static inline struct herd_slice herd_buf_slice(const struct herd_buf *buf)
{
    return (struct herd_slice){buf->data, buf->len};
}

#endif
