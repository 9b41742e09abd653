#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <herd/err.h>

#include <sqlite3.h>

#include "durable/records.h"

enum { SMITH_EPOCH = 0x5511 };

void world_init(struct world *world, uint64_t seed)
{
    *world = (struct world){.random = seed, .held.epoch = 0xfedcba9876543210 ^ seed};
    world->disk.epoch = 0; /* nothing was written */
}

void world_free(struct world *world)
{
    herd_buf_free(&world->batch.records);
    herd_buf_free(&world->batch.neighbours);
}

/* SplitMix64 */
uint64_t world_random(struct world *world, uint64_t limit)
{
    uint64_t z = world->random += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (z ^ (z >> 31)) % limit;
}

/* `client value length-padding`: not ASCII, and not UTF-8 either. */
static size_t write_text(char out[WORLD_TEXT_MAX], size_t client, uint32_t value, uint32_t text_max)
{
    size_t len = (size_t)sprintf(out, "%zu %u %u ", client, value, text_max);
    size_t end = text_max > 0 ? len + value % text_max : 100 + value % 40;
    while (len < end && len < WORLD_TEXT_MAX) {
        out[len] = (char)(0x80 + (value * 31 + len * 7) % 0x80);
        len++;
    }
    return len;
}

void world_change(struct world *world, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t client = world_random(world, WORLD_CLIENTS);
        world->held.held[client].sequence = ++world->sequence;
        world->held.held[client].value = ++world->value;
    }
    world->mark += count;
}

/* The client with the lowest sequence above `after`, or WORLD_CLIENTS. */
static size_t next_client(const struct world *world, uint64_t after)
{
    size_t next = WORLD_CLIENTS;
    for (size_t i = 0; i < WORLD_CLIENTS; i++) {
        uint64_t sequence = world->held.held[i].sequence;
        if (sequence > after &&
            (next == WORLD_CLIENTS || sequence < world->held.held[next].sequence))
            next = i;
    }
    return next;
}

static void append_record(struct world *world, size_t client)
{
    char text[WORLD_TEXT_MAX];
    size_t len = write_text(text, client, world->held.held[client].value, world->text_max);
    assert_int_equal(herd_buf_printf(&world->batch.records, "%llu ",
                                     (unsigned long long)world->held.held[client].sequence),
                     0);
    assert_int_equal(herd_buf_append(&world->batch.records, text, len), 0);
    assert_int_equal(herd_buf_append(&world->batch.records, "\n", 1), 0);
}

static void clear_batch(struct world *world)
{
    struct herd_batch *batch = &world->batch;
    batch->records.len = batch->neighbours.len = 0;
    batch->epoch = world->held.epoch;
    batch->life = world->held.life;
    batch->begins = batch->ends = batch->is_snapshot = false;
}

void world_make_journal(struct world *world, size_t rows_max, bool begins)
{
    uint64_t from = world->journal_at;
    clear_batch(world);
    size_t client = next_client(world, world->journal_at);
    for (size_t rows = 0; rows < rows_max && client < WORLD_CLIENTS; rows++) {
        append_record(world, client);
        world->journal_at = world->held.held[client].sequence;
        world->disk.held[client].sequence = world->held.held[client].sequence;
        world->disk.held[client].value = world->held.held[client].value;
        client = next_client(world, world->journal_at);
    }
    world->batch.upto = world->journal_at;
    world->disk.epoch = world->held.epoch;
    world->disk.life = world->held.life;
    if (client == WORLD_CLIENTS && world->mark > 0) {
        assert_int_equal(herd_buf_printf(&world->batch.neighbours,
                                         "Smith %016x %llu 00000000000011fe 12\n"
                                         "Jaquez ffffffffffffffff 1 0000000000000000 0\n",
                                         SMITH_EPOCH, (unsigned long long)world->mark),
                         0);
        world->disk.mark = world->mark;
    }
    world->batch.begins = begins;
    if (begins) {
        world->is_snapshotting = true;
        world->snapshot_at = 0;
        world->snapshot_upto = world->sequence;
        world->began_from = from;
    }
}

/* The journal's batch ends the generation where it comes to the end of what has changed, and there is
 * nothing left to be copied from before that generation. */
static void end_with_journal(struct world *world)
{
    bool is_clean = next_client(world, world->journal_at) == WORLD_CLIENTS;
    size_t client = next_client(world, world->snapshot_at);
    bool is_copied =
        client == WORLD_CLIENTS || world->held.held[client].sequence > world->began_from;
    world->batch.ends = world->is_snapshotting && is_clean && is_copied;
    world->is_snapshotting &= !world->batch.ends;
}

void world_make_snapshot(struct world *world, size_t rows_max)
{
    clear_batch(world);
    size_t client = next_client(world, world->snapshot_at);
    for (size_t rows = 0;
         rows < rows_max && client < WORLD_CLIENTS && world->snapshot_at < world->snapshot_upto;
         rows++) {
        append_record(world, client);
        world->snapshot_at = world->held.held[client].sequence;
        client = next_client(world, world->snapshot_at);
    }
    world->batch.is_snapshot = true;
    /* Records that were replaced before the snapshot came to them have to be in the journal. */
    bool is_journal_clean = next_client(world, world->journal_at) == WORLD_CLIENTS;
    world->batch.ends =
        is_journal_clean && (client == WORLD_CLIENTS || world->snapshot_at >= world->snapshot_upto);
    world->is_snapshotting = !world->batch.ends;
    world->batch.upto = world->snapshot_at;
}

void world_make_any(struct world *world)
{
    if (world_random(world, 3) > 0)
        world_change(world, world_random(world, 60));
    if (world->is_snapshotting && world_random(world, 2) == 0) {
        world_make_snapshot(world, 1 + world_random(world, 100));
    } else {
        world_make_journal(world, world_random(world, 4) == 0 ? 10 : SIZE_MAX,
                           !world->is_snapshotting && world_random(world, 6) == 0);
        if (world_random(world, 2) == 0)
            end_with_journal(world);
    }
}

void world_restart(struct world *world, const struct found *found)
{
    uint64_t epoch = world->held.epoch;
    world->held = world->disk = found->picture;
    if (!found->has_state)
        world->held.epoch = epoch;
    else if (found->is_other_epoch)
        world->held.epoch = ~found->picture.epoch;
    if (found->has_state && found->sequence_free > world->sequence)
        world->sequence = found->sequence_free;
    if (found->has_state)
        world->held.life = (struct herd_life){world->sequence | 1, world->sequence + 1};
    world->journal_at = world->sequence;
    world->mark = found->picture.mark;
    world->is_snapshotting = false;
}

/* Finding */

static int on_state(void *arg, uint64_t epoch, uint64_t sequence_free)
{
    struct found *found = arg;
    assert_false(found->has_state);
    assert_int_equal(found->rows, 0);
    found->has_state = true;
    found->picture.epoch = epoch;
    found->sequence_free = sequence_free;
    return 0;
}

static int on_life(void *arg, const struct herd_life *life)
{
    struct found *found = arg;
    assert_true(found->has_state);
    assert_int_equal(found->rows, 0);
    assert_true(found->life_count < HERD_LIVES_MAX);
    found->lives[found->life_count++] = found->picture.life = *life;
    return 0;
}

static int on_record(void *arg, uint64_t sequence, struct herd_slice text)
{
    struct found *found = arg;
    size_t client = WORLD_CLIENTS;
    unsigned value = 0, text_max = 0;
    char head[48] = "", expected[WORLD_TEXT_MAX];
    memcpy(head, text.data, text.len < sizeof head - 1 ? text.len : sizeof head - 1);
    int words = sscanf(head, "%zu %u %u ", &client, &value, &text_max);
    bool is_right = words == 3 && client < WORLD_CLIENTS && sequence > found->last_sequence;
    if (is_right) {
        size_t len = write_text(expected, client, value, text_max);
        is_right = len == text.len && memcmp(expected, text.data, len) == 0;
    }
    if (is_right) {
        found->picture.held[client].sequence = sequence;
        found->picture.held[client].value = value;
    }
    found->rows++;
    found->wrong_rows += !is_right;
    found->last_sequence = sequence;
    return 0;
}

static int on_neighbour(void *arg, struct herd_slice name, const struct herd_mark *mark)
{
    struct found *found = arg;
    if (herd_slice_equal(name, herd_slice_of("Smith"))) {
        assert_int_equal(mark->epoch, SMITH_EPOCH);
        found->picture.mark = mark->sequence;
        assert_int_equal(mark->life, found->is_of_version_1 ? 0 : 0x11fe);
        assert_int_equal(mark->life_from, found->is_of_version_1 ? 0 : 12);
    } else {
        assert_true(herd_slice_equal(name, herd_slice_of("Jaquez")));
        assert_int_equal(mark->epoch, UINT64_MAX);
        assert_int_equal(mark->sequence, 1);
        assert_int_equal(mark->life, 0);
    }
    return 0;
}

static void on_forget_epoch(void *arg)
{
    struct found *found = arg;
    found->is_other_epoch = true;
}

struct durable_found found_callbacks(struct found *found)
{
    return (struct durable_found){.arg = found,
                                  .state = on_state,
                                  .life = on_life,
                                  .record = on_record,
                                  .neighbour = on_neighbour,
                                  .forget_epoch = on_forget_epoch};
}

void found_free(struct found *found)
{
    free(found->error);
    found->error = NULL;
}

struct records *found_opened(const char *folder, bool sync, struct found *found)
{
    struct durable_found callbacks = found_callbacks(found);
    struct records *records = NULL;
    struct herd_buf error = {0};
    found->result = records_open(folder, sync, &callbacks, &records, &error);
    found->error = testing_take_text(&error);
    if (records != NULL)
        snprintf(found->lost, sizeof found->lost, "%s", records_lost(records));
    found->is_in_doubt = records != NULL && records_is_in_doubt(records);
    return records;
}

struct found found_in(const char *folder)
{
    struct found found = {0};
    records_close(found_opened(folder, false, &found));
    return found;
}

void execute_sql(const char *path, const char *sql)
{
    sqlite3 *sqlite;
    char *message = NULL;
    assert_int_equal(sqlite3_open(path, &sqlite), SQLITE_OK);
    if (sqlite3_exec(sqlite, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    assert_int_equal(sqlite3_close(sqlite), SQLITE_OK);
}

bool picture_equal(const struct picture *a, const struct picture *b)
{
    for (size_t i = 0; i < WORLD_CLIENTS; i++) {
        if (a->held[i].sequence != b->held[i].sequence || a->held[i].value != b->held[i].value)
            return false;
    }
    return a->epoch == b->epoch && a->mark == b->mark && a->life.id == b->life.id &&
           a->life.from == b->life.from;
}

void assert_found_in(const char *folder, const struct picture *expected)
{
    struct found found = found_in(folder);
    if (found.result != 0)
        fail_msg("%d: %s", found.result, found.error);
    assert_int_equal(found.wrong_rows, 0);
    assert_int_equal(found.picture.epoch, expected->epoch);
    assert_int_equal(found.picture.mark, expected->mark);
    assert_int_equal(found.picture.life.id, expected->life.id);
    assert_int_equal(found.picture.life.from, expected->life.from);
    for (size_t i = 0; i < WORLD_CLIENTS; i++) {
        if (found.picture.held[i].sequence != expected->held[i].sequence)
            fail_msg("client %zu: found sequence %llu, expected %llu", i,
                     (unsigned long long)found.picture.held[i].sequence,
                     (unsigned long long)expected->held[i].sequence);
        assert_int_equal(found.picture.held[i].value, expected->held[i].value);
    }
    found_free(&found);
}

static void copy_file(const char *from, const char *to, const char *name)
{
    char *source = testing_path(from, name), *target = testing_path(to, name);
    struct stat status;
    unlink(target);
    if (stat(source, &status) == 0) {
        char *bytes = testing_read_file(source);
        testing_write_file(target, bytes, (size_t)status.st_size);
        free(bytes);
    }
    free(source);
    free(target);
}

void copy_witness(const char *from, const char *to)
{
    copy_file(from, to, "records.db-witness");
}

void copy_files(const char *from, const char *to)
{
    static const char *const names[] = {"records.db", "records.db-wal"};
    char *index = testing_path(to, "records.db-shm");
    unlink(index); /* it is made anew of the log, as after a crash of the machine */
    free(index);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        copy_file(from, to, names[i]);
    copy_witness(from, to);
}
