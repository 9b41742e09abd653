/*
 * The lives of a server that its file has come from: one is added with the first batch that it writes.
 * So whoever reads the file knows the life that wrote what is in it, and those before it, but for what
 * a file that was put in its place had come from.
 */
#include <inttypes.h>
#include <string.h>

#include "durable/sqlite_room.h"

static uint64_t life_hash(size_t number, const struct herd_life *life)
{
    return state_hash("life %zu %016" PRIx64 " %016" PRIx64, number, life->id, life->from);
}

static void append(struct state *state, const struct herd_life *life)
{
    state->lives[state->life_count++] = *life;
    state->lives_sum += life_hash(state->life_count, life);
}

static int on_life(struct records *records, sqlite3_stmt *row)
{
    const struct herd_life life = {.id = (uint64_t)sqlite3_column_int64(row, 0),
                                   .from = (uint64_t)sqlite3_column_int64(row, 1)};
    if (records->state.life_count == HERD_LIVES_MAX)
        return records_damaged(records, "it has had more than %d lives", HERD_LIVES_MAX);
    append(&records->state, &life);
    return 0;
}

int lives_read(struct records *records)
{
    return records_each(records, "SELECT life, life_from FROM life ORDER BY number", on_life);
}

static int add(struct records *records, const struct herd_life *life)
{
    sqlite3_stmt *statement = records->statements[ADD_LIFE];
    append(&records->state, life);
    sqlite3_bind_int64(statement, 1, (int64_t)records->state.life_count);
    sqlite3_bind_int64(statement, 2, (int64_t)life->id);
    sqlite3_bind_int64(statement, 3, (int64_t)life->from);
    return records_run(records, ADD_LIFE);
}

/* Those from `first` on stay, and are numbered anew. */
static int keep(struct records *records, size_t first)
{
    struct state *state = &records->state;
    struct herd_life kept[HERD_LIVES_MAX];
    size_t count = state->life_count - first;
    memcpy(kept, state->lives + first, count * sizeof *kept);
    state->life_count = 0;
    state->lives_sum = 0;
    int rc = records_run(records, REMOVE_LIVES);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add(records, &kept[i]);
    return rc;
}

int lives_write(struct records *records, uint64_t epoch, const struct herd_life *life)
{
    struct state *state = &records->state;
    size_t count = state->life_count;
    bool is_same_epoch = state->epoch == epoch;
    if (is_same_epoch && count > 0 && state->lives[count - 1].id == life->id)
        return 0;
    int rc = 0;
    if (!is_same_epoch)
        rc = keep(records, count);
    else if (count == HERD_LIVES_MAX)
        rc = keep(records, 1);
    return rc == 0 ? add(records, life) : rc;
}
