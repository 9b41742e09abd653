/* What links say of records that they hold back: HAVE and HELD. */
#include <herd/err.h>
#include <herd/proto.h>

#include "core/copy.h"
#include "core/put.h"

static int append_range(struct herd_buf *out, enum herd_verb verb, uint64_t after,
                        uint64_t sequence, struct herd_slice names)
{
    struct herd_slice word = herd_slice_of(herd_verb_name(verb));
    if (herd_buf_reserve(out, word.len + 2 * (1 + NUMBER_DIGITS_MAX) + names.len + 1) < 0)
        return HERD_ENOMEM;
    char *at = copy_bytes(out->data + out->len, word.data, word.len);
    at = put_number(put_number(at, after), sequence);
    at = copy_bytes(at, names.data, names.len);
    *at++ = '\n';
    out->len = (size_t)(at - out->data);
    return 0;
}

int herd_append_range(struct herd_buf *out, enum herd_verb verb, uint64_t after, uint64_t sequence)
{
    return append_range(out, verb, after, sequence, herd_slice(NULL, 0));
}

int herd_append_have(struct herd_buf *out, uint64_t after, uint64_t sequence,
                     struct herd_slice names)
{
    return append_range(out, HERD_VERB_HAVE, after, sequence, names);
}

int herd_next_have(struct herd_slice *rest, uint32_t *hash, struct herd_slice *client,
                   int64_t *order_ns)
{
    static const char digits[] = "0123456789abcdef";
    int rc = herd_next_key(rest, client, order_ns);
    uint32_t value = 0;
    if (rc <= 0)
        return rc;
    if (client->len < 10 || client->data[8] != ':')
        return HERD_ESYNTAX;
    for (size_t i = 0; i < 8; i++) {
        const char *digit = memchr(digits, client->data[i], 16);
        if (digit == NULL)
            return HERD_ESYNTAX;
        value = value << 4 | (uint32_t)(digit - digits);
    }
    *hash = value;
    *client = herd_slice(client->data + 9, client->len - 9);
    return 1;
}
