/* proto.h: one line of the wire <-> one command; the table of commands is in proto.c
 * (docs/protocol.md). */
#ifndef HERD_PROTO_H
#define HERD_PROTO_H

#include <herd/geo.h>
#include <herd/record.h>

enum herd_verb {
    HERD_VERB_NONE, /* a blank line */
    HERD_VERB_IAMAT,
    HERD_VERB_WHATSAT,
    HERD_VERB_FLOOD,
    HERD_VERB_HELLO,
    HERD_VERB_RESUME,
    HERD_VERB_REFUSE,
    HERD_VERB_MARK,
    HERD_VERB_PING,
    HERD_VERB_PONG,
    HERD_VERB_COUNT
};

enum { HERD_PROTOCOL_VERSION = 2, HERD_RADIUS_MAX_KM = 50, HERD_RESULTS_MAX = 20 };

/* A command, whose slices point into the line it was parsed from. Which fields are set follows from
 * verb. */
struct herd_command {
    enum herd_verb verb;
    /* IAMAT: client, location, sent, sent_ns. FLOOD: all. WHATSAT: client. */
    struct herd_record record;
    struct herd_slice server; /* FLOOD: who sends the line. HELLO: who dials. */
    double radius_m;          /* WHATSAT */
    unsigned count;           /* WHATSAT */
    unsigned version;         /* HELLO */
    uint64_t epoch, sequence; /* HELLO RESUME MARK */
    int64_t max_skew_ns;      /* HELLO; 0 for `-`, off */
    struct herd_slice rest;   /* HELLO: capabilities. REFUSE: the reason. */
};

/*
 * Takes a line (without its LF) apart. 0 with *out (HERD_VERB_NONE for a blank line); HERD_ESYNTAX
 * or HERD_ERANGE for what is to be answered with `? ` and the line.
 */
int herd_command_parse(struct herd_slice line, struct herd_command *out);

/* The verb's word as it stands on the wire. */
const char *herd_verb_name(enum herd_verb verb);

/* Whether an invalid line looks like another protocol's: an HTTP request or header line, a TLS
 * ClientHello. */
bool herd_line_is_foreign(struct herd_slice line);

/* Appends a line of the link, with its LF. 0 or HERD_ENOMEM. */
int herd_append_hello(struct herd_buf *out, struct herd_slice server, uint64_t epoch,
                      uint64_t sequence, int64_t max_skew_ns);
int herd_append_position(struct herd_buf *out, enum herd_verb verb, uint64_t epoch,
                         uint64_t sequence);

/* Appends `? ` + line + LF. */
int herd_append_invalid(struct herd_buf *out, struct herd_slice line);

#endif
