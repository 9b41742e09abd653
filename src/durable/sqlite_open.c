/*
 * Opening: the folder's lock -> the file, made if there is none -> its kind and version -> all that
 * is in it, to the caller -> sequences reserved for this life. Each way to fail ends in a sentence
 * for whoever starts the server.
 *
 * Where nothing can be written (no room, read-only), what is there is read all the same, and the
 * file is closed; get_ready opens it for the first batch that can be written.
 *
 * Where part of what was written is lost, the rest is given. The sequences of what is lost are not
 * known then, and neighbours have seen them: so this life counts in another epoch.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "durable/lock.h"
#include "durable/sqlite_room.h"
#include "durable/wal.h"
#include "durable/witness.h"

const char *records_reason(const struct records *records)
{
    return records->reason;
}

const char *records_lost(const struct records *records)
{
    return records->lost;
}

bool records_is_in_doubt(const struct records *records)
{
    return records->is_in_doubt;
}

bool records_is_ready(const struct records *records)
{
    return records->is_ready;
}

const char *records_path(const struct records *records)
{
    return records->path;
}

int64_t records_journal_rows(const struct records *records)
{
    int64_t rows = 0;
    for (size_t i = 0; i < records->state.segment_count; i++) {
        const struct segment *segment = &records->state.segments[i];
        if (segment->stream == JOURNAL && state_needs(records, segment))
            rows += segment->records;
    }
    return rows;
}

bool records_is_snapshotting(const struct records *records)
{
    return records->is_snapshotting;
}

static void step(const struct durable_found *found, const char *what)
{
    if (found->step != NULL)
        found->step(found->arg, what);
}

/* What to say of a failure that has not been explained where it was found. */
static void explain(const struct records *records, int rc, struct herd_buf *error)
{
    const char *path = records->path, *folder = records->folder;
    switch (rc) {
    case HERD_EFULL:
        herd_buf_printf(error, "%s cannot be written: %s: make room on its file system", path,
                        records->reason);
        return;
    case HERD_EBUSY:
        herd_buf_printf(error, "%s is locked by another program (%s): end that one first", path,
                        records->reason);
        return;
    case HERD_EIO:
        herd_buf_printf(error, "%s cannot be read and written: %s: ", path, records->reason);
        if (strstr(records->reason, strerror(EMFILE)) != NULL)
            herd_buf_append_text(error, lock_more_files);
        else
            herd_buf_printf(error, "the server's user has to own %s and all that is in it", folder);
        return;
    case HERD_ECANCELED:
        herd_buf_printf(error, "%s was not read to its end: %s", path, herd_strerror(rc));
        return;
    case HERD_ENOMEM:
        herd_buf_printf(error, "no memory to read %s/records.db", folder);
        return;
    default:
        herd_buf_printf(error,
                        "%s is damaged: %s: put a good copy in its place, or set it aside with "
                        "`mkdir -p %s/bad && mv %s/records.db* %s/bad/` and start again: the "
                        "neighbours then send all that they hold",
                        path, records->reason, folder, folder, folder);
        return;
    }
}

/* What is lost */

/* Before SQLite sees the log: it writes over what it does not read. */
static void look_at_log(struct records *records)
{
    struct wal_damage damage;
    if (wal_is_damaged(records->log, &damage))
        snprintf(records->lost, sizeof records->lost,
                 "its log, records.db-wal, was damaged at byte %" PRId64 ": %" PRId64
                 " or more batches behind that could not be read",
                 damage.at_byte, damage.commits);
}

/* After the state was read, which is that of an empty file in a new one. */
static void ask_witness(struct records *records)
{
    records->is_in_doubt = records->lost[0] == '\0' && records->witnessed == WITNESS_DAMAGED;
    if (records->is_in_doubt)
        snprintf(records->lost, sizeof records->lost,
                 "records.db-witness is damaged, and only that could tell whether all is there "
                 "that had been written to its log, records.db-wal");
    if (records->lost[0] == '\0' && records->state.sequence_free < records->witnessed)
        snprintf(records->lost, sizeof records->lost,
                 "it has less than was written (up to %" PRId64 " of %" PRId64
                 "): its log, records.db-wal, or itself was lost, cut short, damaged, or "
                 "exchanged for an older one",
                 records->state.sequence_free, records->witnessed);
    if (records->lost[0] != '\0')
        records->state.epoch = 0;
}

/* Reading */

static int give_state(const struct records *records, const struct durable_found *found)
{
    const struct state *state = &records->state;
    if (state->sequence_free == 0)
        return 0;
    return found->state(found->arg, state->epoch, (uint64_t)state->sequence_free);
}

static int give_lives(const struct records *records, const struct durable_found *found)
{
    const struct state *state = &records->state;
    int rc = 0;
    for (size_t i = 0; i < state->life_count && rc == 0 && found->life != NULL; i++)
        rc = found->life(found->arg, &state->lives[i]);
    return rc;
}

static int give_marks(const struct records *records, const struct durable_found *found)
{
    const struct state *state = &records->state;
    int rc = 0;
    for (size_t i = 0; i < state->mark_count && rc == 0; i++)
        rc = found->neighbour(found->arg, herd_slice_of(state->marks[i].name),
                              &state->marks[i].mark);
    return rc;
}

static int read_all(struct records *records, const struct durable_found *found)
{
    int rc = records_execute(records, "BEGIN"); /* locked once, not once a table */
    if (rc == 0)
        rc = state_read(records);
    if (rc < 0)
        return rc;
    records->read_sum = records->committed_sum = records->state.sum;
    ask_witness(records);
    records->given = GIVEN_IN_PART;
    rc = give_state(records, found);
    if (rc == 0)
        rc = give_lives(records, found);
    if (rc == 0)
        rc = rows_read(records, found);
    if (rc == 0)
        rc = give_marks(records, found);
    if (rc < 0)
        return rc;
    records->given = GIVEN;
    return records_execute(records, "COMMIT");
}

/* Writing */

/*
 * This life begins behind the sequence that was given to the caller, and neighbours may see its
 * first ones before a batch has been written. So the next life, if this one does not come to that,
 * has to begin behind these, and that has to be on disk now, whatever `sync` says.
 */
static int reserve_sequences(struct records *records)
{
    struct state *state = &records->state;
    if (state->sequence_free == 0)
        return 0;
    if (state->sequence_free > INT64_MAX - SEQUENCES_RESERVED)
        return records_damaged(records, "its sequences are used up");
    int rc = records_begin(records);
    if (rc < 0)
        return rc;
    state->sequence_free += SEQUENCES_RESERVED;
    rc = state_write(records);
    records->reserved_sum = state->sum;
    return records_end(records, rc);
}

static int on_commit(void *arg, sqlite3 *sqlite, const char *name, int pages)
{
    struct records *records = arg;
    (void)sqlite;
    (void)name;
    records->wal_pages = pages;
    if (!records->log_is_known) /* of a new file: it has just been made */
        file_note_log(records);
    records->log_is_known = true;
    return SQLITE_OK;
}

/* Debian's SQLite overwrites what is deleted; here that is what has been written elsewhere. */
static int set_up_writing(struct records *records)
{
    char sql[192];
    sqlite3_snprintf(sizeof sql, sql,
                     "PRAGMA secure_delete = OFF; PRAGMA cache_size = %d;"
                     "PRAGMA journal_size_limit = %d; PRAGMA synchronous = %s",
                     CACHE_PAGES, 4 * CHECKPOINT_PAGES * 4096, records->sync ? "FULL" : "NORMAL");
    sqlite3_wal_hook(records->sqlite, on_commit, records);
    records->checkpoint_at = CHECKPOINT_PAGES;
    file_note_log(records);
    records->log_is_known = records->log_inode != 0;
    int rc = records_execute(records, sql);
    records->is_ready = rc == 0;
    return rc;
}

static int begin_new(struct records *records)
{
    ask_witness(records);
    records->given = GIVEN;
    return file_create(records);
}

static int go_on(struct records *records, const struct durable_found *found)
{
    int rc = file_use_log(records);
    step(found, "reading records.db");
    if (rc == 0)
        rc = read_all(records, found);
    step(found, "bringing records.db to this version");
    if (rc == 0)
        rc = state_upgrade(records);
    return rc == 0 ? file_prepare(records) : rc;
}

/* What lies behind the damage is whole as well, and would be found again. */
static void begin_log_anew(struct records *records)
{
    if (records->lost[0] != '\0')
        sqlite3_wal_checkpoint_v2(records->sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

static int open_to_write(struct records *records, const struct durable_found *found,
                         struct herd_buf *error)
{
    bool is_new;
    step(found, "locking the folder");
    int rc = lock_take(records->folder, &records->lock_fd, error);
    if (rc < 0)
        return rc;
    step(found, "looking for damage in records.db-wal");
    look_at_log(records);
    records->witness_fd = witness_open(records->path, &records->witnessed);
    step(found, "opening records.db, or making it");
    rc = file_open(records, &is_new, error);
    if (rc == 0)
        rc = records_execute(records, "PRAGMA synchronous = FULL");
    if (rc == 0)
        rc = is_new ? begin_new(records) : go_on(records, found);
    step(found, "syncing the sequences that are reserved");
    if (rc == 0)
        rc = reserve_sequences(records);
    step(found, "setting up the writing of records.db");
    if (rc == 0)
        rc = set_up_writing(records);
    if (rc == 0) {
        begin_log_anew(records);
        records_bear_witness(records);
    }
    return rc;
}

/* All that can be read, where nothing can be written. */
static int open_to_read(struct records *records, const struct durable_found *found,
                        struct herd_buf *error)
{
    if (records->given == GIVEN_IN_PART)
        return HERD_EIO;
    if (records->given == GIVEN)
        return 0;
    bool is_new;
    witness_close(records->witness_fd);
    look_at_log(records);
    records->witness_fd = witness_open(records->path, &records->witnessed);
    int rc = file_open_to_read(records, &is_new, error);
    if (rc == 0 && !is_new)
        return read_all(records, found);
    ask_witness(records);
    return rc;
}

/* Whether a failure may be one of writing alone: not where a lock fails that could be opened. */
static bool may_be_read(const struct records *records, int rc)
{
    return rc == HERD_EFULL || (rc == HERD_EIO && records->lock_fd >= 0);
}

/* `before` is where the sentence of what failed begins. */
static int try_to_read(struct records *records, const struct durable_found *found, int failure,
                       struct herd_buf *error, size_t before)
{
    struct herd_buf other = {0};
    char reason[REASON_MAX_BYTES];
    memcpy(reason, records->reason, sizeof reason);
    file_close(records);
    int rc = open_to_read(records, found, &other);
    file_close(records);
    if (rc == HERD_EIO || rc == HERD_EFULL) { /* then what failed first says more */
        rc = failure;
        memcpy(records->reason, reason, sizeof reason);
    } else if (rc < 0) {
        error->len = before;
        if (other.len == 0)
            explain(records, rc, &other);
        herd_buf_append_slice(error, herd_buf_slice(&other));
    }
    herd_buf_free(&other);
    return rc;
}

/* "folder/name", for free(), or NULL. */
static char *join(const char *folder, const char *name)
{
    struct herd_buf path = {0};
    if (herd_buf_printf(&path, "%s%s", folder, name) < 0)
        herd_buf_free(&path);
    return path.data;
}

static int fill(struct records *records, const struct durable_found *found, struct herd_buf *error)
{
    size_t before = error->len;
    int rc = open_to_write(records, found, error);
    if (rc < 0 && error->len == before)
        explain(records, rc, error);
    if (rc < 0 && may_be_read(records, rc)) {
        step(found, "reading records.db, which cannot be written");
        rc = try_to_read(records, found, rc, error, before);
    }
    if (rc == HERD_EFULL)
        rc = HERD_EIO;
    bool is_other_epoch = records->lost[0] != '\0' || !records->is_ready ||
                          (records->state.sequence_free > 0 && records->state.epoch == 0);
    if (rc == 0 && is_other_epoch && found->forget_epoch != NULL)
        found->forget_epoch(found->arg);
    return rc;
}

int records_open(const char *folder, bool sync, const struct durable_found *found,
                 struct records **out, struct herd_buf *error)
{
    struct records *records = calloc(1, sizeof *records);
    if (records == NULL) {
        herd_buf_append_text(error, herd_strerror(HERD_ENOMEM));
        return HERD_ENOMEM;
    }
    records->lock_fd = records->witness_fd = -1;
    records->sync = sync;
    records->folder = join(folder, "");
    records->path = join(folder, "/records.db");
    records->log = join(folder, "/records.db-wal");
    records->lock = join(folder, "/lock");
    int rc = HERD_ENOMEM;
    if (records->folder != NULL && records->path != NULL && records->log != NULL &&
        records->lock != NULL)
        rc = fill(records, found, error);
    else
        herd_buf_append_text(error, herd_strerror(rc));
    if (rc == 0)
        *out = records;
    else
        records_close(records);
    step(found, "starting the writer's thread");
    return rc;
}

/* A commit that failed may turn out to be there. */
static bool is_known(const struct records *records)
{
    const struct state *state = &records->state;
    if (records->read_sum == 0)
        return state->sequence_free == 0;
    return state->sum == records->read_sum || state->sum == records->reserved_sum;
}

/* A file that was not read must not be written: what is in it would be lost. */
static int open_again(struct records *records, struct herd_buf *error)
{
    bool is_new;
    int rc = records->lock_fd < 0 ? lock_take(records->folder, &records->lock_fd, error) : 0;
    if (rc == 0)
        rc = file_open(records, &is_new, error);
    if (rc == 0)
        rc = records_execute(records, "PRAGMA synchronous = FULL");
    if (rc == 0 && is_new && records->read_sum == 0)
        return file_create(records);
    if (rc == 0)
        rc = file_use_log(records);
    if (rc == 0)
        rc = state_read(records);
    if (rc == 0 && !is_known(records))
        return records_damaged(records, "it is not the one that was there at the start: put that "
                                        "back, or start the server again");
    records->committed_sum = records->state.sum;
    if (rc == 0)
        rc = state_upgrade(records);
    return rc == 0 ? file_prepare(records) : rc;
}

int records_get_ready(struct records *records)
{
    struct herd_buf error = {0};
    if (records->is_ready)
        return 0;
    int rc = open_again(records, &error);
    if (rc == 0)
        rc = set_up_writing(records);
    if (rc == 0)
        begin_log_anew(records);
    if (rc == 0 && records->witness_fd < 0)
        records->witness_fd = witness_open(records->path, &records->witnessed);
    if (rc < 0)
        file_close(records);
    if (rc < 0 && error.len > 0)
        snprintf(records->reason, sizeof records->reason, "%.*s", (int)error.len, error.data);
    herd_buf_free(&error);
    return rc;
}

void records_close(struct records *records)
{
    if (records == NULL)
        return;
    file_close(records);
    witness_sync(records->witness_fd);
    witness_close(records->witness_fd);
    if (records->lock_fd >= 0)
        lock_release(records->lock_fd);
    state_free(&records->state);
    free(records->folder);
    free(records->path);
    free(records->log);
    free(records->lock);
    free(records);
}
