/* What links say to each other, line by line; MARK and ACK in great numbers. */
#include <herd/err.h>
#include <herd/proto.h>

#include "core/put.h"

int herd_append_mark(struct herd_buf *out, enum herd_verb verb, uint64_t epoch, uint64_t sequence,
                     uint64_t passed)
{
    struct herd_slice word = herd_slice_of(herd_verb_name(verb));
    if (herd_buf_reserve(out, word.len + 1 + HEX_DIGITS + 2 * (1 + NUMBER_DIGITS_MAX) + 1) < 0)
        return HERD_ENOMEM;
    char *at = out->data + out->len;
    memcpy(at, word.data, word.len);
    at += word.len;
    at = put_number(put_hex(at, epoch), sequence);
    if (passed != sequence)
        at = put_number(at, passed);
    *at++ = '\n';
    out->len = (size_t)(at - out->data);
    return 0;
}

int herd_append_position(struct herd_buf *out, enum herd_verb verb, uint64_t epoch,
                         uint64_t sequence)
{
    return herd_append_mark(out, verb, epoch, sequence, sequence);
}

int herd_append_digest(struct herd_buf *out, uint64_t clients, uint64_t digest)
{
    return herd_buf_printf(out, "DIGEST %llu %016llx\n", (unsigned long long)clients,
                           (unsigned long long)digest);
}

static int append_prefix(struct herd_buf *out, enum herd_verb verb, uint64_t prefix,
                         unsigned prefix_len)
{
    if (prefix_len == 0)
        return herd_buf_printf(out, "%s -", herd_verb_name(verb));
    return herd_buf_printf(out, "%s %0*llx", herd_verb_name(verb), (int)prefix_len,
                           (unsigned long long)prefix);
}

int herd_append_tree(struct herd_buf *out, uint64_t prefix, unsigned prefix_len,
                     const uint64_t sums[HERD_TREE_FANOUT])
{
    int rc = append_prefix(out, HERD_VERB_TREE, prefix, prefix_len);
    for (int i = 0; rc == 0 && i < HERD_TREE_FANOUT; i++)
        rc = herd_buf_printf(out, " %016llx", (unsigned long long)sums[i]);
    return rc < 0 ? rc : herd_buf_append(out, "\n", 1);
}

int herd_append_keys(struct herd_buf *out, uint64_t prefix, unsigned prefix_len)
{
    return append_prefix(out, HERD_VERB_KEYS, prefix, prefix_len);
}

int herd_append_word(struct herd_buf *out, enum herd_verb verb, struct herd_slice word, bool first)
{
    size_t before = out->len;
    int rc = first ? herd_buf_append_text(out, herd_verb_name(verb)) : 0;
    if (rc == 0)
        rc = herd_buf_append(out, " ", 1);
    if (rc == 0)
        rc = herd_buf_append_slice(out, word);
    if (rc < 0)
        out->len = before;
    return rc;
}

int herd_append_want(struct herd_buf *out, struct herd_slice client)
{
    int rc = herd_append_word(out, HERD_VERB_WANT, client, true);
    return rc < 0 ? rc : herd_buf_append(out, "\n", 1);
}

int herd_append_invalid(struct herd_buf *out, struct herd_slice line)
{
    size_t len = herd_invalid_len(line);
    if (herd_buf_reserve(out, len) < 0)
        return HERD_ENOMEM;
    memcpy(out->data + out->len, "? ", 2);
    if (line.len > 0)
        memcpy(out->data + out->len + 2, line.data, line.len);
    out->data[out->len + 2 + line.len] = '\n';
    out->len += len;
    return 0;
}
