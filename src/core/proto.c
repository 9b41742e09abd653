#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/digits.h"

enum byte_class { BYTE_WORD, BYTE_SPACE, BYTE_CONTROL };

static enum byte_class classify(unsigned char byte)
{
    if (byte > ' ' && byte != 0x7f)
        return BYTE_WORD;
    return byte == ' ' || (byte >= '\t' && byte <= '\r') ? BYTE_SPACE : BYTE_CONTROL;
}

static struct herd_slice skip_more_space(struct herd_slice text)
{
    while (text.len > 0 && classify((unsigned char)*text.data) == BYTE_SPACE)
        text = herd_slice(text.data + 1, text.len - 1);
    return text;
}

/* Mostly one space. */
static inline struct herd_slice skip_space(struct herd_slice text)
{
    if (text.len > 0 && *text.data == ' ')
        text = herd_slice(text.data + 1, text.len - 1);
    bool more = text.len > 0 && (unsigned char)*text.data <= ' ';
    return more ? skip_more_space(text) : text;
}

/* Where the bytes of a word are that end a field, space or control, as digits_before takes it. A
 * byte below 0x21 or of 0x7f is one of them; bytes from 0x80 on belong to a field. */
static uint64_t field_ends(uint64_t word)
{
    uint64_t low = word & DIGITS_EACH(0x7f);
    uint64_t printable = low + DIGITS_EACH(0x80 - 0x21);
    uint64_t is_delete = low + DIGITS_EACH(1);
    return (~printable | is_delete) & ~word & DIGITS_EACH(0x80);
}

static size_t field_len(struct herd_slice text)
{
    size_t at = 0;
    for (; text.len - at >= 8; at += 8) {
        uint64_t ends = field_ends(digits_load(text.data + at));
        if (ends != 0)
            return at + digits_before(ends);
    }
    /* The zeros behind the end of the text end a field as well. */
    return at + digits_before(field_ends(digits_word(text, at)));
}

/* Takes the next field off *text: 1 and *field, 0 when there is none, HERD_ESYNTAX for a control
 * byte in it. */
static int next_field(struct herd_slice *text, struct herd_slice *field)
{
    struct herd_slice rest = skip_space(*text);
    size_t len = field_len(rest);
    if (len < rest.len && classify((unsigned char)rest.data[len]) == BYTE_CONTROL)
        return HERD_ESYNTAX;
    *field = herd_slice(rest.data, len);
    *text = herd_slice(rest.data + len, rest.len - len);
    return len > 0;
}

/* The next field, which has to be there. */
static int take(struct herd_slice *text, struct herd_slice *field)
{
    int rc = next_field(text, field);
    return rc == 0 ? HERD_ESYNTAX : rc < 0 ? rc : 0;
}

static bool is_ascii(struct herd_slice text)
{
    uint64_t seen = 0;
    for (size_t at = 0; at < text.len; at += 8)
        seen |= digits_word(text, at);
    return (seen & DIGITS_EACH(0x80)) == 0;
}

static int take_client(struct herd_slice *text, struct herd_slice *client)
{
    int rc = take(text, client);
    return rc == 0 && client->len > HERD_CLIENT_ID_MAX ? HERD_ERANGE : rc;
}

/* A name of at most seven bytes behind one space: a word shows all of it. False for any other. */
static bool take_short_server(struct herd_slice *text, struct herd_slice *server)
{
    if (text->len < 9 || text->data[0] != ' ')
        return false;
    uint64_t word = digits_load(text->data + 1);
    unsigned len = digits_before(field_ends(word));
    if (len == 0 || len == 8 || text->data[1 + len] != ' ' ||
        (word & DIGITS_EACH(0x80) & ((UINT64_C(1) << (8 * len)) - 1)) != 0)
        return false;
    *server = herd_slice(text->data + 1, len);
    *text = herd_slice(server->data + len, text->len - len - 1);
    return true;
}

static int take_server(struct herd_slice *text, struct herd_slice *server)
{
    if (take_short_server(text, server))
        return 0;
    int rc = take(text, server);
    if (rc < 0)
        return rc;
    return server->len <= HERD_NAME_MAX && is_ascii(*server) ? 0 : HERD_ERANGE;
}

/* Takes the first `len` bytes off *text, if a field ends there. */
static bool take_bytes(struct herd_slice *text, size_t len, struct herd_slice *field)
{
    if (len < text->len && classify((unsigned char)text->data[len]) != BYTE_SPACE)
        return false;
    *field = herd_slice(text->data, len);
    *text = herd_slice(text->data + len, text->len - len);
    return true;
}

static int take_location(struct herd_slice *text, struct herd_slice *location)
{
    struct herd_location unused;
    *text = skip_space(*text);
    size_t len = herd_location_begins(*text);
    if (len > 0 && take_bytes(text, len, location))
        return 0;
    int rc = take(text, location);
    return rc < 0 ? rc : herd_location_parse(*location, &unused);
}

static int take_time(struct herd_slice *text, struct herd_slice *time, int64_t *ns)
{
    *text = skip_space(*text);
    if (herd_time_begins(*text, ns) && take_bytes(text, HERD_TIME_USUAL_LEN, time))
        return 0;
    int rc = take(text, time);
    return rc < 0 ? rc : herd_time_parse(*time, ns);
}

/* Behind one space it is mostly all that is left of the line. */
static int take_diff(struct herd_slice *text, struct herd_slice *diff)
{
    if (text->len > 0 && *text->data == ' ') {
        *diff = herd_slice(text->data + 1, text->len - 1);
        if (herd_time_diff_valid(*diff)) {
            *text = herd_slice(text->data + text->len, 0);
            return 0;
        }
    }
    int rc = take(text, diff);
    if (rc < 0)
        return rc;
    return herd_time_diff_valid(*diff) ? 0 : HERD_ESYNTAX;
}

/* A decimal integer of at most `max`. */
static int take_number(struct herd_slice *text, uint64_t max, uint64_t *out)
{
    struct herd_slice field;
    int rc = take(text, &field);
    if (rc < 0)
        return rc;
    uint64_t value = 0;
    for (size_t i = 0; i < field.len; i++) {
        unsigned digit = (unsigned char)field.data[i] - (unsigned)'0';
        if (digit > 9)
            return HERD_ESYNTAX;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return HERD_ERANGE;
    }
    *out = value;
    return value <= max ? 0 : HERD_ERANGE;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 64 bits as 16 lower-case hexadecimal digits: epochs and digests. */
static int take_hex(struct herd_slice *text, uint64_t *out)
{
    struct herd_slice field;
    int rc = take(text, &field);
    if (rc < 0)
        return rc;
    if (field.len != 16)
        return HERD_ESYNTAX;
    uint64_t value = 0;
    for (size_t i = 0; i < field.len; i++) {
        int digit = hex_digit(field.data[i]);
        if (digit < 0)
            return HERD_ESYNTAX;
        value = value << 4 | (uint64_t)digit;
    }
    *out = value;
    return 0;
}

/* Kilometres, `digits[.digits]`, to metres. The time parser keeps nine decimals: a micrometre. */
static int take_radius(struct herd_slice *text, double *out_m)
{
    struct herd_slice field;
    int64_t billionths;
    int rc = take_time(text, &field, &billionths);
    if (rc < 0)
        return rc;
    if (billionths > HERD_RADIUS_MAX_KM * HERD_NS_PER_S)
        return HERD_ERANGE;
    *out_m = (double)billionths / 1e6;
    return 0;
}

/* All that is left of the line, which may be nothing: capabilities, a reason. */
static int take_rest(struct herd_slice *text, struct herd_slice *rest)
{
    struct herd_slice field;
    int rc;
    *rest = skip_space(*text);
    while ((rc = next_field(text, &field)) > 0)
        ;
    return rc;
}

/* Where the field ends that begins at `at`; NULL when that is not known before `end`. */
static inline const char *plain_field_end(const char *at, const char *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t ends = field_ends(digits_load(at));
        if (ends != 0)
            return at + digits_before(ends);
    }
    return NULL;
}

/*
 * The usual position: client, location and time with one space before each, the location in
 * degrees and the time with nine decimals, and a space or nothing behind them. False for any other,
 * also one that is none.
 */
static bool take_usual_position(struct herd_slice *text, struct herd_record *record)
{
    const char *end = text->data + text->len;
    if (text->len == 0 || *text->data != ' ')
        return false;
    const char *client = text->data + 1, *at = plain_field_end(client, end);
    if (at == NULL || at == client || at - client > HERD_CLIENT_ID_MAX || *at != ' ')
        return false;
    const char *location = at + 1;
    at = location + herd_location_begins(herd_slice(location, (size_t)(end - location)));
    if (at == location || at == end || *at != ' ')
        return false;
    const char *time = at + 1;
    if (!herd_time_begins(herd_slice(time, (size_t)(end - time)), &record->sent_ns))
        return false;
    record->client = herd_slice(client, (size_t)(location - 1 - client));
    record->location = herd_slice(location, (size_t)(at - location));
    at = time + HERD_TIME_USUAL_LEN;
    record->sent = herd_slice(time, HERD_TIME_USUAL_LEN);
    *text = herd_slice(at, (size_t)(end - at));
    return at == end || *at == ' ';
}

/* Who, where and when. */
static int take_position(struct herd_slice *text, struct herd_record *record)
{
    struct herd_slice rest = *text;
    if (take_usual_position(&rest, record)) {
        *text = rest;
        return 0;
    }
    int rc = take_client(text, &record->client);
    if (rc == 0)
        rc = take_location(text, &record->location);
    return rc < 0 ? rc : take_time(text, &record->sent, &record->sent_ns);
}

static int parse_iamat(struct herd_slice *text, struct herd_command *out)
{
    return take_position(text, &out->record);
}

/* Nothing, or `AFTER <time> [WAIT <ms>]`. */
static int take_after(struct herd_slice *text, struct herd_command *out)
{
    struct herd_slice word, time;
    uint64_t wait_ms = HERD_WAIT_MS;
    int rc = next_field(text, &word);
    out->has_after = rc > 0;
    if (rc <= 0)
        return rc;
    if (!herd_slice_equal(word, herd_slice_of("AFTER")))
        return HERD_ESYNTAX;
    rc = take_time(text, &time, &out->after_ns);
    if (rc < 0)
        return rc;
    rc = next_field(text, &word);
    if (rc > 0) {
        rc = HERD_ESYNTAX;
        if (herd_slice_equal(word, herd_slice_of("WAIT")))
            rc = take_number(text, HERD_WAIT_MAX_MS, &wait_ms);
    }
    out->wait_ms = (int64_t)wait_ms;
    return rc;
}

static int parse_whatsat(struct herd_slice *text, struct herd_command *out)
{
    uint64_t count = 0;
    int rc = take_client(text, &out->record.client);
    if (rc == 0)
        rc = take_radius(text, &out->radius_m);
    if (rc == 0)
        rc = take_number(text, HERD_RESULTS_MAX, &count);
    out->count = (unsigned)count;
    return rc < 0 ? rc : take_after(text, out);
}

static int take_record(struct herd_slice *text, struct herd_record *record)
{
    int rc = take_position(text, record);
    if (rc == 0)
        rc = take_time(text, &record->received, &record->received_ns);
    if (rc == 0)
        rc = take_server(text, &record->origin);
    if (rc == 0)
        rc = take_diff(text, &record->diff);
    if (rc < 0)
        return rc;
    return herd_record_fits(record) ? 0 : HERD_ERANGE;
}

static int parse_flood(struct herd_slice *text, struct herd_command *out)
{
    int rc = take_server(text, &out->server);
    return rc < 0 ? rc : take_record(text, &out->record);
}

int herd_record_parse(struct herd_slice text, struct herd_record *out)
{
    struct herd_slice extra;
    int rc = take_record(&text, out);
    return rc == 0 && next_field(&text, &extra) != 0 ? HERD_ESYNTAX : rc;
}

static int parse_position(struct herd_slice *text, struct herd_command *out)
{
    int rc = take_hex(text, &out->epoch);
    return rc < 0 ? rc : take_number(text, UINT64_MAX, &out->sequence);
}

static int parse_mark(struct herd_slice *text, struct herd_command *out)
{
    int rc = parse_position(text, out);
    out->passed = out->sequence;
    if (rc < 0 || skip_space(*text).len == 0)
        return rc;
    rc = take_number(text, UINT64_MAX, &out->passed);
    return rc == 0 && out->passed < out->sequence ? HERD_ERANGE : rc;
}

static int parse_range(struct herd_slice *text, struct herd_command *out)
{
    int rc = take_number(text, UINT64_MAX, &out->after);
    if (rc == 0)
        rc = take_number(text, UINT64_MAX, &out->sequence);
    return rc == 0 && out->sequence < out->after ? HERD_ERANGE : rc;
}

static int parse_have(struct herd_slice *text, struct herd_command *out)
{
    int rc = parse_range(text, out);
    return rc < 0 ? rc : take_rest(text, &out->rest);
}

static int parse_resume(struct herd_slice *text, struct herd_command *out)
{
    int rc = parse_position(text, out);
    return rc < 0 ? rc : take_rest(text, &out->rest);
}

static int parse_digest(struct herd_slice *text, struct herd_command *out)
{
    int rc = take_number(text, UINT64_MAX, &out->clients);
    return rc < 0 ? rc : take_hex(text, &out->digest);
}

/* `-` for the root, else up to 16 hexadecimal digits. */
static int take_prefix(struct herd_slice *text, struct herd_command *out)
{
    struct herd_slice field;
    int rc = take(text, &field);
    if (rc < 0)
        return rc;
    out->prefix = 0;
    out->prefix_len = 0;
    if (herd_slice_equal(field, herd_slice_of("-")))
        return 0;
    if (field.len > HERD_PREFIX_MAX)
        return HERD_ESYNTAX;
    for (; out->prefix_len < field.len; out->prefix_len++) {
        int digit = hex_digit(field.data[out->prefix_len]);
        if (digit < 0)
            return HERD_ESYNTAX;
        out->prefix = out->prefix << 4 | (uint64_t)digit;
    }
    return 0;
}

static int parse_tree(struct herd_slice *text, struct herd_command *out)
{
    int rc = take_prefix(text, out);
    for (int i = 0; rc == 0 && i < HERD_TREE_FANOUT; i++)
        rc = take_hex(text, &out->sums[i]);
    return rc;
}

static int parse_keys(struct herd_slice *text, struct herd_command *out)
{
    int rc = take_prefix(text, out);
    return rc < 0 ? rc : take_rest(text, &out->rest);
}

static int parse_want(struct herd_slice *text, struct herd_command *out)
{
    int rc = take_rest(text, &out->rest);
    return rc == 0 && out->rest.len == 0 ? HERD_ESYNTAX : rc;
}

static int parse_hello(struct herd_slice *text, struct herd_command *out)
{
    uint64_t version = 0;
    struct herd_slice skew;
    int rc = take_server(text, &out->server);
    if (rc == 0)
        rc = take_number(text, UINT32_MAX, &version);
    if (rc == 0)
        rc = parse_position(text, out);
    if (rc == 0)
        rc = take(text, &skew);
    if (rc < 0)
        return rc;
    if (version < HERD_PROTOCOL_VERSION)
        return HERD_ERANGE;
    out->version = (unsigned)version;
    out->max_skew_ns = 0;
    if (!herd_slice_equal(skew, herd_slice_of("-")))
        rc = herd_time_parse(skew, &out->max_skew_ns);
    return rc < 0 ? rc : take_rest(text, &out->rest);
}

static int parse_refuse(struct herd_slice *text, struct herd_command *out)
{
    return take_rest(text, &out->rest);
}

static int parse_ended(struct herd_slice *text, struct herd_command *out)
{
    struct herd_slice time;
    return take_time(text, &time, &out->ended_ns);
}

static int parse_nothing(struct herd_slice *text, struct herd_command *out)
{
    (void)text;
    (void)out;
    return 0;
}

static const struct verb {
    const char *name;
    int (*parse)(struct herd_slice *text, struct herd_command *out);
} verbs[HERD_VERB_COUNT] = {
    [HERD_VERB_NONE] = {"", parse_nothing},
    [HERD_VERB_IAMAT] = {"IAMAT", parse_iamat},
    [HERD_VERB_WHATSAT] = {"WHATSAT", parse_whatsat},
    [HERD_VERB_FLOOD] = {"FLOOD", parse_flood},
    [HERD_VERB_HELLO] = {"HELLO", parse_hello},
    [HERD_VERB_RESUME] = {"RESUME", parse_resume},
    [HERD_VERB_REFUSE] = {"REFUSE", parse_refuse},
    [HERD_VERB_MARK] = {"MARK", parse_mark},
    [HERD_VERB_ACK] = {"ACK", parse_mark},
    [HERD_VERB_DIGEST] = {"DIGEST", parse_digest},
    [HERD_VERB_TREE] = {"TREE", parse_tree},
    [HERD_VERB_KEYS] = {"KEYS", parse_keys},
    [HERD_VERB_WANT] = {"WANT", parse_want},
    [HERD_VERB_PING] = {"PING", parse_nothing},
    [HERD_VERB_PONG] = {"PONG", parse_nothing},
    [HERD_VERB_PRUNE] = {"PRUNE", parse_want},
    [HERD_VERB_GRAFT] = {"GRAFT", parse_want},
    [HERD_VERB_LOST] = {"LOST", parse_want},
    [HERD_VERB_FASTER] = {"FASTER", parse_want},
    [HERD_VERB_HAVE] = {"HAVE", parse_have},
    [HERD_VERB_HELD] = {"HELD", parse_range},
    [HERD_VERB_ENDED] = {"ENDED", parse_ended},
};

/* The verb of nearly all lines, which is advanced past it. */
static bool take_usual_verb(struct herd_slice *line, enum herd_verb *verb)
{
    enum { USUAL_LEN = sizeof("IAMAT") - 1 };
    if (line->len <= USUAL_LEN || line->data[USUAL_LEN] != ' ')
        return false;
    if (memcmp(line->data, "IAMAT", USUAL_LEN) == 0)
        *verb = HERD_VERB_IAMAT;
    else if (memcmp(line->data, "FLOOD", USUAL_LEN) == 0)
        *verb = HERD_VERB_FLOOD;
    else
        return false;
    *line = herd_slice(line->data + USUAL_LEN, line->len - USUAL_LEN);
    return true;
}

static enum herd_verb find_verb(struct herd_slice word)
{
    for (enum herd_verb verb = HERD_VERB_IAMAT; verb < HERD_VERB_COUNT; verb++) {
        if (herd_slice_equal(word, herd_slice_of(verbs[verb].name)))
            return verb;
    }
    return HERD_VERB_NONE;
}

int herd_command_parse(struct herd_slice line, struct herd_command *out)
{
    struct herd_slice word, extra;
    enum herd_verb verb;
    int rc;
    out->verb = HERD_VERB_NONE;
    out->line = line;
    if (!take_usual_verb(&line, &verb)) {
        rc = next_field(&line, &word);
        if (rc <= 0)
            return rc;
        verb = find_verb(word);
    }
    if (verb == HERD_VERB_NONE)
        return HERD_ESYNTAX;
    rc = verbs[verb].parse(&line, out);
    if (rc == 0 && line.len > 0 && next_field(&line, &extra) != 0)
        rc = HERD_ESYNTAX;
    if (rc == 0)
        out->verb = verb;
    return rc;
}

const char *herd_verb_name(enum herd_verb verb)
{
    return verbs[verb].name;
}

bool herd_next_word(struct herd_slice *rest, struct herd_slice *word)
{
    return next_field(rest, word) > 0;
}

int herd_next_key(struct herd_slice *rest, struct herd_slice *client, int64_t *sent_ns)
{
    struct herd_slice word;
    if (!herd_next_word(rest, &word))
        return 0;
    /* An id may hold a colon, a time may not. */
    const char *colon = memrchr(word.data, ':', word.len);
    if (colon == NULL || colon == word.data)
        return HERD_ESYNTAX;
    *client = herd_slice(word.data, (size_t)(colon - word.data));
    struct herd_slice time = herd_slice(colon + 1, word.len - client->len - 1);
    int rc = herd_time_parse(time, sent_ns);
    return rc < 0 ? rc : 1;
}
