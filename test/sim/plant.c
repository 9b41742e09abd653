#include <stdlib.h>
#include <string.h>

#include "core/link.h"
#include "plant.h"
#include "server.h"
#include "words.h"

enum { LOSE_PERCENT = 15, SPOIL_PERCENT = 2 };

static const struct {
    const char *name, *text;
    enum sim_check check;
} rows[PLANT_KINDS] = {
#define PLANT_ROW(id, name, check, text) [id] = {name, text, check},
    PLANT_TABLE(PLANT_ROW)
#undef PLANT_ROW
};

const char *plant_name(enum plant_kind kind)
{
    return rows[kind].name;
}

const char *plant_text(enum plant_kind kind)
{
    return rows[kind].text;
}

enum sim_check plant_check(enum plant_kind kind)
{
    return rows[kind].check;
}

enum plant_kind plant_of(const char *name)
{
    enum plant_kind kind = 0;
    while (kind < PLANT_KINDS && strcmp(name, rows[kind].name) != 0)
        kind++;
    return kind;
}

void plant_init(struct plant *plant, enum plant_kind kind, uint64_t seed)
{
    *plant = (struct plant){.kind = kind, .rng = {seed}};
}

void plant_close(struct plant *plant)
{
    herd_buf_free(&plant->bytes);
}

bool plant_is(const struct plant *plant, enum plant_kind kind, uint32_t server)
{
    return plant->kind == kind && server == 0;
}

bool plant_wrote_early(const struct plant *plant, const struct plug *plug)
{
    return plug->neighbour != SERVER_NOBODY
               ? plant_is(plant, PLANT_EARLY_WROTE, plug->server->index)
               : plant_is(plant, PLANT_NO_READ, plug->server->index);
}

static bool begins(struct herd_slice text, const char *word)
{
    size_t len = strlen(word);
    return text.len >= len && memcmp(text.data, word, len) == 0;
}

/* The first line with its LF; empty if there is no whole one. */
static struct herd_slice first_line(struct herd_slice text)
{
    const char *end = text.len > 0 ? memchr(text.data, '\n', text.len) : NULL;
    return herd_slice(text.data, end != NULL ? (size_t)(end - text.data) + 1 : 0);
}

static void change_digit(char *digit)
{
    *digit = *digit == '9' ? '0' : (char)(*digit + 1);
}

/* The last digit of the line's field: FLOOD 0, sender 1, client 2, location 3, time 4. */
static void spoil_field(struct herd_buf *bytes, size_t field)
{
    struct herd_slice fields[WORDS_FIELDS_MAX];
    if (words_split(first_line(herd_buf_slice(bytes)), fields) <= field)
        return;
    change_digit(bytes->data + (fields[field].data - bytes->data) + fields[field].len - 1);
}

/* RESUME <epoch> 0 becomes RESUME <epoch> <all that there is>. */
static void raise_resume(struct herd_buf *bytes, const struct server *server)
{
    struct herd_slice fields[WORDS_FIELDS_MAX];
    struct herd_slice line = first_line(herd_buf_slice(bytes));
    if (words_split(line, fields) != 3 || !herd_slice_equal(fields[2], herd_slice_of("0")))
        return;
    struct herd_buf raised = {0};
    words_printf(&raised, "RESUME %.*s %llu\n", (int)fields[1].len, fields[1].data,
                 (unsigned long long)herd_store_sequence(herd_node_store(server->node)));
    words_append(&raised, herd_slice(line.data + line.len, bytes->len - line.len));
    herd_buf_free(bytes);
    *bytes = raised;
}

struct herd_slice plant_input(struct plant *plant, struct plug *plug, struct herd_slice bytes)
{
    bool spoil = plant->kind == PLANT_SPOIL_TIME && begins(bytes, "FLOOD ") &&
                 first_line(bytes).len > 0 && rng_percent(&plant->rng, SPOIL_PERCENT);
    bool raise = plant->kind == PLANT_HIGH_RESUME && begins(bytes, "RESUME ");
    if (!spoil && !raise)
        return bytes;
    plant->bytes.len = 0;
    words_append(&plant->bytes, bytes);
    if (spoil)
        spoil_field(&plant->bytes, 4);
    else
        raise_resume(&plant->bytes, plug->server);
    return herd_buf_slice(&plant->bytes);
}

/* A blank line is as long, and means nothing. */
static void lose_line(struct herd_buf *output)
{
    struct herd_slice line = first_line(herd_buf_slice(output));
    memset(output->data, ' ', line.len - 1);
}

void plant_lose_lines(struct herd_buf *output, const char *word)
{
    size_t at = 0;
    while (at < output->len) {
        struct herd_slice rest = herd_slice(output->data + at, output->len - at);
        struct herd_slice line = first_line(rest);
        if (line.len == 0)
            break;
        if (begins(line, word))
            memset(output->data + at, ' ', line.len - 1);
        at += line.len;
    }
}

static void forget_recovered(struct herd_buf *output)
{
    static const char word[] = " recovered";
    struct herd_slice line = first_line(herd_buf_slice(output));
    const char *at = memmem(line.data, line.len, word, sizeof(word) - 1);
    if (begins(line, "RESUME ") && at != NULL)
        memset(output->data + (at - output->data), ' ', line.len - 1 - (size_t)(at - line.data));
}

struct herd_slice plant_before_output(struct plant *plant, struct plug *plug,
                                      struct herd_slice output)
{
    plant->bytes.len = 0;
    if (plant->kind == PLANT_HIGH_MARK && plug->neighbour != SERVER_NOBODY &&
        begins(output, "FLOOD ") && conn_link(plug->conn)->state == LINK_UP)
        words_printf(&plant->bytes, "MARK %016llx %llu\n",
                     (unsigned long long)herd_node_epoch(plug->server->node),
                     (unsigned long long)herd_store_sequence(herd_node_store(plug->server->node)));
    return herd_buf_slice(&plant->bytes);
}

void plant_after_output(struct plant *plant, struct plug *plug)
{
    struct herd_buf ack = {0};
    if (plant->kind != PLANT_EARLY_ACK || plug->neighbour == SERVER_NOBODY || plug->end == NULL ||
        conn_link(plug->conn)->clean_mark_count == 0)
        return;
    words_printf(&ack, "ACK %016llx %llu\n",
                 (unsigned long long)herd_node_epoch(plug->server->node),
                 (unsigned long long)conn_link(plug->conn)->marked);
    herd_conn_receive(plug->conn, server_now(plug->server), ack.data, ack.len);
    herd_buf_free(&ack);
}

/* The first two answers of those that leave together; false if there are no two. */
static bool two_answers(struct herd_buf *output, struct herd_slice *first,
                        struct herd_slice *second)
{
    *first = first_line(herd_buf_slice(output));
    *second = first_line(herd_slice(output->data + first->len, output->len - first->len));
    return begins(*first, "AT ") && begins(*second, "AT ") && !herd_slice_equal(*first, *second);
}

static void swap_answers(struct herd_buf *output, bool twice)
{
    struct herd_slice first, second;
    struct herd_buf swapped = {0};
    if (!two_answers(output, &first, &second))
        return;
    size_t both = first.len + second.len;
    words_append(&swapped, twice ? first : second);
    words_append(&swapped, first);
    while (swapped.len < both)
        words_append(&swapped, herd_slice_of("\n"));
    memcpy(output->data, swapped.data, both);
    herd_buf_free(&swapped);
}

/* The AT line that places follow. */
static void change_diff(struct herd_buf *output)
{
    struct herd_slice line = first_line(herd_buf_slice(output));
    if (begins(line, "AT ") &&
        begins(herd_slice(output->data + line.len, output->len - line.len), "{"))
        spoil_field(output, 2);
}

void plant_output(struct plant *plant, struct plug *plug, struct herd_buf *output)
{
    bool link = plug->neighbour != SERVER_NOBODY;
    switch (plant->kind) {
    case PLANT_LOSE_FLOOD:
        if (link && begins(herd_buf_slice(output), "FLOOD ") &&
            rng_percent(&plant->rng, LOSE_PERCENT))
            lose_line(output);
        break;
    case PLANT_TWICE:
    case PLANT_SWAP:
        if (!link)
            swap_answers(output, plant->kind == PLANT_TWICE);
        break;
    case PLANT_NO_RECOVERED:
        if (!link)
            forget_recovered(output);
        break;
    case PLANT_OTHER_AT:
        if (!link && plug->server->index == 0)
            change_diff(output);
        break;
    default:
        break;
    }
}

unsigned plant_places_count(struct plant *plant, unsigned count)
{
    unsigned last = plant->last_count;
    plant->last_count = count;
    return plant->kind == PLANT_OTHER_PLACES ? last : count;
}
