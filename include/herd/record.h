/* record.h: what the herd knows of one client, as text that travels unchanged, and the one total
 * order of such records. */
#ifndef HERD_RECORD_H
#define HERD_RECORD_H

#include <herd/frame.h>

enum {
    HERD_CLIENT_ID_MAX = 256,                                /* bytes */
    HERD_NAME_MAX = 64,                                      /* bytes of a server's name */
    HERD_RECORD_TEXT_MAX = HERD_LINE_MAX - HERD_NAME_MAX - 7 /* behind `FLOOD <server> ` */
};

/*
 * A record as its fields, which belong to whoever made the view. Its canonical text is these six in
 * this order, with one space between each two.
 */
struct herd_record {
    struct herd_slice client;   /* client_id */
    struct herd_slice location; /* as the client sent it */
    struct herd_slice sent;     /* client_time_sent */
    struct herd_slice received; /* server_time_received, POSIX seconds with 9 decimals */
    struct herd_slice origin;   /* original_server: who received the IAMAT */
    struct herd_slice diff;     /* time_diff */
    int64_t sent_ns;
    int64_t received_ns;
};

/* Whether a record's text is short enough to travel in a FLOOD of any server: at most
 * HERD_RECORD_TEXT_MAX bytes. */
bool herd_record_fits(const struct herd_record *record);

/* Bytes of the canonical text. */
size_t herd_record_text_len(const struct herd_record *record);

/* Writes the canonical text, herd_record_text_len bytes. */
void herd_record_write_text(const struct herd_record *record, char *out);

/* Whether `text` is the canonical text and the record's fields stand together as it does, as those
 * of the usual FLOOD do. False may mean that they stand apart. */
bool herd_record_is(const struct herd_record *record, struct herd_slice text);

/*
 * What orders records in time: sent, but with max_skew_ns > 0 at most received + max_skew_ns, so
 * that a clock far ahead does not win for ever. Nanoseconds.
 */
int64_t herd_record_order_ns(const struct herd_record *record, int64_t max_skew_ns);

/*
 * The total order of all records of one client: < 0 when `a` is older than `b`, > 0 when it is
 * newer, 0 only when both have the same six fields. Compared: order time, origin, location,
 * received, then the text of sent, received and diff.
 */
int herd_record_compare(const struct herd_record *a, const struct herd_record *b,
                        int64_t max_skew_ns);

/* Bytes of the AT line. */
size_t herd_record_at_len(const struct herd_record *record);

/* Appends `AT <origin> <diff> <client> <location> <sent>` LF. 0 or HERD_ENOMEM. */
int herd_record_append_at(const struct herd_record *record, struct herd_buf *out);

#endif
