/* What links say of records that they hold back: HAVE and HELD. */
#include <herd/err.h>
#include <herd/proto.h>

int herd_append_range(struct herd_buf *out, enum herd_verb verb, uint64_t after, uint64_t sequence)
{
    return herd_buf_printf(out, "%s %llu %llu\n", herd_verb_name(verb), (unsigned long long)after,
                           (unsigned long long)sequence);
}

int herd_append_have(struct herd_buf *out, uint64_t after, uint64_t sequence,
                     struct herd_slice names)
{
    return herd_buf_printf(out, "%s %llu %llu%.*s\n", herd_verb_name(HERD_VERB_HAVE),
                           (unsigned long long)after, (unsigned long long)sequence, (int)names.len,
                           names.data);
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
