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
    HERD_VERB_ACK,
    HERD_VERB_DIGEST,
    HERD_VERB_TREE,
    HERD_VERB_KEYS,
    HERD_VERB_WANT,
    HERD_VERB_PING,
    HERD_VERB_PONG,
    HERD_VERB_PRUNE,
    HERD_VERB_GRAFT,
    HERD_VERB_LOST,
    HERD_VERB_FASTER,
    HERD_VERB_HAVE,
    HERD_VERB_HELD,
    HERD_VERB_ENDED,
    HERD_VERB_COUNT
};

enum {
    HERD_PROTOCOL_VERSION = 2,
    HERD_RADIUS_MAX_KM = 50,
    HERD_RESULTS_MAX = 20,
    HERD_WAIT_MS = 2000, /* of WHATSAT … AFTER without WAIT */
    HERD_WAIT_MAX_MS = 5000,
    HERD_TREE_FANOUT = 16,
    HERD_PREFIX_MAX = 16 /* hexadecimal digits of a prefix */
};

/* A word behind HELLO: this server knows PRUNE, GRAFT, LOST, FASTER, HAVE and HELD. */
#define HERD_CAPABILITY_PRUNE "prune"
/* Behind RESUME: what this server told last it may have lost. */
#define HERD_WORD_RECOVERED "recovered"
/* Words with a number behind HELLO: record_ttl_s, 0 for off; of a server that was read from disk, what
 * names this life (16 hex, random) and its first sequence. RESUME has the life too. */
#define HERD_WORD_TTL  "ttl="
#define HERD_WORD_LIFE "life="
#define HERD_WORD_FROM "from="
/* Behind RESUME: the dialler's life (16 hex, 0 for the first of its epoch) that marked the sequence,
 * where that is not the one of its HELLO. */
#define HERD_WORD_OF "of="

/* A command, whose slices point into the line it was parsed from. Which fields are set follows from
 * verb. */
struct herd_command {
    enum herd_verb verb;
    struct herd_slice line;
    /* IAMAT: client, location, sent, sent_ns. FLOOD: all. WHATSAT: client. */
    struct herd_record record;
    struct herd_slice server;        /* FLOOD: who sends the line. HELLO: who dials. */
    double radius_m;                 /* WHATSAT */
    unsigned count;                  /* WHATSAT */
    bool has_after;                  /* WHATSAT … AFTER */
    int64_t after_ns;                /* only a record of this time or later will do */
    int64_t wait_ms;                 /* how long it may be waited for */
    unsigned version;                /* HELLO */
    uint64_t epoch, sequence;        /* HELLO RESUME MARK ACK; HAVE HELD: the end of the range */
    uint64_t after;                  /* HAVE HELD: the range begins behind this */
    uint64_t passed;                 /* MARK ACK; as sequence where the line does not say it */
    int64_t ended_ns;                /* ENDED: server_time_received */
    uint64_t clients, digest;        /* DIGEST */
    uint64_t prefix;                 /* TREE KEYS: hexadecimal digits, the last in the low bits */
    unsigned prefix_len;             /* TREE KEYS: how many */
    uint64_t sums[HERD_TREE_FANOUT]; /* TREE */
    int64_t max_skew_ns;             /* HELLO; 0 for `-`, off */
    struct herd_slice
        rest; /* HELLO, RESUME: further words. REFUSE: the reason. KEYS, WANT, HAVE, PRUNE,
                 GRAFT, LOST, FASTER: the list. */
};

/*
 * Takes a line (without its LF) apart. 0 with *out (HERD_VERB_NONE for a blank line); HERD_ESYNTAX
 * or HERD_ERANGE for what is to be answered with `? ` and the line.
 */
int herd_command_parse(struct herd_slice line, struct herd_command *out);

/* Takes a record's canonical text apart, with the checks of a FLOOD. 0, HERD_ESYNTAX or
 * HERD_ERANGE. */
int herd_record_parse(struct herd_slice text, struct herd_record *out);

/* The verb's word as it stands on the wire. */
const char *herd_verb_name(enum herd_verb verb);

/* Whether an invalid line looks like another protocol's: an HTTP request or header line, a TLS
 * ClientHello. */
bool herd_line_is_foreign(struct herd_slice line);

/* Appends a line of the link, with its LF. 0 or HERD_ENOMEM. `capabilities`: words, or empty. */
int herd_append_hello(struct herd_buf *out, struct herd_slice server, uint64_t epoch,
                      uint64_t sequence, int64_t max_skew_ns, const char *capabilities);
/* of_life: in which the dialler has marked that, or NULL: in its present one. recovered_life: of a
 * server that was read from disk and has had no MARK since; 0: of another. */
int herd_append_resume(struct herd_buf *out, uint64_t epoch, uint64_t sequence,
                       const uint64_t *of_life, uint64_t recovered_life);
int herd_append_position(struct herd_buf *out, enum herd_verb verb, uint64_t epoch,
                         uint64_t sequence);
/* MARK, ACK. */
int herd_append_mark(struct herd_buf *out, enum herd_verb verb, uint64_t epoch, uint64_t sequence,
                     uint64_t passed);
/* HAVE, HELD; the names of a HAVE are ` <8 hex>:<id>:<time>` each. */
int herd_append_range(struct herd_buf *out, enum herd_verb verb, uint64_t after, uint64_t sequence);
int herd_append_have(struct herd_buf *out, uint64_t after, uint64_t sequence,
                     struct herd_slice names);
int herd_append_ended(struct herd_buf *out, int64_t received_ns);
int herd_append_digest(struct herd_buf *out, uint64_t clients, uint64_t digest);
int herd_append_tree(struct herd_buf *out, uint64_t prefix, unsigned prefix_len,
                     const uint64_t sums[HERD_TREE_FANOUT]);
/* `KEYS <prefix>`, without an LF: entries ` <id>:<time>` follow. */
int herd_append_keys(struct herd_buf *out, uint64_t prefix, unsigned prefix_len);
int herd_append_want(struct herd_buf *out, struct herd_slice client);
/* One more word of a line `<verb> <word> …` that the caller ends; with the verb, if it is the
 * first. */
int herd_append_word(struct herd_buf *out, enum herd_verb verb, struct herd_slice word, bool first);

/* Takes the next word off *rest: true and *word, or false at the end. */
bool herd_next_word(struct herd_slice *rest, struct herd_slice *word);
/* Takes the next `<id>:<time>` of a KEYS line off *rest: 1, 0 at the end, or HERD_ESYNTAX. */
int herd_next_key(struct herd_slice *rest, struct herd_slice *client, int64_t *sent_ns);

/* Takes the next `<8 hex>:<id>:<time>` of a HAVE line off *rest: 1, 0 at the end, or HERD_ESYNTAX. */
int herd_next_have(struct herd_slice *rest, uint32_t *hash, struct herd_slice *client,
                   int64_t *order_ns);

/* Bytes of `? ` + line + LF. */
static inline size_t herd_invalid_len(struct herd_slice line)
{
    return line.len + sizeof("? \n") - 1;
}

/* Appends `? ` + line + LF. 0 or HERD_ENOMEM. */
int herd_append_invalid(struct herd_buf *out, struct herd_slice line);

#endif
