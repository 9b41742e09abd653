/* sim-swarm: runs seeds, and says what failed and how to see it again. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

#ifdef SIM_MUTANTS
#include "mutant.h"
#endif

struct swarm {
    struct run_options run;
    uint64_t first, last;
    bool each;       /* a line for each seed */
    bool twice;      /* each seed is run twice, and must do the same */
    bool fired;      /* each fault has to happen */
    uint64_t reads;  /* WHATSAT … AFTER that have to be answered */
    bool expect;     /* a seed has to fail by the planted bug's check */
    char again[512]; /* the options of all seeds */
};

struct totals {
    uint64_t runs, failures;
    int64_t virtual_ns;
    int64_t even_max_ns;
    uint64_t updates, acknowledged, lost;
    struct world_counts counts;
    struct net_counts net;
};

static const char usage[] =
    "usage: sim-swarm [--seeds A..B] [options]\n"
    "  --seeds A..B | N     the seeds to run (1..100)\n"
    "  --servers N          else 2..8\n"
    "  --graph KIND         ring | seed | random | line | complete; else any\n"
    "  --plain N            servers of the simple kind; else some in some runs\n"
    "  --clients N          ids; else 1..60 or 1000\n"
    "  --updates N          a virtual second; else 5..60\n"
    "  --fat PERCENT        of locations, of some thousand digits\n"
    "  --minutes M          of faults and updates; --seconds S; else 5..15 s\n"
    "  --faults LIST        all | none | some of those below, with commas; else a choice of all\n"
    "  --prune              one tree an origin, as in large herds\n"
    "  --durability MODE    none | interval | commit | herd; else any\n"
    "  --ttl SECONDS        of records; 0: they do not end; else any, without plain servers\n"
    "  --roam PERCENT       of answered phones that ask elsewhere at once; else any\n"
    "  --batch N            records of one for the disk; 0: as many as ever; else any\n"
    "  --reads N            fails unless so many WHATSAT … AFTER were answered\n"
    "  --lose-digests       sequences alone have to do\n"
    "  --late               servers that die are soon back, and their last words later still\n"
    "  --tidy               well-behaved phones and a fast network, to measure speed\n"
    "  --checks LIST        only these\n"
    "  --plant BUG          plants a bug\n"
    "  --expect             succeeds when the bug's own check finds it\n"
    "  --twice              runs each seed twice, and compares\n"
    "  --fired              fails unless each fault has happened\n"
    "  --each               a line for each seed\n"
    "  --trace              all that is said, for one seed\n";

static void print_tables(void)
{
    fputs(usage, stdout);
    puts("faults:");
    for (enum fault_kind i = 0; i < FAULT_KINDS; i++)
        printf("  %-20s %s\n", fault_name(i), fault_text(i));
    puts("checks:");
    for (enum sim_check i = 0; i < SIM_CHECKS; i++)
        printf("  %-20s %s\n", sim_check_name(i), sim_check_text(i));
    puts("bugs:");
    for (enum plant_kind i = PLANT_NONE + 1; i < PLANT_KINDS; i++)
        printf("  %-20s %s (%s)\n", plant_name(i), plant_text(i), sim_check_name(plant_check(i)));
}

static void fail_usage(const char *option, const char *value)
{
    fprintf(stderr, "sim-swarm: --%s does not know %s; --help says what there is\n", option, value);
    exit(2);
}

static double number(const char *option, const char *text)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || value < 0 || value > 1e15)
        fail_usage(option, text);
    return value;
}

static unsigned parse_list(const char *option, const char *text, unsigned (*bit_of)(const char *))
{
    char copy[256];
    unsigned bits = 0;
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *at = copy, *name; (name = strsep(&at, ",")) != NULL;) {
        unsigned bit = bit_of(name);
        if (bit == 0)
            fail_usage(option, name);
        bits |= bit;
    }
    return bits;
}

static unsigned fault_bit(const char *name)
{
    enum fault_kind kind = fault_of(name);
    return kind < FAULT_KINDS ? 1u << kind : 0;
}

static unsigned check_bit(const char *name)
{
    for (enum sim_check i = 0; i < SIM_CHECKS; i++) {
        if (strcmp(name, sim_check_name(i)) == 0)
            return 1u << i;
    }
    return 0;
}

static void parse_seeds(struct swarm *swarm, const char *text)
{
    char *end;
    swarm->first = strtoull(text, &end, 10);
    swarm->last = swarm->first;
    if (strncmp(end, "..", 2) == 0)
        swarm->last = strtoull(end + 2, &end, 10);
    if (*end != '\0' || swarm->last < swarm->first)
        fail_usage("seeds", text);
}

static void parse_faults(struct run_options *run, const char *text)
{
    run->all_faults = true;
    if (strcmp(text, "all") == 0)
        run->faults = FAULT_ALL;
    else if (strcmp(text, "none") == 0)
        run->faults = 0;
    else
        run->faults = parse_list("faults", text, fault_bit);
}

enum option_id {
    OPT_SEEDS = 1,
    OPT_SERVERS,
    OPT_GRAPH,
    OPT_PLAIN,
    OPT_CLIENTS,
    OPT_UPDATES,
    OPT_FAT,
    OPT_MINUTES,
    OPT_SECONDS,
    OPT_FAULTS,
    OPT_PRUNE,
    OPT_DURABILITY,
    OPT_TTL,
    OPT_ROAM,
    OPT_BATCH,
    OPT_READS,
    OPT_LOSE_DIGESTS,
    OPT_LATE,
    OPT_TIDY,
    OPT_CHECKS,
    OPT_PLANT,
    OPT_EXPECT,
    OPT_TWICE,
    OPT_FIRED,
    OPT_EACH,
    OPT_TRACE,
    OPT_HELP
};

static const struct option options[] = {
    {"seeds", required_argument, NULL, OPT_SEEDS},
    {"servers", required_argument, NULL, OPT_SERVERS},
    {"graph", required_argument, NULL, OPT_GRAPH},
    {"plain", required_argument, NULL, OPT_PLAIN},
    {"clients", required_argument, NULL, OPT_CLIENTS},
    {"updates", required_argument, NULL, OPT_UPDATES},
    {"fat", required_argument, NULL, OPT_FAT},
    {"minutes", required_argument, NULL, OPT_MINUTES},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"faults", required_argument, NULL, OPT_FAULTS},
    {"prune", no_argument, NULL, OPT_PRUNE},
    {"durability", required_argument, NULL, OPT_DURABILITY},
    {"ttl", required_argument, NULL, OPT_TTL},
    {"roam", required_argument, NULL, OPT_ROAM},
    {"batch", required_argument, NULL, OPT_BATCH},
    {"reads", required_argument, NULL, OPT_READS},
    {"lose-digests", no_argument, NULL, OPT_LOSE_DIGESTS},
    {"late", no_argument, NULL, OPT_LATE},
    {"tidy", no_argument, NULL, OPT_TIDY},
    {"checks", required_argument, NULL, OPT_CHECKS},
    {"plant", required_argument, NULL, OPT_PLANT},
    {"expect", no_argument, NULL, OPT_EXPECT},
    {"twice", no_argument, NULL, OPT_TWICE},
    {"fired", no_argument, NULL, OPT_FIRED},
    {"each", no_argument, NULL, OPT_EACH},
    {"trace", no_argument, NULL, OPT_TRACE},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int durability_of(const char *option, const char *text)
{
    static const char *const names[] = {"none", "interval", "commit", "herd"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) == 0)
            return i;
    }
    fail_usage(option, text);
    return RUN_ANY;
}

static void parse_option(struct swarm *swarm, int id, const char *name, const char *value)
{
    struct run_options *run = &swarm->run;
    switch (id) {
    case OPT_SEEDS:
        parse_seeds(swarm, value);
        break;
    case OPT_SERVERS:
        run->servers = (uint32_t)number(name, value);
        break;
    case OPT_GRAPH:
        run->graph = graph_kind_of(value);
        if (run->graph == GRAPH_KINDS)
            fail_usage(name, value);
        break;
    case OPT_PLAIN:
        run->plain = (uint32_t)number(name, value);
        break;
    case OPT_CLIENTS:
        run->clients = (uint32_t)number(name, value);
        break;
    case OPT_UPDATES:
        run->updates = number(name, value);
        break;
    case OPT_FAT:
        run->fat_percent = (unsigned)number(name, value);
        break;
    case OPT_MINUTES:
        run->seconds = number(name, value) * 60;
        break;
    case OPT_SECONDS:
        run->seconds = number(name, value);
        break;
    case OPT_FAULTS:
        parse_faults(run, value);
        break;
    case OPT_DURABILITY:
        run->durability = durability_of(name, value);
        break;
    case OPT_TTL:
        run->ttl_s = (uint32_t)number(name, value);
        break;
    case OPT_ROAM:
        run->roam_percent = (unsigned)number(name, value);
        break;
    case OPT_BATCH:
        run->batch = (unsigned)number(name, value);
        break;
    case OPT_READS:
        swarm->reads = (uint64_t)number(name, value);
        break;
    case OPT_CHECKS:
        run->checks = parse_list(name, value, check_bit);
        break;
    case OPT_PLANT:
        run->plant = plant_of(value);
        if (run->plant == PLANT_KINDS)
            fail_usage(name, value);
        break;
    default:
        fail_usage(name, value != NULL ? value : "it");
    }
}

/* True if the option was a switch. */
static bool parse_switch(struct swarm *swarm, int id)
{
    switch (id) {
    case OPT_PRUNE:
        swarm->run.prune = true;
        return true;
    case OPT_TIDY:
        swarm->run.tidy = true;
        return true;
    case OPT_LOSE_DIGESTS:
        swarm->run.lose_digests = true;
        return true;
    case OPT_LATE:
        swarm->run.late = true;
        return true;
    case OPT_EXPECT:
        swarm->expect = true;
        return true;
    case OPT_TWICE:
        swarm->twice = true;
        return true;
    case OPT_FIRED:
        swarm->fired = true;
        return true;
    case OPT_EACH:
        swarm->each = true;
        return true;
    case OPT_TRACE:
        swarm->run.trace = stdout;
        return true;
    case OPT_HELP:
        print_tables();
        exit(0);
    default:
        return false;
    }
}

static void parse(struct swarm *swarm, int argc, char **argv)
{
    int at = 0;
    int id;
    while ((id = getopt_long(argc, argv, "", options, &at)) != -1) {
        if (id == '?') {
            fputs(usage, stderr);
            exit(2);
        }
        if (!parse_switch(swarm, id))
            parse_option(swarm, id, options[at].name, optarg);
        if (id == OPT_SEEDS || (id >= OPT_EXPECT && id <= OPT_TRACE))
            continue; /* not of the herd */
        size_t len = strlen(swarm->again);
        snprintf(swarm->again + len, sizeof(swarm->again) - len, " --%s%s%s", options[at].name,
                 optarg != NULL ? " " : "", optarg != NULL ? optarg : "");
    }
    if (optind < argc)
        fail_usage("help", argv[optind]);
}

static void print_failure(const struct swarm *swarm, const char *program, uint64_t seed,
                          const struct run_result *result)
{
    printf("seed %" PRIu64 " (%s) failed at %.6f s\n  %s: %s\n  %s\n  again: %s --seeds %" PRIu64
           "%s --trace\n",
           seed, result->herd, (double)result->failed_at_ns / (double)SIM_S,
           sim_check_name(result->check), sim_check_text(result->check), result->failure, program,
           seed, swarm->again);
}

static void add(struct totals *totals, const struct run_result *result)
{
    totals->runs++;
    totals->failures += result->failed;
    totals->virtual_ns += result->virtual_ns;
    if (result->even_ns > totals->even_max_ns)
        totals->even_max_ns = result->even_ns;
    totals->updates += result->updates;
    totals->acknowledged += result->acknowledged;
    totals->lost += result->lost;
    totals->counts.floods += result->counts.floods;
    totals->counts.flood_bytes += result->counts.flood_bytes;
    totals->counts.controls += result->counts.controls;
    totals->counts.answers += result->counts.answers;
    totals->counts.resent += result->counts.resent;
    totals->counts.refused += result->counts.refused;
    totals->counts.after += result->counts.after;
    totals->counts.after_waited += result->counts.after_waited;
    totals->counts.after_expired += result->counts.after_expired;
    totals->counts.batches += result->counts.batches;
    totals->counts.plain_dropped += result->counts.plain_dropped;
    for (enum fault_kind i = 0; i < FAULT_KINDS; i++)
        totals->counts.faults[i] += result->counts.faults[i];
    totals->net.dials += result->net.dials;
    totals->net.refused += result->net.refused;
    totals->net.resets += result->net.resets;
    totals->net.timeouts += result->net.timeouts;
    totals->net.pieces += result->net.pieces;
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_totals(const struct totals *totals, double real_s)
{
    double virtual_s = (double)totals->virtual_ns / (double)SIM_S;
    double updates = totals->updates > 0 ? (double)totals->updates : 1;
    const struct world_counts *counts = &totals->counts;
    printf("runs      %" PRIu64 ", failed %" PRIu64 "\n", totals->runs, totals->failures);
    double cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    printf("time      %.0f virtual s in %.2f s, %.2f s of them on a processor: %.0f a second\n",
           virtual_s, real_s, cpu_s, virtual_s / cpu_s);
    printf("updates   %" PRIu64 ", acknowledged %" PRIu64 ", lost with all their holders %" PRIu64
           ", said again elsewhere %" PRIu64 ", not safe in time %" PRIu64 "\n",
           totals->updates, totals->acknowledged, totals->lost, counts->resent, counts->refused);
    printf("floods    %.2f lines and %.0f bytes an update; %" PRIu64 " other lines; %" PRIu64
           " dropped by plain servers\n",
           (double)counts->floods / updates, (double)counts->flood_bytes / updates,
           counts->controls, counts->plain_dropped);
    printf("answers   %" PRIu64 ", all as they should be\n", counts->answers);
    printf("network   %" PRIu64 " dials, %" PRIu64 " refused, %" PRIu64 " resets, %" PRIu64
           " timeouts, %" PRIu64 " writes cut\n",
           totals->net.dials, totals->net.refused, totals->net.resets, totals->net.timeouts,
           totals->net.pieces);
    printf("reads     %" PRIu64 " WHATSAT … AFTER answered with what was asked for, %" PRIu64
           " of them not at once; %" PRIu64 " with `? `\n",
           counts->after, counts->after_waited, counts->after_expired);
    printf("disks     %" PRIu64 " batches written\n", counts->batches);
    printf("even      at most %.1f s after the last fault\n",
           (double)totals->even_max_ns / (double)SIM_S);
    fputs("faults   ", stdout);
    for (enum fault_kind i = 0; i < FAULT_KINDS; i++)
        printf(" %s %" PRIu64, fault_name(i), counts->faults[i]);
    putchar('\n');
}

static void run_one(struct swarm *swarm, uint64_t seed, struct run_result *result)
{
#ifdef SIM_MUTANTS
    mutant_plant(swarm->run.plant);
#endif
    run_seed(&swarm->run, seed, result);
    if (!swarm->twice || result->failed)
        return;
    struct run_result again;
    run_seed(&swarm->run, seed, &again);
    if (again.hash == result->hash && !again.failed)
        return;
    result->failed = true;
    snprintf(result->failure, sizeof(result->failure),
             "two runs of one seed differ: %016" PRIx64 " and %016" PRIx64, result->hash,
             again.hash);
}

/* What is said when an assertion of libherd fails. */
static char last_words[768];

static void on_abort(int signal_number)
{
    (void)signal_number;
    if (write(STDERR_FILENO, last_words, strlen(last_words)) < 0)
        _exit(4);
}

static void announce(const struct swarm *swarm, const char *program, uint64_t seed)
{
    snprintf(last_words, sizeof(last_words),
             "seed %" PRIu64 " aborted\n  again: %s --seeds %" PRIu64 "%s --trace\n", seed, program,
             seed, swarm->again);
}

/* A fault that may happen and never does proves nothing. */
static bool all_fired(const struct swarm *swarm, const struct totals *totals)
{
    bool all = true;
    for (enum fault_kind i = 0; i < FAULT_KINDS; i++) {
        if ((swarm->run.faults & 1u << i) && totals->counts.faults[i] == 0) {
            printf("%s never happened\n", fault_name(i));
            all = false;
        }
    }
    return all;
}

int main(int argc, char **argv)
{
    struct swarm swarm = {.run = run_defaults, .first = 1, .last = 100};
    struct totals totals = {0};
    struct run_result result;
    parse(&swarm, argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGABRT, on_abort);
    double begin_s = seconds_of(CLOCK_MONOTONIC);
    for (uint64_t seed = swarm.first; seed <= swarm.last; seed++) {
        announce(&swarm, argv[0], seed);
        run_one(&swarm, seed, &result);
        add(&totals, &result);
        if (swarm.each)
            printf("seed %" PRIu64 " %s, %016" PRIx64 "\n", seed, result.herd, result.hash);
        if (result.failed)
            print_failure(&swarm, argv[0], seed, &result);
        if (swarm.expect && result.failed) {
            printf("%s was found by %s, in seed %" PRIu64 "\n", plant_name(swarm.run.plant),
                   sim_check_name(result.check), seed);
            return result.check == plant_check(swarm.run.plant) ? 0 : 1;
        }
    }
    print_totals(&totals, seconds_of(CLOCK_MONOTONIC) - begin_s);
    bool fired = !swarm.fired || all_fired(&swarm, &totals);
    if (totals.counts.after < swarm.reads) {
        printf("not %" PRIu64 " reads\n", swarm.reads);
        fired = false;
    }
    return swarm.expect || totals.failures > 0 || !fired;
}
