/*
 * Two bytes of seed, then a stream. However it is cut, the same lines come out of it; and a line
 * that is a command, written again from its fields, is the same command.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/rng.h"
#include "fuzz.h"
#include "plain_lines.h"

static void append(struct herd_buf *out, struct herd_slice field, const char *after)
{
    FUZZ_CHECK(herd_buf_append_slice(out, field) == 0 && herd_buf_append_text(out, after) == 0);
}

static void append_time(struct herd_buf *out, int64_t ns, const char *after)
{
    char text[HERD_TIME_TEXT_MAX];
    append(out, herd_slice(text, herd_time_format(ns, text)), after);
}

static void append_whatsat(struct herd_buf *out, const struct herd_command *command)
{
    append(out, command->record.client, " ");
    append_time(out, llround(command->radius_m * 1e6), " ");
    FUZZ_CHECK(herd_buf_printf(out, "%u", command->count) == 0);
    if (!command->has_after)
        return;
    append(out, herd_slice_of(" AFTER"), " ");
    append_time(out, command->after_ns, "");
    FUZZ_CHECK(herd_buf_printf(out, " WAIT %lld", (long long)command->wait_ms) == 0);
}

static void append_flood(struct herd_buf *out, const struct herd_command *command)
{
    size_t len = herd_record_text_len(&command->record);
    FUZZ_CHECK(herd_record_fits(&command->record));
    append(out, command->server, " ");
    FUZZ_CHECK(herd_buf_reserve(out, len) == 0);
    herd_record_write_text(&command->record, out->data + out->len);
    out->len += len;
}

static void append_hello(struct herd_buf *out, const struct herd_command *command)
{
    append(out, command->server, " ");
    FUZZ_CHECK(herd_buf_printf(out, "%u %016llx %llu ", command->version,
                               (unsigned long long)command->epoch,
                               (unsigned long long)command->sequence) == 0);
    append_time(out, command->max_skew_ns, " ");
    append(out, command->rest, "");
}

static void append_iamat(struct herd_buf *out, const struct herd_record *record)
{
    append(out, record->client, " ");
    append(out, record->location, " ");
    append(out, record->sent, "");
}

/* The command as a line, one space between each two fields. */
static void append_command(struct herd_buf *out, const struct herd_command *command)
{
    append(out, herd_slice_of(herd_verb_name(command->verb)), " ");
    switch (command->verb) {
    case HERD_VERB_IAMAT:
        append_iamat(out, &command->record);
        break;
    case HERD_VERB_WHATSAT:
        append_whatsat(out, command);
        break;
    case HERD_VERB_FLOOD:
        append_flood(out, command);
        break;
    case HERD_VERB_HELLO:
        append_hello(out, command);
        break;
    case HERD_VERB_REFUSE:
        append(out, command->rest, "");
        break;
    case HERD_VERB_ENDED:
        append_time(out, command->ended_ns, "");
        break;
    case HERD_VERB_DIGEST:
        out->len = 0;
        FUZZ_CHECK(herd_append_digest(out, command->clients, command->digest) == 0);
        out->len--; /* its LF */
        break;
    case HERD_VERB_TREE:
        out->len = 0;
        FUZZ_CHECK(herd_append_tree(out, command->prefix, command->prefix_len, command->sums) == 0);
        out->len--; /* its LF */
        break;
    case HERD_VERB_KEYS:
        out->len = 0;
        FUZZ_CHECK(herd_append_keys(out, command->prefix, command->prefix_len) == 0);
        append(out, herd_slice(" ", 1), "");
        append(out, command->rest, "");
        break;
    case HERD_VERB_WANT:
    case HERD_VERB_PRUNE:
    case HERD_VERB_GRAFT:
    case HERD_VERB_LOST:
    case HERD_VERB_FASTER:
        append(out, command->rest, "");
        break;
    case HERD_VERB_HAVE:
        FUZZ_CHECK(herd_buf_printf(out, "%llu %llu ", (unsigned long long)command->after,
                                   (unsigned long long)command->sequence) == 0);
        append(out, command->rest, "");
        break;
    case HERD_VERB_HELD:
        out->len = 0;
        FUZZ_CHECK(herd_append_range(out, command->verb, command->after, command->sequence) == 0);
        out->len--; /* its LF */
        break;
    case HERD_VERB_ACK:
    case HERD_VERB_MARK:
        out->len = 0;
        FUZZ_CHECK(herd_append_mark(out, command->verb, command->epoch, command->sequence,
                                    command->passed) == 0);
        out->len--; /* its LF */
        break;
    case HERD_VERB_RESUME:
        out->len = 0;
        FUZZ_CHECK(herd_append_position(out, command->verb, command->epoch, command->sequence) ==
                   0);
        out->len--; /* its LF */
        break;
    default:
        break;
    }
}

static void check_record(const struct herd_record *record)
{
    struct herd_location at;
    FUZZ_CHECK(record->client.len > 0 && record->client.len <= HERD_CLIENT_ID_MAX);
    FUZZ_CHECK(herd_location_parse(record->location, &at) == 0);
    FUZZ_CHECK(fabs(at.latitude) <= 90 && fabs(at.longitude) <= 180);
    FUZZ_CHECK(record->sent_ns >= 0);
}

static void check_command(const struct herd_command *command)
{
    struct herd_buf once = {0}, twice = {0};
    struct herd_command again;
    if (command->verb == HERD_VERB_IAMAT || command->verb == HERD_VERB_FLOOD)
        check_record(&command->record);
    if (command->verb == HERD_VERB_WHATSAT)
        FUZZ_CHECK(command->radius_m >= 0 && command->radius_m <= HERD_RADIUS_MAX_KM * 1000 &&
                   command->count <= HERD_RESULTS_MAX);
    append_command(&once, command);
    FUZZ_CHECK(herd_command_parse(herd_buf_slice(&once), &again) == 0);
    FUZZ_CHECK(again.verb == command->verb);
    append_command(&twice, &again);
    fuzz_expect("the command", herd_buf_slice(&twice), herd_buf_slice(&once));
    herd_buf_free(&once);
    herd_buf_free(&twice);
}

static void check_line(struct herd_slice line)
{
    struct herd_command command;
    struct herd_buf answer = {0};
    int rc = herd_command_parse(line, &command);
    FUZZ_CHECK(rc == 0 || rc == HERD_ESYNTAX || rc == HERD_ERANGE);
    FUZZ_CHECK(rc == 0 || command.verb == HERD_VERB_NONE);
    if (rc == 0) {
        FUZZ_CHECK(!herd_line_is_foreign(line));
        if (command.verb != HERD_VERB_NONE)
            check_command(&command);
        return;
    }
    FUZZ_CHECK(herd_append_invalid(&answer, line) == 0);
    FUZZ_CHECK(answer.len == line.len + 3 && memcmp(answer.data, "? ", 2) == 0 &&
               answer.data[answer.len - 1] == '\n');
    fuzz_expect("the copy", herd_slice(answer.data + 2, line.len), line);
    herd_buf_free(&answer);
}

/* Cuts the stream at random and compares each line with the plain one; returns whether it is over.
 */
static bool feed(struct herd_frame *frame, struct herd_slice piece, struct herd_slice *plain)
{
    struct herd_slice line, expected;
    int rc;
    while ((rc = herd_frame_next(frame, &piece, &line)) != 0) {
        int plain_rc = plain_line(plain, &expected);
        FUZZ_CHECK(rc == (plain_rc > 0 ? 1 : HERD_ETOOLONG) && plain_rc != 0);
        fuzz_expect("the line", line, expected);
        check_line(line);
        if (rc < 0)
            return true;
    }
    FUZZ_CHECK(piece.len == 0);
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, data + size};
    struct rng rng = {fuzz_short(&input)};
    struct herd_slice stream = fuzz_bytes(&input, size);
    struct herd_slice plain = stream, line, expected;
    struct herd_frame frame = {0};
    uint64_t piece_max = (uint64_t)1 << rng_below(&rng, 14);
    bool over = false;
    while (stream.len > 0 && !over) {
        size_t n = rng_below(&rng, piece_max) + 1;
        n = n < stream.len ? n : stream.len;
        char *piece = malloc(n);
        FUZZ_CHECK(piece != NULL);
        memcpy(piece, stream.data, n);
        over = feed(&frame, herd_slice(piece, n), &plain);
        free(piece);
        stream = herd_slice(stream.data + n, stream.len - n);
    }
    if (!over) {
        int rc = herd_frame_last(&frame, &line);
        int plain_rc = plain_line(&plain, &expected);
        FUZZ_CHECK(rc == (plain_rc < 0 ? HERD_ETOOLONG : plain_rc));
        if (rc != 0) {
            fuzz_expect("the last line", line, expected);
            check_line(line);
        }
        FUZZ_CHECK(plain.len == 0);
    }
    herd_frame_free(&frame);
    return 0;
}
