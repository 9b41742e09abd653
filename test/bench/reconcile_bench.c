/*
 * reconcile_bench [RECORDS…]: what it costs to know that two servers hold the same, to find where they
 * do not, and to catch up. Default: 10,000 and 1,000,000 records held. All over wires in memory, in
 * virtual time, 50 ms one way; only the last part, ns an update, is measured.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <herd/posix_time.h>
#include <herd/store.h>

#include "core/rng.h"
#include "core/store.h"
#include "mesh.h"

/* store.c once more, without its digest: no_digest.h. */
int plain_store_new(uint64_t seed, int64_t max_skew_ns, struct herd_store **out);
int plain_store_apply(struct herd_store *store, const struct herd_record *record, uint32_t source,
                      int64_t now_ns);
void plain_store_expect(struct herd_store *store, const struct herd_slice *clients, size_t count);
void plain_store_free(struct herd_store *store);

enum { ROUNDS = 40, UPDATES = 50000, RTT_MS = 2 * MESH_LATENCY_MS };

static const enum herd_verb walk_verbs[] = {HERD_VERB_TREE, HERD_VERB_KEYS, HERD_VERB_NONE};
static const enum herd_verb link_verbs[] = {HERD_VERB_HELLO, HERD_VERB_RESUME, HERD_VERB_MARK,
                                            HERD_VERB_ACK,   HERD_VERB_DIGEST, HERD_VERB_TREE,
                                            HERD_VERB_KEYS,  HERD_VERB_WANT,   HERD_VERB_NONE};

static void say(struct mesh *mesh, size_t node, unsigned client)
{
    char text[HERD_LINE_MAX];
    int len = snprintf(text, sizeof(text), "IAMAT device-%08u +1+1 %" PRId64 "\n", client,
                       mesh->now.wall_ns / HERD_NS_PER_S);
    mesh_say(mesh, mesh->nodes[node], herd_slice(text, (size_t)len));
}

static void measure_difference(struct mesh *mesh, const char *what, unsigned client)
{
    mesh_forget_traffic(mesh);
    mesh->loses_floods = true;
    say(mesh, 0, client);
    mesh_run_ms(mesh, 200);
    mesh->loses_floods = false;
    mesh_run_to_equal(mesh, 60000);
    int64_t took_ms = (mesh->now.mono_ns - mesh->traffic[HERD_VERB_TREE].first_ns) / HERD_NS_PER_MS;
    printf("  one record %-8s TREE and KEYS %5" PRIu64 " bytes, %.1f round trips, %" PRIu64
           " FLOOD\n",
           what, mesh_bytes(mesh, walk_verbs), (double)took_ms / RTT_MS,
           mesh->traffic[HERD_VERB_FLOOD].lines);
    mesh_run_ms(mesh, 60000);
}

/* All until there is peace: MARK, ACK and the last DIGEST come when the stores are equal already. */
static void measure_catch_up(struct mesh *mesh, unsigned records, unsigned changed)
{
    mesh_cut(mesh);
    for (unsigned i = 0; i < changed; i++)
        say(mesh, 0, i * 7 % records);
    mesh_run_ms(mesh, 20000);
    mesh_heal(mesh);
    mesh_forget_traffic(mesh);
    mesh_run_ms(mesh, 20000);
    const struct mesh_traffic *hello = &mesh->traffic[HERD_VERB_HELLO];
    int64_t flood_ns = mesh->traffic[HERD_VERB_FLOOD].first_ns;
    int64_t hello_ns = hello->last_ns < flood_ns ? hello->last_ns : hello->first_ns; /* its own */
    printf("  %5u changed: %5" PRIu64 " FLOOD, besides %4" PRIu64 " bytes on their link, %4" PRIu64
           " on the one back; the first leaves %.1f round trips after HELLO\n",
           changed, mesh->traffic[HERD_VERB_FLOOD].lines, mesh_link_bytes(mesh, 0, link_verbs),
           mesh_link_bytes(mesh, 1, link_verbs),
           (double)(flood_ns - hello_ns) / HERD_NS_PER_MS / RTT_MS);
}

static void measure_lines(unsigned records)
{
    static const unsigned changes[] = {1, 50, 1000, 10000};
    struct mesh *mesh = mesh_new_row(2, records);
    mesh_run_ms(mesh, 15000);
    printf("%u records\n  equal stores        DIGEST %" PRIu64 " bytes a connection, %" PRIu64
           " TREE\n",
           records, mesh->traffic[HERD_VERB_DIGEST].bytes / mesh->traffic[HERD_VERB_DIGEST].lines,
           mesh->traffic[HERD_VERB_TREE].lines);
    measure_difference(mesh, "missing", records + 1);
    measure_difference(mesh, "older", records / 2);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        measure_catch_up(mesh, records, changes[i]);
    mesh_free(mesh);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct update {
    struct herd_record record;
    char id[32], sent[32];
};

static struct update updates[UPDATES];

typedef int (*apply_fn)(struct herd_store *store, const struct herd_record *record, uint32_t source,
                        int64_t now_ns);

/* Updates of clients in random order, each newer than the last. */
static void make_updates(struct rng *rng, unsigned records, unsigned round)
{
    for (unsigned i = 0; i < UPDATES; i++) {
        struct update *update = &updates[i];
        int id_len = snprintf(update->id, sizeof(update->id), "device-%08u",
                              (unsigned)rng_below(rng, records));
        int sent_len = snprintf(update->sent, sizeof(update->sent), "1699%06u.%09u", round, i);
        update->record =
            (struct herd_record){.client = herd_slice(update->id, (size_t)id_len),
                                 .location = herd_slice_of("+34.068930-118.445127"),
                                 .sent = herd_slice(update->sent, (size_t)sent_len),
                                 .received = herd_slice_of("1699990000.123456789"),
                                 .origin = herd_slice_of("Hill"),
                                 .diff = herd_slice_of("+0.100000000"),
                                 .sent_ns = (1699000000 + (int64_t)round) * HERD_NS_PER_S + i};
    }
}

struct kind {
    int (*make)(uint64_t seed, int64_t max_skew_ns, struct herd_store **out);
    apply_fn apply;
    void (*expect)(struct herd_store *store, const struct herd_slice *clients, size_t count);
    void (*drop)(struct herd_store *store);
};

/* ns an update; as a server does it, which looks ahead at eight lines, or each by itself. */
static double apply_all(struct herd_store *store, const struct kind *kind, bool ahead)
{
    double began_s = now_s();
    for (unsigned i = 0; i < UPDATES; i++) {
        struct herd_slice clients[STORE_EXPECT_MAX];
        if (ahead && i % STORE_EXPECT_MAX == 0) {
            for (unsigned k = 0; k < STORE_EXPECT_MAX; k++)
                clients[k] = updates[i + k].record.client;
            kind->expect(store, clients, STORE_EXPECT_MAX);
        }
        if (kind->apply(store, &updates[i].record, 0, 0) != 1)
            abort();
    }
    return (now_s() - began_s) / UPDATES * 1e9;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Two stores with the same updates in the same rounds, taking turns: others use the machine too. */
static void measure_upkeep(unsigned records, bool ahead)
{
    static const struct kind kinds[] = {
        {herd_store_new, herd_store_apply, store_expect, herd_store_free},
        {plain_store_new, plain_store_apply, plain_store_expect, plain_store_free}};
    struct herd_store *stores[2];
    double ns[2][ROUNDS], more_ns[ROUNDS];
    unsigned warm_up = records / UPDATES * 4 + 1; /* until nearly all are held */
    struct rng rng = {1};
    for (int k = 0; k < 2; k++) {
        if (kinds[k].make(1, 0, &stores[k]) < 0)
            abort();
    }
    for (unsigned round = 0; round < warm_up + ROUNDS; round++) {
        make_updates(&rng, records, round);
        for (unsigned turn = 0; turn < 2; turn++) {
            unsigned k = (turn + round) % 2;
            double took_ns = apply_all(stores[k], &kinds[k], ahead);
            if (round >= warm_up)
                ns[k][round - warm_up] = took_ns;
        }
    }
    for (unsigned round = 0; round < ROUNDS; round++)
        more_ns[round] = ns[0][round] - ns[1][round];
    qsort(ns[0], ROUNDS, sizeof(double), by_size);
    qsort(ns[1], ROUNDS, sizeof(double), by_size);
    qsort(more_ns, ROUNDS, sizeof(double), by_size);
    printf("  upkeep of the digest, %s: an update takes %.0f ns with it, %.0f without: %.0f ns; "
           "median of %d rounds %.0f\n",
           ahead ? "as a server does it" : "each update by itself", ns[0][0], ns[1][0],
           ns[0][0] - ns[1][0], ROUNDS, more_ns[ROUNDS / 2]);
    for (int k = 0; k < 2; k++)
        kinds[k].drop(stores[k]);
}

int main(int argc, char **argv)
{
    static const unsigned sizes[] = {10000, 1000000};
    for (int i = 0; i < (argc > 1 ? argc - 1 : 2); i++) {
        unsigned records = argc > 1 ? (unsigned)strtoul(argv[1 + i], NULL, 10) : sizes[i];
        measure_lines(records);
        measure_upkeep(records, true);
        measure_upkeep(records, false);
    }
    return 0;
}
