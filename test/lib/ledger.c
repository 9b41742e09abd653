#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"

static void *grown(void *data, size_t size)
{
    data = realloc(data, size);
    if (data == NULL)
        abort();
    return data;
}

static char *copy_of(const char *text, size_t len)
{
    char *copy = grown(NULL, len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

bool ledger_next_line(struct herd_slice *text, struct herd_slice *line)
{
    if (text->len == 0)
        return false;
    const char *lf = memchr(text->data, '\n', text->len);
    size_t len = lf != NULL ? (size_t)(lf - text->data) : text->len;
    *line = herd_slice(lf != NULL ? text->data : NULL, len);
    *text = herd_slice(text->data + len, text->len - len);
    if (lf != NULL)
        *text = herd_slice(text->data + 1, text->len - 1);
    return true;
}

/* `<sequence> <text>` */
static const char *write_row(struct ledger *ledger, struct herd_slice line, bool is_snapshot)
{
    uint64_t sequence = 0;
    size_t at = 0;
    while (line.data != NULL && at < line.len && line.data[at] >= '0' && line.data[at] <= '9')
        sequence = sequence * 10 + (uint64_t)(line.data[at++] - '0');
    if (at == 0 || at == line.len || line.data[at] != ' ')
        return "no row of a batch";
    at++;
    if (ledger->row_count == ledger->row_cap) {
        ledger->row_cap = ledger->row_cap > 0 ? ledger->row_cap * 2 : 64;
        ledger->rows = grown(ledger->rows, ledger->row_cap * sizeof(*ledger->rows));
    }
    ledger->rows[ledger->row_count++] = (struct ledger_row){
        sequence, copy_of(line.data + at, line.len - at), ledger->generation, is_snapshot};
    return NULL;
}

/* `<name> <epoch> <sequence> <life> <life_from>` */
static const char *write_mark(struct ledger *ledger, struct herd_slice line)
{
    struct ledger_mark mark;
    char copy[128];
    unsigned long long epoch, sequence, life, life_from;
    snprintf(copy, sizeof(copy), "%.*s", line.data != NULL ? (int)line.len : 0, line.data);
    if (sscanf(copy, "%64s %16llx %llu %16llx %llu", mark.name, &epoch, &sequence, &life,
               &life_from) != 5)
        return "no mark of a batch";
    mark.mark = (struct herd_mark){epoch, sequence, life, life_from};
    for (size_t i = 0; i < ledger->mark_count; i++) {
        if (strcmp(ledger->marks[i].name, mark.name) == 0)
            return "two marks of one name in a batch";
    }
    if (ledger->mark_count == ledger->mark_cap) {
        ledger->mark_cap = ledger->mark_cap > 0 ? ledger->mark_cap * 2 : 8;
        ledger->marks = grown(ledger->marks, ledger->mark_cap * sizeof(*ledger->marks));
    }
    ledger->marks[ledger->mark_count++] = mark;
    return NULL;
}

static void write_life(struct ledger *ledger, const struct herd_batch *batch)
{
    if (ledger->epoch != batch->epoch)
        ledger->life_count = 0;
    if (ledger->life_count > 0 && ledger->lives[ledger->life_count - 1].id == batch->life.id)
        return;
    if (ledger->life_count == LEDGER_LIVES_MAX)
        memmove(ledger->lives, ledger->lives + 1, --ledger->life_count * sizeof(*ledger->lives));
    ledger->lives[ledger->life_count++] = batch->life;
}

static void drop_older(struct ledger *ledger, unsigned generation)
{
    size_t kept = 0;
    for (size_t i = 0; i < ledger->row_count; i++) {
        if (ledger->rows[i].generation >= generation)
            ledger->rows[kept++] = ledger->rows[i];
        else
            free(ledger->rows[i].text);
    }
    ledger->row_count = kept;
}

const char *ledger_write(struct ledger *ledger, const struct herd_batch *batch)
{
    struct herd_slice text = herd_buf_slice(&batch->records), line;
    const char *wrong = NULL;
    if (batch->is_snapshot && (batch->begins || batch->neighbours.len > 0))
        return "a batch of both kinds";
    ledger->generation += batch->begins;
    while (wrong == NULL && ledger_next_line(&text, &line))
        wrong = write_row(ledger, line, batch->is_snapshot);
    text = herd_buf_slice(&batch->neighbours);
    if (text.len > 0)
        ledger->mark_count = 0; /* all of them at once, or none */
    while (wrong == NULL && ledger_next_line(&text, &line))
        wrong = write_mark(ledger, line);
    if (batch->ends) {
        ledger->generation_whole = ledger->generation;
        drop_older(ledger, ledger->generation);
    }
    if (!batch->is_snapshot) {
        write_life(ledger, batch);
        ledger->epoch = batch->epoch;
        ledger->upto = batch->upto;
    }
    if (batch->upto + LEDGER_RESERVE > ledger->sequence_free)
        ledger->sequence_free = batch->upto + LEDGER_RESERVE;
    ledger->writes++;
    return wrong;
}

static int by_sequence(const void *a, const void *b)
{
    const struct ledger_row *x = a, *y = b;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

const char *ledger_restore(struct ledger *ledger, struct herd_node *node, struct herd_now now)
{
    uint64_t last = 0;
    if (ledger->row_count > 0)
        qsort(ledger->rows, ledger->row_count, sizeof(ledger->rows[0]), by_sequence);
    herd_node_restore_epoch(node, ledger->epoch);
    for (size_t i = 0; i < ledger->life_count; i++)
        herd_node_restore_life(node, &ledger->lives[i]);
    for (size_t i = 0; i < ledger->row_count; i++) {
        const struct ledger_row *row = &ledger->rows[i];
        if (row->sequence == last) /* in the journal and in the snapshot */
            continue;
        last = row->sequence;
        if (herd_node_restore_record(node, now, row->sequence, herd_slice_of(row->text)) < 0)
            return "a row that is no record";
    }
    for (size_t i = 0; i < ledger->mark_count; i++) {
        const struct ledger_mark *mark = &ledger->marks[i];
        herd_node_restore_neighbour(node, herd_slice_of(mark->name), &mark->mark);
    }
    herd_node_restore_end(node, ledger->sequence_free);
    ledger->sequence_free += LEDGER_RESERVE; /* the next life's, if this one writes nothing */
    return NULL;
}

void ledger_clear(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->row_count; i++)
        free(ledger->rows[i].text);
    free(ledger->rows);
    free(ledger->marks);
    *ledger = (struct ledger){0};
}

void ledger_copy(struct ledger *to, const struct ledger *from)
{
    ledger_clear(to);
    *to = *from;
    to->row_cap = from->row_count;
    to->rows = NULL;
    if (from->row_count > 0)
        to->rows = grown(NULL, from->row_count * sizeof(*to->rows));
    for (size_t i = 0; i < from->row_count; i++) {
        to->rows[i] = from->rows[i];
        to->rows[i].text = copy_of(from->rows[i].text, strlen(from->rows[i].text));
    }
    to->mark_cap = from->mark_count;
    to->marks = NULL;
    if (from->mark_count > 0) {
        to->marks = grown(NULL, from->mark_count * sizeof(*to->marks));
        memcpy(to->marks, from->marks, from->mark_count * sizeof(*to->marks));
    }
}
