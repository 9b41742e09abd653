/*
 * run.h: one seed: a herd starts, lives through faults, is left in peace, and must then be whole.
 *
 *   start -> faults, phones speak -> all is repaired -> even within a bound -> quiet -> a few
 *   updates one by one, counted -> all servers stop
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "world.h"

#define RUN_RANDOM UINT32_MAX
#define RUN_ANY    (-1)

/* What the seed does not decide. */
struct run_options {
    uint32_t servers;       /* RUN_RANDOM: 2..8 */
    enum graph_kind graph;  /* GRAPH_KINDS: any */
    uint32_t plain;         /* RUN_RANDOM: in some runs */
    uint32_t clients;       /* RUN_RANDOM: 1..60, or 1,000, most of them heard of once */
    unsigned fat_percent;   /* RUN_RANDOM: in some runs */
    double seconds;         /* virtual, of faults and updates; 0: 5..15 */
    double updates;         /* a virtual second; 0: 5..60 */
    unsigned faults;        /* those that may be chosen */
    bool all_faults;        /* all of them, not a choice */
    bool prune;             /* as in a large herd */
    int64_t fault_every_ns; /* 0: any */
    int durability;         /* enum herd_durability; RUN_ANY: any */
    uint32_t ttl_s;         /* RUN_RANDOM: in some runs 20..30, else 0: records do not end */
    unsigned roam_percent;  /* RUN_RANDOM: in some runs */
    unsigned batch;         /* records of one for the disk; RUN_RANDOM: in some runs few */
    bool lose_digests;
    bool late; /* servers that die are soon back, and what they said last may come after that */
    bool tidy; /* well-behaved phones, a fast network, no odd settings */
    unsigned checks;
    enum plant_kind plant;
    FILE *trace;
};

struct run_result {
    bool failed;
    enum sim_check check;
    int64_t failed_at_ns;
    char failure[600];
    char herd[128]; /* what the seed chose */
    uint64_t hash;
    int64_t virtual_ns;
    uint32_t edges;
    int64_t reach_ns; /* what one update took to be everywhere, at most */
    int64_t even_ns;  /* from the end of the faults until all stores were equal */
    uint64_t updates, acknowledged, lost;
    size_t store_bytes; /* of the largest store */
    struct world_counts counts;
    struct net_counts net;
};

extern const struct run_options run_defaults;

void run_seed(const struct run_options *options, uint64_t seed, struct run_result *out);

#endif
