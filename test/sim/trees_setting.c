/* The command line of sim-trees. */
#include "trees_setting.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: sim-trees [options]\n"
    "  --servers N      of the herd (100)\n"
    "  --chords         a ring with a chord from each server; else a ring and random edges\n"
    "  --seed N         (1)\n"
    "  --origins N      servers that clients speak to (10)\n"
    "  --updates N      of each of them after the first (5)\n"
    "  --every S        seconds between two of them (2 for each origin, at least)\n"
    "  --busy N         updates that are on their way together (1000)\n"
    "  --near MS        the shortest distance of two neighbours (1)\n"
    "  --far MS         the longest (20)\n"
    "  --jitter MS      what chance adds to it, at most (0.2)\n"
    "  --crash PERCENT  of the servers (20)\n"
    "  --dark           they die in silence, and nobody is told\n"
    "  --after MS       from the crash to the next update (1000)\n"
    "  --back N         those that crashed are there again, then so many updates of each origin "
    "(0: not)\n"
    "  --json           one object instead of text\n"
    "  --plant BUG      plants a bug\n"
    "  --expect         succeeds when just those aims are missed that have to show the bug\n"
    "Exits 0 when all aims are reached.\n";

static const struct option options[] = {
    {"servers", required_argument, NULL, 's'},
    {"chords", no_argument, NULL, 'c'},
    {"seed", required_argument, NULL, 'r'},
    {"origins", required_argument, NULL, 'o'},
    {"updates", required_argument, NULL, 'u'},
    {"every", required_argument, NULL, 'E'},
    {"back", required_argument, NULL, 'B'},
    {"busy", required_argument, NULL, 'b'},
    {"near", required_argument, NULL, 'n'},
    {"far", required_argument, NULL, 'f'},
    {"jitter", required_argument, NULL, 'j'},
    {"crash", required_argument, NULL, 'x'},
    {"dark", no_argument, NULL, 'd'},
    {"after", required_argument, NULL, 'a'},
    {"expect", no_argument, NULL, 'e'},
    {"plant", required_argument, NULL, 'p'},
    {"json", no_argument, NULL, 'J'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void fail_usage(void)
{
    fputs(usage, stderr);
    exit(2);
}

static double number(double min, double max)
{
    char *end;
    double value = strtod(optarg, &end);
    if (*optarg == '\0' || *end != '\0' || !(value >= min && value <= max))
        fail_usage();
    return value;
}

static void parse_number(struct setting *setting, int id)
{
    switch (id) {
    case 's':
        setting->servers = (uint32_t)number(5, 5000);
        break;
    case 'r':
        setting->seed = (uint64_t)number(0, 1e15);
        break;
    case 'o':
        setting->origins = (uint32_t)number(1, 1000);
        break;
    case 'u':
        setting->updates = (uint32_t)number(1, 1000);
        break;
    case 'b':
        setting->busy = (uint32_t)number(0, 1e6);
        break;
    case 'E':
        setting->every_s = number(0, 3600);
        break;
    case 'B':
        setting->back = (uint32_t)number(0, 1000);
        break;
    case 'n':
        setting->near_ms = number(0, 1000);
        break;
    case 'f':
        setting->far_ms = number(0, 1000);
        break;
    case 'j':
        setting->jitter_ms = number(0, 1000);
        break;
    case 'x':
        setting->crash_percent = (uint32_t)number(0, 50);
        break;
    case 'a':
        setting->after_ms = number(0, 1e6);
        break;
    default:
        fail_usage();
    }
}

void setting_parse(struct setting *setting, int argc, char **argv)
{
    int id;
    *setting = (struct setting){.servers = 100,
                                .origins = 10,
                                .updates = 5,
                                .busy = 1000,
                                .seed = 1,
                                .near_ms = 1,
                                .far_ms = 20,
                                .jitter_ms = 0.2,
                                .crash_percent = 20,
                                .after_ms = 1000};
    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == 'h') {
            fputs(usage, stdout);
            exit(0);
        }
        if (id == 'c')
            setting->chords = true;
        else if (id == 'd')
            setting->dark = true;
        else if (id == 'e')
            setting->expect = true;
        else if (id == 'J')
            setting->json = true;
        else if (id == 'p' && (setting->plant = plant_of(optarg)) < PLANT_KINDS)
            continue;
        else
            parse_number(setting, id);
    }
    if (optind < argc || setting->near_ms > setting->far_ms)
        fail_usage();
}
