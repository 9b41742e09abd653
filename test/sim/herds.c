/*
 * sim-herds: what an update costs in herds of many sizes, and how soon they agree after faults.
 *
 *   sim-herds [--flood] [SEED [SERVERS…]]     default: 1 5 100 500
 *
 * Herds of 16 servers and more prune, as they do by default; --flood: none does.
 *
 * Each row is two runs: one at rest but for the updates, of which each FLOOD is counted, and one
 * with faults of all kinds. The network takes 0.1 to 2 ms one way.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { PRUNE_SERVERS_MIN = 16 };
enum { SECONDS = 5, FAULTY_SECONDS = 10, FAULT_EVERY_MS = 100, UPDATES = 20, CLIENTS = 60 };

static bool report(const struct run_result *result, uint64_t seed, bool with_faults)
{
    if (result->failed)
        printf("seed %" PRIu64 " (%s, %s) failed: %s: %s\n", seed, result->herd,
               with_faults ? "faults" : "no faults", sim_check_name(result->check),
               result->failure);
    return !result->failed;
}

static bool run_row(uint64_t seed, enum graph_kind graph, uint32_t servers, bool flood)
{
    struct run_options options = run_defaults;
    struct run_result quiet, faulty;
    options.servers = servers;
    options.graph = graph;
    options.plain = 0;
    options.clients = CLIENTS;
    options.updates = UPDATES;
    options.seconds = SECONDS;
    options.tidy = true;
    options.prune = !flood && servers >= PRUNE_SERVERS_MIN;
    options.durability = HERD_DURABILITY_NONE;
    options.faults = 0;
    run_seed(&options, seed, &quiet);
    options.faults = FAULT_ALL;
    options.all_faults = true;
    options.fault_every_ns = FAULT_EVERY_MS * SIM_MS;
    options.seconds = FAULTY_SECONDS;
    run_seed(&options, seed, &faulty);
    double updates = quiet.updates > 0 ? (double)quiet.updates : 1;
    uint64_t faults = 0;
    for (enum fault_kind i = 0; i < FAULT_KINDS; i++)
        faults += faulty.counts.faults[i];
    printf("%-7s %7u %6u %9.1f %9u %8.0f %9.1f %8.0f %8.1f %7" PRIu64 " %8.1f\n",
           graph_kind_name(graph), (unsigned)servers, (unsigned)quiet.edges,
           (double)quiet.counts.floods / updates, (unsigned)(2 * quiet.edges - (servers - 1)),
           (double)quiet.counts.flood_bytes / updates, (double)quiet.counts.controls / updates,
           (double)quiet.counts.control_bytes / updates, (double)quiet.reach_ns / SIM_MS, faults,
           (double)faulty.even_ns / SIM_S);
    return report(&quiet, seed, false) && report(&faulty, seed, true);
}

int main(int argc, char **argv)
{
    static const uint32_t sizes[] = {5, 100, 500};
    bool flood = argc > 1 && strcmp(argv[1], "--flood") == 0;
    argc -= flood;
    argv += flood;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    bool good = true;
    printf("seed %" PRIu64 "; of an update: FLOOD lines, 2E-(V-1), their bytes; other lines, their "
           "bytes\n",
           seed);
    printf(
        "graph   servers  edges FLOODs/up  2E-(V-1) bytes/up others/up bytes/up reach/ms  faults "
        " even/s\n");
    for (int i = 0; i < (argc > 2 ? argc - 2 : 3); i++) {
        uint32_t servers = argc > 2 ? (uint32_t)strtoul(argv[2 + i], NULL, 10) : sizes[i];
        good = run_row(seed, GRAPH_CHORDS, servers, flood) && good;
        good = run_row(seed, GRAPH_RANDOM, servers, flood) && good;
    }
    return !good;
}
