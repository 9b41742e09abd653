#include <herd/err.h>
#include <herd/record.h>

#include "core/copy.h"

int64_t herd_record_order_ns(const struct herd_record *record, int64_t max_skew_ns)
{
    if (max_skew_ns <= 0)
        return record->sent_ns;
    int64_t latest;
    if (__builtin_add_overflow(record->received_ns, max_skew_ns, &latest))
        latest = INT64_MAX;
    return record->sent_ns < latest ? record->sent_ns : latest;
}

static int compare_ns(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

int herd_record_compare(const struct herd_record *a, const struct herd_record *b,
                        int64_t max_skew_ns)
{
    int order =
        compare_ns(herd_record_order_ns(a, max_skew_ns), herd_record_order_ns(b, max_skew_ns));
    if (order == 0)
        order = herd_slice_compare(a->origin, b->origin);
    if (order == 0)
        order = herd_slice_compare(a->location, b->location);
    if (order == 0)
        order = compare_ns(a->received_ns, b->received_ns);
    if (order == 0)
        order = herd_slice_compare(a->sent, b->sent);
    if (order == 0)
        order = herd_slice_compare(a->received, b->received);
    return order != 0 ? order : herd_slice_compare(a->diff, b->diff);
}

size_t herd_record_text_len(const struct herd_record *record)
{
    return record->client.len + record->location.len + record->sent.len + record->received.len +
           record->origin.len + record->diff.len + 5;
}

bool herd_record_fits(const struct herd_record *record)
{
    return herd_record_text_len(record) <= HERD_RECORD_TEXT_MAX;
}

/* Whether one field stands behind another in one line, with a space between. */
static bool follows(struct herd_slice before, struct herd_slice field)
{
    return (uintptr_t)before.data + before.len + 1 == (uintptr_t)field.data &&
           before.data[before.len] == ' ';
}

static char *put(char *at, struct herd_slice field, char after)
{
    at = copy_bytes(at, field.data, field.len);
    *at = after;
    return at + 1;
}

/* Client, location and time: in most lines they stand so already. */
static char *put_position(char *at, const struct herd_record *record, char after)
{
    struct herd_slice all = record->client;
    if (follows(record->client, record->location) && follows(record->location, record->sent)) {
        all.len += record->location.len + record->sent.len + 2;
        return put(at, all, after);
    }
    at = put(at, record->client, ' ');
    at = put(at, record->location, ' ');
    return put(at, record->sent, after);
}

/* Whether the canonical text stands somewhere as it is, as in the usual FLOOD. */
static bool is_in_one_piece(const struct herd_record *record)
{
    return follows(record->sent, record->received) && follows(record->received, record->origin) &&
           follows(record->origin, record->diff) && follows(record->client, record->location) &&
           follows(record->location, record->sent);
}

bool herd_record_is(const struct herd_record *record, struct herd_slice text)
{
    return is_in_one_piece(record) && herd_record_text_len(record) == text.len &&
           memcmp(record->client.data, text.data, text.len) == 0;
}

void herd_record_write_text(const struct herd_record *record, char *out)
{
    if (is_in_one_piece(record)) {
        copy_bytes(out, record->client.data, herd_record_text_len(record));
        return;
    }
    out = put_position(out, record, ' ');
    if (follows(record->received, record->origin) && follows(record->origin, record->diff)) {
        copy_bytes(out, record->received.data,
                   record->received.len + record->origin.len + record->diff.len + 2);
        return;
    }
    out = put(out, record->received, ' ');
    out = put(out, record->origin, ' ');
    copy_bytes(out, record->diff.data, record->diff.len);
}

size_t herd_record_at_len(const struct herd_record *record)
{
    return record->client.len + record->location.len + record->sent.len + record->origin.len +
           record->diff.len + sizeof("AT     \n") - 1;
}

int herd_record_append_at(const struct herd_record *record, struct herd_buf *out)
{
    size_t len = herd_record_at_len(record);
    if (herd_buf_reserve(out, len) < 0)
        return HERD_ENOMEM;
    char *at = put(out->data + out->len, herd_slice("AT", 2), ' ');
    if (follows(record->origin, record->diff)) {
        at = put(at, herd_slice(record->origin.data, record->origin.len + 1 + record->diff.len),
                 ' ');
    } else {
        at = put(at, record->origin, ' ');
        at = put(at, record->diff, ' ');
    }
    put_position(at, record, '\n');
    out->len += len;
    return 0;
}
