/*
 * sim-golden: scenarios as traces that are kept as files: run one, and compare.
 *
 *   sim-golden DIR NAME           compares with DIR/NAME.txt
 *   sim-golden DIR NAME --write   writes it
 *   sim-golden                    says which there are
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "phone.h"
#include "plain.h"
#include "server.h"
#include "words.h"
#include "world.h"

enum { HILL, JAQUEZ, SMITH, CAMPBELL, SINGLETON };

/* When the IAMAT of the first trace comes to Hill, it is +0.263873386 s old, as in the seed. */
#define SENT_NS     INT64_C(1520023934918963997)
#define RECEIVED_NS (SENT_NS + INT64_C(263873386))

static const char *const names[] = {"kiwi.cs.ucla.edu", "plum.cs.ucla.edu", "lime.cs.ucla.edu"};

static void until(struct world *world, int64_t ms)
{
    sim_run(&world->sim, ms * SIM_MS);
}

static void say(struct world *world, uint32_t server, const char *line)
{
    phone_say(world->probe, server, herd_slice_of(line));
}

static void cut(struct world *world, uint32_t from, uint32_t to, bool on)
{
    net_cut(&world->net, from, to, on);
    sim_trace(&world->sim, world->hosts[from]->name, "..", world->hosts[to]->name,
              on ? "(cannot reach it)" : "(can reach it again)");
}

static void expect_even(struct world *world)
{
    world_audit(world);
    if (!world_is_even(world))
        world_fail_uneven(world);
    if (!world_is_linked(world))
        sim_fail(&world->sim, SIM_LIVE, "not all links are up and have sent all");
    if (phone_waits(world->probe) > 0)
        sim_fail(&world->sim, SIM_LIVE, "the client waits for an answer");
}

static void expect_floods(struct world *world, uint32_t client, uint32_t floods)
{
    const struct model_record *record = world->model.clients[client].newest_born;
    if (record == NULL || record->floods != floods)
        sim_fail(&world->sim, SIM_COUNT, "%u FLOODs, not %u",
                 record != NULL ? (unsigned)record->floods : 0, (unsigned)floods);
}

static void run_update(struct world *world)
{
    world_start(world);
    until(world, 1000);
    say(world, HILL, "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997");
    until(world, 1300);
    say(world, CAMPBELL, "WHATSAT kiwi.cs.ucla.edu 10 1");
    until(world, 1900);
    expect_even(world);
    expect_floods(world, 0, 8); /* 2E - (V - 1), with 6 edges and 5 servers */
}

static void run_return(struct world *world)
{
    world_start(world);
    until(world, 1000);
    say(world, HILL, "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997");
    until(world, 1500);
    say(world, HILL, "IAMAT plum.cs.ucla.edu +40.689247-074.044502 1520023935.25");
    until(world, 1550);
    server_crash(world->servers[JAQUEZ], true); /* before the MARK */
    until(world, 1700);
    say(world, HILL, "IAMAT kiwi.cs.ucla.edu +34.069000-118.445000 1520023935.5");
    until(world, 1800);
    say(world, SMITH, "IAMAT lime.cs.ucla.edu +51.500729-000.124625 1520023935.75");
    until(world, 2500);
    server_start(world->servers[JAQUEZ]);
    until(world, 3500);
    expect_even(world);
}

static void run_plain(struct world *world)
{
    world_start(world);
    until(world, 1000);
    say(world, SMITH, "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997");
    until(world, 2000);
    say(world, JAQUEZ, "IAMAT plum.cs.ucla.edu +40.689247-074.044502 1520023935.25");
    say(world, JAQUEZ, "IAMAT lime.cs.ucla.edu +51.500729-000.124625 1520023935.75");
    until(world, 4000);
    expect_even(world);
}

/* Jaquez dies while a FLOOD of it cannot reach Hill. When it can, Hill's link is up with Jaquez's
 * next life already. */
static void run_former_life(struct world *world)
{
    world_start(world);
    until(world, 1000);
    say(world, JAQUEZ, "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997");
    until(world, 1035);
    cut(world, JAQUEZ, HILL, true);
    until(world, 1040);
    server_crash(world->servers[JAQUEZ], true);
    until(world, 1100);
    server_start(world->servers[JAQUEZ]);
    until(world, 2300);
    cut(world, JAQUEZ, HILL, false);
    say(world, HILL, "IAMAT plum.cs.ucla.edu +40.689247-074.044502 1520023936.5");
    until(world, 8000);
    expect_even(world);
}

/* Jaquez dies in silence when Hill has said HELLO to it, and comes back before Hill could have
 * taken it for a plain server. */
static void run_no_answer(struct world *world)
{
    server_start(world->servers[HILL]);
    until(world, 1000);
    server_start(world->servers[JAQUEZ]);
    until(world, 1065);
    server_crash(world->servers[JAQUEZ], false);
    until(world, 1100);
    server_start(world->servers[JAQUEZ]);
    until(world, 8000);
    expect_even(world);
}

struct scenario {
    const char *name;
    const char *text;
    enum graph_kind graph;
    uint32_t servers;
    const char *kinds;
    uint64_t seed;
    void (*run)(struct world *world);
};

static const struct scenario scenarios[] = {
    {"update",
     "One update in the herd of herd.conf. Five servers start, dial each other, and say HELLO. A\n"
     "client tells Hill where it is: each server says it on to all neighbours but the one it has\n"
     "it from, which makes 2E - (V - 1) = 8 FLOODs for 6 edges and 5 servers. MARK follows 100 ms\n"
     "later. Then a client asks Campbell, and gets the AT line that Hill made.",
     GRAPH_SEED, 5, "ooooo", 1, run_update},
    {"return",
     "Jaquez, between Hill and Smith, dies before Hill's MARK, and comes back with nothing. Its\n"
     "neighbours try to dial it again, after delays that grow. It dials them when it starts, so\n"
     "that they need not wait. RESUME with another epoch than Hill's own, or with 0, asks for\n"
     "all: each client once, its newest record only.",
     GRAPH_LINE, 3, "ooo", 1, run_return},
    {"plain",
     "Jaquez between two servers of the simple kind, which know FLOOD alone. Hill takes lines\n"
     "until the other side closes. Smith takes one line a connection: what it did not take is\n"
     "sent again, on the next one.",
     GRAPH_LINE, 3, "mo1", 1, run_plain},
    {"former-life",
     "Jaquez dies while its FLOOD is held up by a cut. When it arrives, Hill's link is up with\n"
     "Jaquez's next life, which never said it: Hill says it back.",
     GRAPH_LINE, 2, "oo", 82, run_former_life},
    {"no-answer",
     "Jaquez dies in silence after Hill's HELLO, and comes back at once. It says HELLO itself, so\n"
     "it is no plain server: Hill gives up the connection, and dials again.",
     GRAPH_LINE, 2, "oo", 1, run_no_answer},
};

enum { SCENARIOS = sizeof(scenarios) / sizeof(scenarios[0]) };

static void write_header(FILE *out, const struct scenario *scenario)
{
    const char *at = scenario->text;
    while (*at != '\0') {
        size_t len = strcspn(at, "\n");
        fprintf(out, "# %.*s\n", (int)len, at);
        at += len + (at[len] == '\n');
    }
    fputs("#\n# Seconds, who -> whom, the line as it is sent; `..` is what happens. The network "
          "takes "
          "10 ms\n# one way. Made by sim-golden.\n\n",
          out);
}

/* The trace as text, to be freed; NULL if a check failed. */
static char *run_scenario(const struct scenario *scenario)
{
    struct world world;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    struct world_options options = {
        .seed = scenario->seed,
        .graph = scenario->graph,
        .servers = scenario->servers,
        .kinds = scenario->kinds,
        .names = names,
        .clients = sizeof(names) / sizeof(names[0]),
        .tidy = true,
        .wall_ns = RECEIVED_NS - 1030 * SIM_MS,
        .net = {.delay_min_ns = 10 * SIM_MS, .delay_max_ns = 10 * SIM_MS},
        .output_max = 1 << 20,
        .pipeline_max = 256,
        .trace = out,
    };
    if (out == NULL)
        abort();
    write_header(out, scenario);
    world_init(&world, &options);
    world.sim.decimals = 3;
    world.count_floods = true;
    scenario->run(&world);
    world.sim.trace = NULL;
    bool failed = world.sim.failed;
    if (failed)
        fprintf(stderr, "%s: %s\n", sim_check_name(world.sim.failed_check), world.sim.failure);
    world_close(&world);
    fclose(out);
    if (failed)
        fputs(text, stderr);
    if (!failed)
        return text;
    free(text);
    return NULL;
}

/* The file's text, to be freed; empty when there is none. */
static char *read_file(const char *path)
{
    char *text = NULL;
    size_t len = 0;
    FILE *in = fopen(path, "r");
    if (in == NULL || getdelim(&text, &len, '\0', in) < 0) {
        free(text);
        text = strdup("");
    }
    if (in != NULL)
        fclose(in);
    return text;
}

static int compare(const char *path, const char *want, const char *got)
{
    unsigned line = 1;
    size_t begin = 0;
    size_t at = 0;
    while (want[at] != '\0' && want[at] == got[at]) {
        if (want[at++] == '\n') {
            line++;
            begin = at;
        }
    }
    if (want[at] == got[at])
        return 0;
    fprintf(stderr, "%s:%u: differs; sim-golden --write takes what is\n- %.*s\n+ %.*s\n", path,
            line, (int)strcspn(want + begin, "\n"), want + begin, (int)strcspn(got + begin, "\n"),
            got + begin);
    return 1;
}

static int write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    if (out == NULL || fputs(text, out) < 0 || fclose(out) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    size_t i = 0;
    char path[1024];
    while (argc >= 3 && i < SCENARIOS && strcmp(scenarios[i].name, argv[2]) != 0)
        i++;
    if (argc < 3 || i == SCENARIOS) {
        fputs("usage: sim-golden DIR NAME [--write]\n", stderr);
        for (i = 0; i < SCENARIOS; i++)
            fprintf(stderr, "  %s\n", scenarios[i].name);
        return 2;
    }
    snprintf(path, sizeof(path), "%s/%s.txt", argv[1], scenarios[i].name);
    char *got = run_scenario(&scenarios[i]);
    if (got == NULL)
        return 1;
    int rc;
    if (argc > 3 && strcmp(argv[3], "--write") == 0) {
        rc = write_file(path, got);
    } else {
        char *want = read_file(path);
        rc = compare(path, want, got);
        free(want);
    }
    free(got);
    return rc;
}
