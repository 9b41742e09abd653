#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <herd/buf.h>
#include <herd/err.h>

enum { BUF_MIN_BYTES = 256 };

int herd_slice_compare(struct herd_slice a, struct herd_slice b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

int herd_buf_reserve(struct herd_buf *buf, size_t more)
{
    if (more <= buf->cap - buf->len)
        return 0;
    if (more > SIZE_MAX / 4 - buf->len)
        return HERD_ENOMEM;
    size_t cap = buf->cap < BUF_MIN_BYTES ? BUF_MIN_BYTES : buf->cap;
    while (cap - buf->len < more)
        cap *= 2;
    char *data = realloc(buf->data, cap);
    if (data == NULL)
        return HERD_ENOMEM;
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int herd_buf_append(struct herd_buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return 0;
    int rc = herd_buf_reserve(buf, len);
    if (rc < 0)
        return rc;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return 0;
}

int herd_buf_append_slice(struct herd_buf *buf, struct herd_slice slice)
{
    return herd_buf_append(buf, slice.data, slice.len);
}

int herd_buf_append_text(struct herd_buf *buf, const char *text)
{
    return herd_buf_append(buf, text, strlen(text));
}

int herd_buf_printf(struct herd_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return HERD_EINVAL;
    int rc = herd_buf_reserve(buf, (size_t)len + 1);
    if (rc < 0)
        return rc;
    va_start(args, format);
    vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
    return 0;
}

void herd_buf_consume(struct herd_buf *buf, size_t len)
{
    if (len < buf->len)
        memmove(buf->data, buf->data + len, buf->len - len);
    buf->len -= len;
}

void herd_buf_free(struct herd_buf *buf)
{
    free(buf->data);
    *buf = (struct herd_buf){0};
}
