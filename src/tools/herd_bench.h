/* herd_bench.h: what the parts of herd-bench share. */
#ifndef TOOLS_HERD_BENCH_H
#define TOOLS_HERD_BENCH_H

#include <herd/buf.h>
#include <herd/posix_time.h>
#include <herd/record.h>

#include "herd_bench_histogram.h"

enum {
    BENCH_TARGETS_MAX = 64,
    BENCH_PIDS_MAX = 64,
    BENCH_PIPELINE_MAX = 4096,
    BENCH_REQUEST_MAX = 256, /* bytes of the longest request of any speech */
    BENCH_ECHO_MAX = 96,
    BENCH_CLIENT_DIGITS = 8,    /* behind the prefix of an id */
    BENCH_PLACES_MAX = 1 << 19, /* bytes of the longest JSON of a WHATSAT */
    BENCH_NAME_MAX = 64         /* bytes of a server's name */
};

struct bench_target {
    char host[64], port[8];
};

struct bench_options {
    struct bench_target targets[BENCH_TARGETS_MAX];
    unsigned target_count;
    struct bench_target watches[BENCH_TARGETS_MAX]; /* where plain neighbours listen */
    unsigned watch_count;
    int pids[BENCH_PIDS_MAX]; /* whose CPU time is measured */
    unsigned pid_count;
    const char *servers[BENCH_TARGETS_MAX]; /* names, of targets in their order; or none */
    unsigned server_count;
    const char *speech, *crowd, *prefix;
    const char *places; /* the file that the servers answer from, or NULL */
    double connections, pipeline, clients, rate, duration_s, warmup_s, requests, timeout_s;
    double whatsat_share, radius_km, count, seed, cpu, skew_s;
    bool json, sequential, known, help, version;
};

/* What epoll reports on: the first member of who wants to know. */
struct bench_source {
    void (*ready)(struct bench_source *source, uint32_t events);
};

/* A request that was sent and not answered yet; what its answer is checked against. */
struct request {
    int64_t due_ns;  /* monotonic; its latency counts from here */
    int64_t sent_ns; /* POSIX; of an IAMAT its time_sent, of a WHATSAT the oldest time allowed */
    int64_t diff_ns; /* the time_diff that an IAMAT was answered with */
    uint32_t client;
    uint8_t is_question, echo_len;
    char echo[BENCH_ECHO_MAX]; /* what the answer repeats: `<client> <location> <time_sent>` */
};

/* Whom a connection speaks to, and what it has learnt of it. */
struct peer_name {
    uint8_t len; /* 0: not known yet */
    char text[BENCH_NAME_MAX];
};

/* An IAMAT that was answered. */
struct acked {
    int64_t sent_ns; /* POSIX; 0: none was */
    int64_t diff_ns;
};

/* What requests are made from and answers are checked against. */
struct maker {
    const struct bench_options *options;
    uint64_t random;
    uint64_t made;                        /* requests so far */
    uint64_t made_for[BENCH_TARGETS_MAX]; /* of them, for each target */
    int64_t last_ns; /* the last time_sent: each is later than the one before */
    int64_t over_ns; /* POSIX; the clock has shown it, so all until then is over */
    /* Per client, which belongs to one target, the newest IAMAT that was answered: a WHATSAT must
     * show it or a later one. NULL: nothing is asked. */
    struct acked *acked;
    struct bench_places *places; /* what the servers answer from; NULL: not known */
};

enum { SPEECH_MORE = 0, SPEECH_WRONG = -1 };

/* A protocol that servers are compared in. */
struct speech {
    const char *name, *text;
    /* Writes the request for `request->client` to `out` (BENCH_REQUEST_MAX bytes) and what its
     * answer repeats to `request`. Returns the bytes. */
    size_t (*say)(struct maker *maker, struct request *request, char *out);
    /* Looks at the start of what came. The bytes of the answer; SPEECH_MORE when it is not whole;
     * SPEECH_WRONG when it is not the answer to `request`, where its time_diff is noted. */
    long (*check)(struct maker *maker, struct request *request, struct peer_name *name,
                  const char *data, size_t len);
};

/* The speech of that name, or NULL. */
const struct speech *speech_find(const char *name);
/* The i-th, NULL after the last. */
const struct speech *speech_at(unsigned i);

/* Whom the next request is about: one of those that belong to `target`, which are every
 * target_count-th. */
uint32_t maker_next_client(struct maker *maker, unsigned target);

/* Whether a record of `client` is one that herd-bench has sent, byte for byte: the id, and the place
 * that the client was at at that time. */
bool speech_said(const struct bench_options *options, uint32_t client,
                 const struct herd_record *record);

/* Whether that record can have been received when it says so: after it was sent and before now, with
 * the difference of both as its time_diff, which is noted; each in the one way there is to write it. */
bool speech_received(struct maker *maker, const struct herd_record *record, int64_t *out_diff_ns);

/* What a run has shown. */
struct bench_result {
    uint64_t answered, wrong;
    int64_t elapsed_ns; /* of the measured part */
    int64_t server_cpu_ns, own_cpu_ns;
    uint64_t measured; /* answers in the measured part */
    uint64_t late;     /* open loop: requests that were due and had not been sent at the end */
    uint64_t unsent;   /* of them, those not sent afterwards either: latency has their age */
    int64_t pid_cpu_ns[BENCH_PIDS_MAX];
    int64_t pid_rss_kib[BENCH_PIDS_MAX];
    struct histogram latency, question_latency;
    struct histogram watched[BENCH_TARGETS_MAX], everywhere; /* until seen there, from when due */
};

int64_t bench_mono_ns(void);
int64_t bench_wall_ns(void);

/* Runs the load. 0, or a negative HERD_E… with what went wrong on stderr; wrong answers are counted
 * and told, and end the run. */
int bench_load(const struct bench_options *options, struct bench_result *out);

/* Holds connections that are a nuisance until SIGTERM or for the duration. 0 or HERD_E… */
int bench_crowd(const struct bench_options *options);
/* The kinds of crowds, for help; NULL after the last. */
const char *bench_crowd_kind(unsigned i, const char **out_text);

/* Connects to a target, waits for it, and sets the socket non-blocking. The descriptor, or
 * HERD_EIO with a sentence on stderr. */
int bench_connect(const struct bench_target *target);

/* On stdout. 0, or HERD_ENOMEM with a sentence on stderr. */
int bench_print(const struct bench_options *options, const struct bench_result *result);

#endif
