/*
 * sim-schedules: small herds, a few updates of one client, and every order in which what is said may
 * arrive: a depth-first search over deliveries. In the end all stores have to be equal, and to hold
 * the newest; and no server says a record to a neighbour twice.
 *
 *   sim-schedules [CASE]       default: all of the table below but the long ones
 *
 * A schedule is run from the beginning each time. Two deliveries at different servers may change
 * places without a difference, so only one of such orders is tried (sleep sets: Godefroid, 1996).
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"

enum { DEPTH_MAX = 64, VALUES = 4 };

struct step {
    uint32_t enabled, asleep, done; /* events, as bits */
    unsigned taken;
};

struct search {
    struct chart_case what;
    struct step steps[DEPTH_MAX];
    size_t depth;
    uint64_t schedules, cut_short, events;
    size_t deepest;
};

static unsigned lowest(uint32_t bits)
{
    return (unsigned)__builtin_ctz(bits);
}

/* Those events that are still to come, and that `taken` has nothing to do with. */
static uint32_t still_asleep(const struct chart *chart, uint32_t asleep, unsigned taken)
{
    uint32_t left = 0;
    for (uint32_t bits = asleep; bits != 0; bits &= bits - 1) {
        unsigned event = lowest(bits);
        if (chart_is_independent(chart, event, taken))
            left |= 1u << event;
    }
    return left;
}

/* Runs the chosen events, then the first that may be, to the end. False: all that is left was tried
 * in another order. */
static bool run(struct search *search, struct chart *chart)
{
    uint32_t asleep = 0;
    for (size_t depth = 0;; depth++) {
        uint32_t enabled = chart_enabled(chart);
        if (enabled == 0)
            return true;
        assert(depth < DEPTH_MAX);
        struct step *step = &search->steps[depth];
        if (depth == search->depth) {
            if ((enabled & ~asleep) == 0)
                return false;
            *step = (struct step){.enabled = enabled, .asleep = asleep};
            step->taken = lowest(enabled & ~asleep);
            search->depth++;
        }
        asleep = still_asleep(chart, step->asleep | step->done, step->taken);
        chart_happen(chart, step->taken);
        search->events++;
        search->deepest = depth + 1 > search->deepest ? depth + 1 : search->deepest;
    }
}

/* The last step that has another choice takes it. False when there is none. */
static bool go_back(struct search *search)
{
    while (search->depth > 0) {
        struct step *step = &search->steps[search->depth - 1];
        step->done |= 1u << step->taken;
        uint32_t left = step->enabled & ~step->asleep & ~step->done;
        if (left != 0) {
            step->taken = lowest(left);
            return true;
        }
        search->depth--;
    }
    return false;
}

static void print_schedule(const struct search *search)
{
    printf("  events:");
    for (size_t i = 0; i < search->depth; i++)
        printf(" %u", search->steps[i].taken);
    putchar('\n');
}

static bool search_all(struct search *search)
{
    search->depth = 0;
    do {
        struct chart *chart = chart_new(&search->what);
        bool whole = run(search, chart);
        const char *wrong = whole ? chart_finish(chart) : NULL;
        search->schedules += whole;
        search->cut_short += !whole;
        chart_free(chart);
        if (wrong != NULL) {
            printf("%s\n", wrong);
            chart_print_case(&search->what);
            print_schedule(search);
            return false;
        }
    } while (go_back(search));
    return true;
}

/* All choices of who takes an update and what it says: its time and place are one of two each. */
static bool search_updates(struct search *search, unsigned update, unsigned servers_max)
{
    struct chart_case *what = &search->what;
    if (update == what->updates)
        return search_all(search);
    for (unsigned server = 0; server < servers_max; server++) {
        for (unsigned value = 0; value < VALUES; value++) {
            what->update[update] =
                (struct chart_update){.server = server, .later = value & 1, .elsewhere = value & 2};
            /* The first one is at the first server: the others are named from there. */
            if (!search_updates(search, update + 1, what->servers))
                return false;
        }
    }
    return true;
}

static const struct {
    const char *name;
    struct chart_case what;
    bool long_one; /* only by its name */
} cases[] = {
    {"pair-2", {.servers = 2, .updates = 2}, false},
    {"pair-3", {.servers = 2, .updates = 3}, false},
    {"pair-2-break", {.servers = 2, .updates = 2, .breaks = 1}, false},
    {"pair-3-break", {.servers = 2, .updates = 3, .breaks = 1}, false},
    {"line-2", {.servers = 3, .updates = 2}, false},
    {"line-3", {.servers = 3, .updates = 3}, false},
    {"line-2-break", {.servers = 3, .updates = 2, .breaks = 1}, false},
    {"triangle-2", {.servers = 3, .updates = 2, .closed = true}, false},
    {"triangle-3", {.servers = 3, .updates = 3, .closed = true}, true},
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

int main(int argc, char **argv)
{
    static struct search search;
    bool found = false;
    for (size_t i = 0; i < CASES; i++) {
        if (argc > 1 ? strcmp(argv[1], cases[i].name) != 0 : cases[i].long_one)
            continue;
        found = true;
        search = (struct search){.what = cases[i].what};
        if (!search_updates(&search, 0, 1))
            return 1;
        printf("%-13s %" PRIu64 " schedules of up to %zu events, 0 disagreements (%" PRIu64
               " more were others in another order)\n",
               cases[i].name, search.schedules, search.deepest, search.cut_short);
    }
    if (!found)
        fputs("usage: sim-schedules [CASE]\n", stderr);
    return found ? 0 : 2;
}
