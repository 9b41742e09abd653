#include <stdlib.h>

#include <herd/err.h>

#include "disk.h"
#include "plant.h"
#include "server.h"

enum {
    WRITE_MIN_US = 200,
    SLOW_MAX_MS = 3000,
    LAZY_S = 20,            /* a planted bug's */
    TORN_PERCENT = 50,      /* of batches under way at a crash that are found to be there */
    YOUNG_MS = 1000,        /* what is older is on disk */
    TROUBLE_OVER_MS = 3500, /* for a batch that failed to be tried again, and what waited behind */
    SNAPSHOT_ROWS_MIN = 64,
    SNAPSHOT_ROWS_PER_RECORD = 4
};

static struct sim *sim_of(const struct disk *disk)
{
    return &disk->server->world->sim;
}

static struct model *model_of(const struct disk *disk)
{
    return &disk->server->world->model;
}

struct disk *disk_new(struct server *server)
{
    struct disk *disk = sim_alloc(1, sizeof(*disk));
    disk->server = server;
    disk->due = sim_alloc(server->world->model.client_count, sizeof(struct model_record *));
    disk->trouble_ns = -TROUBLE_OVER_MS * SIM_MS;
    brought_init(disk);
    return disk;
}

void disk_free(struct disk *disk)
{
    if (disk == NULL)
        return;
    ledger_clear(&disk->ledger);
    ledger_clear(&disk->backup);
    brought_free(disk);
    free(disk->backup_newest);
    free(disk->due);
    free(disk->young);
    free(disk);
}

bool disk_has_life(const struct disk *disk)
{
    return disk->ledger.writes > 0;
}

static void check_contract(struct disk *disk, const char *wrong)
{
    if (wrong != NULL)
        sim_fail(sim_of(disk), SIM_DURABLE, "%s has %s", disk->server->name, wrong);
}

static struct disk_young *young_at(const struct disk *disk, size_t i)
{
    return &disk->young[(disk->young_first + i) & (disk->young_cap - 1)];
}

static void demand(struct disk *disk, struct model_record *record)
{
    struct model_record **due = &disk->due[record->client];
    if (*due == NULL || model_compare(record, *due) > 0)
        *due = record;
}

bool disk_is_sound(const struct disk *disk)
{
    return sim_of(disk)->now_ns - disk->trouble_ns >= TROUBLE_OVER_MS * SIM_MS;
}

/* A thousand records in batches of a few are a catch-up that takes longer than that to write, and
 * then it is only what was answered that has to be there: with commit, see disk_on_answered. What a
 * neighbour has brought in its place meanwhile comes behind all that is still to be written: that
 * one is promised by the server that answered it. */
static bool is_promised(const struct disk *disk, const struct disk_young *young)
{
    const struct world_options *options = &disk->server->world->options;
    bool few =
        options->batch_records_max > 0 && options->batch_records_max <= WORLD_FEW_RECORDS_MAX;
    if (!few || options->clients <= WORLD_FEW_CLIENTS_MAX)
        return true;
    return options->durability != HERD_DURABILITY_COMMIT && young->answered &&
           !brought_since(disk, young->record->client, young->sequence,
                          young->at_ns + YOUNG_MS * SIM_MS);
}

/* What has been held for so long has to be on the disk, if nothing was in the way. */
static void grow_old(struct disk *disk)
{
    int64_t now_ns = sim_of(disk)->now_ns;
    if (!disk_is_sound(disk))
        return;
    while (disk->young_count > 0) {
        const struct disk_young *first = young_at(disk, 0);
        if (now_ns - first->at_ns < YOUNG_MS * SIM_MS)
            break;
        if (first->record != NULL && is_promised(disk, first))
            demand(disk, first->record);
        disk->young_first = (disk->young_first + 1) & (disk->young_cap - 1);
        disk->young_count--;
    }
}

static void grow_room(struct disk *disk)
{
    size_t cap = disk->young_cap > 0 ? disk->young_cap * 2 : 64;
    struct disk_young *young = sim_alloc(cap, sizeof(*young));
    for (size_t i = 0; i < disk->young_count; i++)
        young[i] = *young_at(disk, i);
    free(disk->young);
    disk->young = young;
    disk->young_cap = cap;
    disk->young_first = 0;
}

void disk_on_kept(struct disk *disk, struct model_record *record, bool by_neighbour,
                  uint64_t sequence)
{
    grow_old(disk);
    if (disk->young_count == disk->young_cap)
        grow_room(disk);
    *young_at(disk, disk->young_count++) =
        (struct disk_young){sim_of(disk)->now_ns, sequence, !by_neighbour, record};
    brought_on_kept(disk, record, by_neighbour, sequence);
}

/* With it, what it has replaced. */
void disk_on_ended(struct disk *disk, const struct model_record *record)
{
    struct model_record **due = &disk->due[record->client];
    brought_on_ended(disk, record->client);
    if (*due != NULL && model_compare(*due, record) <= 0)
        *due = NULL;
    for (size_t i = 0; i < disk->young_count; i++) {
        struct model_record **young = &young_at(disk, i)->record;
        if (*young != NULL && (*young)->client == record->client &&
            model_compare(*young, record) <= 0)
            *young = NULL;
    }
}

static bool is_there(const struct disk *disk, const struct model_record *record)
{
    const struct model_record *own =
        model_on_disk(model_of(disk), disk->server->index, record->client);
    return own != NULL && model_compare(own, record) >= 0;
}

static void check_there(struct disk *disk, const struct model_record *record, const char *why)
{
    if (!is_there(disk, record) && !world_has_ended(disk->server->world, record))
        sim_fail(sim_of(disk), SIM_DURABLE, "%s is not on the disk of %s: %.*s", why,
                 disk->server->name, (int)record->text.len, record->text.data);
}

void disk_on_answered(struct disk *disk, struct model_record *record)
{
    check_there(disk, record, "what a client was answered");
    demand(disk, record);
}

void disk_excuse(struct disk *disk, int64_t until_ns)
{
    grow_old(disk);
    if (until_ns > disk->trouble_ns)
        disk->trouble_ns = until_ns;
}

/* What the dialler has told lately and the listener has acknowledged. With what that refused as
 * having ended, an ACK has nothing to do, and another neighbour may have brought it since. */
void disk_check_acknowledged(struct disk *disk, const struct disk *dialler, uint64_t sequence)
{
    const struct model *model = model_of(disk);
    uint32_t here = disk->server->index, there = dialler->server->index;
    for (size_t i = 0; i < dialler->young_count; i++) {
        const struct model_record *record = young_at(dialler, i)->record;
        if (record == NULL || (record->refused_by >> here % 64 & 1) != 0)
            continue;
        const struct model_record *held = model_held(model, here, record->client);
        if (model_held(model, there, record->client) == record &&
            model_sequence(model, there, record->client) <= sequence && held != NULL &&
            model_compare(held, record) >= 0)
            check_there(disk, record, "what was acknowledged to a neighbour");
    }
}

/* The model learns what a batch has brought. */
static void tell_model(struct disk *disk, const struct herd_batch *batch)
{
    struct herd_slice text = herd_buf_slice(&batch->records), line;
    while (ledger_next_line(&text, &line) && line.data != NULL) {
        const char *space = memchr(line.data, ' ', line.len);
        size_t skip = space != NULL ? (size_t)(space - line.data) + 1 : line.len;
        struct model_record *record =
            model_find(model_of(disk), herd_slice(line.data + skip, line.len - skip));
        if (record != NULL) {
            model_write(model_of(disk), disk->server->index, record);
            brought_on_written(disk, record);
        } else {
            sim_fail(sim_of(disk), SIM_SAME, "nobody has made what %s writes: %.*s",
                     disk->server->name, (int)line.len, line.data);
        }
    }
}

static void write_batch(struct disk *disk, const struct herd_batch *batch)
{
    check_contract(disk, ledger_write(&disk->ledger, batch));
    tell_model(disk, batch);
    disk->server->world->counts.batches++;
}

static bool wants_snapshot(const struct disk *disk)
{
    size_t held = herd_store_count(herd_node_store(disk->server->node));
    return disk->ledger.row_count > SNAPSHOT_ROWS_MIN + held * SNAPSHOT_ROWS_PER_RECORD;
}

static void finish(struct disk *disk, int status)
{
    struct server *server = disk->server;
    disk->pending = NULL;
    if (status < 0)
        disk_excuse(disk, sim_of(disk)->now_ns);
    server_enter(server);
    herd_node_persisted(server->node, server_now(server), status);
    server_leave(server);
    if (status == 0 && wants_snapshot(disk))
        herd_node_snapshot(server->node);
    server_after_event(server);
}

static void on_written(void *owner, uint64_t number)
{
    struct disk *disk = owner;
    struct server *server = disk->server;
    struct sim *sim = sim_of(disk);
    if (disk->pending == NULL || disk->number != number)
        return;
    if (disk->fatal) {
        disk->fatal = false;
        server->world->counts.faults[FAULT_TORN]++;
        fault_crash_server(server->world, server->index);
        return;
    }
    if (server->host.stalled_until_ns > sim->now_ns) {
        sim_at(sim, server->host.stalled_until_ns, on_written, owner, number);
        return;
    }
    bool fails = disk->fails_until_ns > sim->now_ns;
    sim_mix(sim, number);
    if (!fails)
        write_batch(disk, disk->pending);
    finish(disk, fails ? HERD_EFULL : 0);
}

/* A planted bug: the node hears of it before it is so. */
static void on_told_early(void *owner, uint64_t number)
{
    struct disk *disk = owner;
    if (disk->pending != NULL && disk->number == number)
        finish(disk, 0);
}

void disk_persist(struct disk *disk, const struct herd_batch *batch)
{
    struct world *world = disk->server->world;
    struct sim *sim = sim_of(disk);
    bool slow = disk->slow_until_ns > sim->now_ns;
    int64_t wait_ns =
        slow ? rng_between(&world->rng, 0, SLOW_MAX_MS * SIM_MS)
             : rng_between(&world->rng, WRITE_MIN_US * SIM_US, DISK_WRITE_MAX_US * SIM_US);
    if (world->plant.kind == PLANT_LAZY_DISK)
        wait_ns = LAZY_S * SIM_S;
    disk->pending = batch;
    disk->number++;
    sim_trace(sim, disk->server->name, "..", "disk", "(%s up to %llu, %zu bytes)",
              batch->is_snapshot ? "snapshot" : "journal", (unsigned long long)batch->upto,
              batch->records.len);
    if (slow)
        disk_excuse(disk, sim->now_ns + wait_ns);
    bool lies = world->plant.kind == PLANT_DISK_LIES;
    sim_at(sim, sim->now_ns + wait_ns, lies ? on_told_early : on_written, disk, disk->number);
    if (lies && rng_percent(&world->plant.rng, 50))
        write_batch(disk, batch);
}

/* A planted bug: half of a batch was written, and it counts as whole. */
static void write_half(struct disk *disk, const struct herd_batch *batch)
{
    struct herd_batch half = *batch;
    const char *at = half.records.data;
    size_t len = 0;
    while (len < half.records.len / 2)
        len +=
            (size_t)((const char *)memchr(at + len, '\n', half.records.len - len) - (at + len)) + 1;
    half.records.len = len;
    write_batch(disk, &half);
}

static bool is_short(const struct herd_batch *batch)
{
    const char *lf = memchr(batch->records.data, '\n', batch->records.len);
    return lf == NULL || lf + 1 == batch->records.data + batch->records.len;
}

void disk_crash(struct disk *disk)
{
    struct world *world = disk->server->world;
    const struct herd_batch *batch = disk->pending;
    disk->pending = NULL;
    disk->fatal = false;
    if (batch != NULL && disk->fails_until_ns <= sim_of(disk)->now_ns) {
        bool torn = world->plant.kind == PLANT_TORN && batch->records.len > 0 && !is_short(batch);
        if (torn)
            write_half(disk, batch);
        else if (rng_percent(&world->rng, TORN_PERCENT))
            write_batch(disk, batch);
    }
    grow_old(disk);
    for (uint32_t client = 0; client < world->model.client_count; client++) {
        if (disk->due[client] != NULL)
            check_there(disk, disk->due[client], "what should long be there");
    }
    disk->young_count = 0;
    brought_forget(disk);
    disk->trouble_ns = -TROUBLE_OVER_MS * SIM_MS;
    if (disk->fails_until_ns > sim_of(disk)->now_ns)
        disk_excuse(disk, disk->fails_until_ns); /* the next life has it to bear as well */
}

void disk_check_stopped(struct disk *disk)
{
    struct world *world = disk->server->world;
    if (!disk_is_sound(disk))
        return;
    for (uint32_t client = 0; client < world->model.client_count; client++) {
        const struct model_record *held = model_held(&world->model, disk->server->index, client);
        if (held != NULL)
            check_there(disk, held, "what a server held that has stopped");
    }
}

void disk_heal(struct disk *disk)
{
    int64_t now_ns = sim_of(disk)->now_ns;
    disk->fatal = false;
    if (disk->fails_until_ns > now_ns)
        disk->fails_until_ns = now_ns;
    if (disk->slow_until_ns > now_ns)
        disk->slow_until_ns = now_ns;
}

static void forget_demands(struct disk *disk)
{
    memset(disk->due, 0, model_of(disk)->client_count * sizeof(struct model_record *));
    disk->young_count = 0;
    brought_forget(disk);
    disk->lives++;
}

void disk_lose(struct disk *disk)
{
    ledger_clear(&disk->ledger);
    model_put_disk(model_of(disk), disk->server->index, NULL);
    forget_demands(disk);
}

void disk_make_backup(struct disk *disk)
{
    uint32_t clients = model_of(disk)->client_count;
    ledger_copy(&disk->backup, &disk->ledger);
    if (disk->backup_newest == NULL)
        disk->backup_newest = sim_alloc(clients, sizeof(struct model_record *));
    for (uint32_t client = 0; client < clients; client++)
        disk->backup_newest[client] = model_on_disk(model_of(disk), disk->server->index, client);
}

void disk_put_backup(struct disk *disk)
{
    ledger_copy(&disk->ledger, &disk->backup);
    model_put_disk(model_of(disk), disk->server->index, disk->backup_newest);
    forget_demands(disk);
}

void disk_exchange_backup(struct disk *disk)
{
    struct ledger there = disk->ledger;
    uint32_t clients = model_of(disk)->client_count;
    struct model_record **newest = sim_alloc(clients, sizeof(*newest));
    for (uint32_t client = 0; client < clients; client++)
        newest[client] = model_on_disk(model_of(disk), disk->server->index, client);
    disk->ledger = disk->backup;
    disk->backup = there;
    model_put_disk(model_of(disk), disk->server->index, disk->backup_newest);
    free(disk->backup_newest);
    disk->backup_newest = newest;
    forget_demands(disk);
}

void disk_restore(struct disk *disk)
{
    struct server *server = disk->server;
    struct model *model = model_of(disk);
    check_contract(disk, ledger_restore(&disk->ledger, server->node, server_now(server)));
    for (size_t i = 0; i < disk->ledger.row_count; i++) {
        struct model_record *record = model_find(model, herd_slice_of(disk->ledger.rows[i].text));
        if (record != NULL && server_has_ended(server, record)) {
            disk_on_ended(disk, record);
            model_let_go(model, server->index, record);
        } else if (record != NULL && model_is_news(model, server->index, record)) {
            model_keep(model, server->index, record, disk->ledger.rows[i].sequence);
            /* Let go of before, by a clock that was ahead, and an older one written since: this
             * row is what counts. */
            model_write(model, server->index, record);
        }
    }
    server->sequence = herd_store_sequence(herd_node_store(server->node));
}
