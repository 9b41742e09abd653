/*
 * durable_bench FOLDER [ROWS [RATE [SECONDS]]]: what records.db takes, with sync on and off.
 *
 * ROWS records are written as fast as they go, then read. Then RATE records a second come for
 * SECONDS, and a batch is all that has come meanwhile, as in the server: how long do records wait
 * for the disk? Snapshots of HELD records are made whenever durable_wants_snapshot says so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <uv.h>

#include <herd/err.h>

#include "durable/durable.h"

enum { BATCH_ROWS_MAX = 16384, HELD = 200000, WAITS_PER_MS = 4, WAIT_STEPS = 4000 };

struct bench {
    uv_loop_t loop;
    uv_timer_t timer;
    struct durable *durable;
    struct herd_batch batch;
    double rate; /* records a second; 0: as fast as they go */
    uint64_t began_ns, batch_began_ns;
    uint64_t first, sequence, last; /* before the first record, written so far, the last */
    uint64_t snapshot_at, snapshot_last;
    uint64_t batches, snapshots, batch_max_ns, batch_sum_ns, rows, found;
    bool is_snapshotting;
    uint64_t waits[WAIT_STEPS]; /* records by how long they waited, in steps of 1/WAITS_PER_MS */
};

static double seconds_between(uint64_t began_ns, uint64_t ended_ns)
{
    return (double)(ended_ns - began_ns) * 1e-9;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "durable_bench: %s: %s\n", what, why);
    exit(1);
}

static void put_number(char *at, size_t digits, uint64_t number)
{
    while (digits-- > 0) {
        at[digits] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* 120 bytes of text, as of a phone with a UUID. Not printed, which would take as long as to write
 * it to disk. */
static void append_record(struct bench *bench, uint64_t sequence)
{
    static const char form[] = "............ ........-1234-4abc-8def-0123456789ab "
                               "+34.......-118....... 1700000000.......... "
                               "1700000000.123456789 Hill +0.123456789\n";
    char line[sizeof form];
    memcpy(line, form, sizeof form);
    put_number(line, 12, sequence);
    put_number(line + 13, 8, sequence * 7919 % HELD);
    put_number(line + 54, 6, sequence % 1000000);
    put_number(line + 65, 6, sequence % 999983);
    put_number(line + 83, 9, sequence % 999999937);
    if (herd_buf_append(&bench->batch.records, line, sizeof form - 1) < 0)
        die("batch", herd_strerror(HERD_ENOMEM));
    bench->rows++;
}

/* A batch */

static void count_waits(struct bench *bench, uint64_t last)
{
    double now_s = seconds_between(bench->began_ns, uv_hrtime());
    for (uint64_t i = bench->sequence; i < last && bench->rate > 0; i++) {
        double arrived_s = (double)(i - bench->first) / bench->rate;
        double step = (now_s - arrived_s) * 1e3 * WAITS_PER_MS;
        bench->waits[step < WAIT_STEPS - 1 ? (size_t)step : WAIT_STEPS - 1]++;
    }
}

static void write_more(struct bench *bench);

static void on_timer(uv_timer_t *timer)
{
    write_more(timer->data);
}

static void on_written(void *arg, int status)
{
    struct bench *bench = arg;
    if (status < 0)
        die("write", herd_strerror(status));
    uint64_t took_ns = uv_hrtime() - bench->batch_began_ns;
    bench->batches++;
    bench->batch_sum_ns += took_ns;
    if (took_ns > bench->batch_max_ns)
        bench->batch_max_ns = took_ns;
    if (!bench->batch.is_snapshot) {
        count_waits(bench, bench->batch.upto);
        bench->sequence = bench->batch.upto;
    }
    write_more(bench);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void make_snapshot_batch(struct bench *bench)
{
    uint64_t last = least(bench->snapshot_at + BATCH_ROWS_MAX, bench->snapshot_last);
    bench->batch.is_snapshot = true;
    bench->batch.ends = last == bench->snapshot_last;
    bench->is_snapshotting = !bench->batch.ends;
    while (bench->snapshot_at < last)
        append_record(bench, ++bench->snapshot_at);
}

static void make_journal_batch(struct bench *bench, uint64_t last)
{
    bench->batch.begins = !bench->is_snapshotting && durable_wants_snapshot(bench->durable, HELD);
    if (bench->batch.begins) {
        bench->is_snapshotting = true;
        bench->snapshots++;
        bench->snapshot_last = bench->sequence;
        bench->snapshot_at = bench->sequence - least(HELD, bench->sequence - bench->first);
    }
    bench->batch.upto = last;
    for (uint64_t i = bench->sequence; i < last; i++)
        append_record(bench, i + 1);
}

/* The last record that has come. */
static uint64_t last_arrived(const struct bench *bench)
{
    uint64_t last = least(bench->last, bench->sequence + BATCH_ROWS_MAX);
    if (bench->rate == 0)
        return last;
    double passed_s = seconds_between(bench->began_ns, uv_hrtime());
    return least(last, bench->first + (uint64_t)(passed_s * bench->rate));
}

static void write_more(struct bench *bench)
{
    uint64_t last = last_arrived(bench);
    bool was_snapshot = bench->batch.is_snapshot;
    bench->batch.records.len = 0;
    bench->batch.begins = bench->batch.ends = bench->batch.is_snapshot = false;
    if (bench->is_snapshotting && (!was_snapshot || last == bench->sequence)) {
        make_snapshot_batch(bench);
    } else if (last > bench->sequence) {
        make_journal_batch(bench, last);
    } else if (bench->sequence == bench->last) {
        uv_close((uv_handle_t *)&bench->timer, NULL);
        return;
    } else {
        uv_timer_start(&bench->timer, on_timer, 1, 0);
        return;
    }
    bench->batch_began_ns = uv_hrtime();
    durable_write(bench->durable, &bench->batch, on_written, bench);
}

/* A life */

static int on_state(void *arg, uint64_t epoch, uint64_t sequence_free)
{
    (void)epoch;
    ((struct bench *)arg)->first = sequence_free;
    return 0;
}

static int on_record(void *arg, uint64_t sequence, struct herd_slice text)
{
    (void)sequence;
    (void)text;
    ((struct bench *)arg)->found++;
    return 0;
}

static int on_neighbour(void *arg, struct herd_slice name, const struct herd_mark *mark)
{
    (void)arg;
    (void)name;
    (void)mark;
    return 0;
}

/* Gives the seconds that it took. */
static double open_durable(struct bench *bench, const char *folder, bool sync)
{
    const struct durable_options options = {.loop = &bench->loop, .folder = folder, .sync = sync};
    const struct durable_found found = {
        .arg = bench, .state = on_state, .record = on_record, .neighbour = on_neighbour};
    struct herd_buf error = {0};
    uint64_t began_ns = uv_hrtime();
    bench->found = bench->first = 0;
    if (durable_open(&options, &found, &bench->durable, &error) < 0)
        die("open", error.data);
    herd_buf_free(&error);
    return seconds_between(began_ns, uv_hrtime());
}

static void on_closed(void *arg)
{
    ((struct bench *)arg)->durable = NULL;
}

static double close_durable(struct bench *bench)
{
    uint64_t began_ns = uv_hrtime();
    durable_close(bench->durable, on_closed, bench);
    uv_run(&bench->loop, UV_RUN_DEFAULT);
    return seconds_between(began_ns, uv_hrtime());
}

/* Writes `rows` records at a rate (0: as fast as they go). Gives the seconds that batches took. */
static double write_rows(struct bench *bench, uint64_t rows, double rate)
{
    bench->rate = rate;
    bench->sequence = bench->first;
    bench->last = bench->first + rows;
    bench->batches = bench->snapshots = bench->batch_max_ns = bench->batch_sum_ns = 0;
    bench->rows = 0;
    memset(bench->waits, 0, sizeof bench->waits);
    uv_timer_init(&bench->loop, &bench->timer);
    bench->timer.data = bench;
    bench->began_ns = uv_hrtime();
    write_more(bench);
    uv_run(&bench->loop, UV_RUN_DEFAULT);
    return (double)bench->batch_sum_ns * 1e-9;
}

static double wait_ms(const struct bench *bench, double share)
{
    uint64_t all = 0, sum = 0;
    size_t step = 0;
    for (size_t i = 0; i < WAIT_STEPS; i++)
        all += bench->waits[i];
    while (step < WAIT_STEPS && (double)(sum += bench->waits[step]) < share * (double)all)
        step++;
    return (double)(step + 1) / WAITS_PER_MS;
}

static double file_mib(const char *folder)
{
    char path[4096];
    struct stat status;
    snprintf(path, sizeof path, "%s/records.db", folder);
    return stat(path, &status) == 0 ? (double)status.st_size / 1048576 : 0;
}

static void measure(struct bench *bench, const char *parent, bool sync, uint64_t rows, double rate,
                    double seconds)
{
    char folder[2048];
    snprintf(folder, sizeof folder, "%s/%s", parent, sync ? "sync" : "nosync");
    if (mkdir(folder, 0700) != 0)
        die(folder, strerror(errno));
    open_durable(bench, folder, sync);
    double took_s = write_rows(bench, rows, 0);
    printf("sync %s: written %.0f rows/s, %llu with %llu snapshots", sync ? "on" : "off",
           (double)bench->rows / took_s, (unsigned long long)bench->rows,
           (unsigned long long)bench->snapshots);
    printf(", closed in %.3f s, file %.0f MiB", close_durable(bench), file_mib(folder));
    took_s = open_durable(bench, folder, sync);
    printf(", %llu rows read in %.3f s\n", (unsigned long long)bench->found, took_s);
    if (seconds > 0) {
        write_rows(bench, (uint64_t)(rate * seconds), rate);
        printf("    %.0f rows/s (%llu snapshots): a record waits p50 %.1f, p90 %.1f, p99 %.1f, "
               "p99.9 %.1f ms; %llu batches, longest %.1f ms\n",
               rate, (unsigned long long)bench->snapshots, wait_ms(bench, 0.5), wait_ms(bench, 0.9),
               wait_ms(bench, 0.99), wait_ms(bench, 0.999), (unsigned long long)bench->batches,
               (double)bench->batch_max_ns * 1e-6);
    }
    close_durable(bench);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: durable_bench FOLDER [ROWS [RATE [SECONDS]]]\n");
        return 2;
    }
    uint64_t rows = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    double rate = argc > 3 ? strtod(argv[3], NULL) : 100000;
    double seconds = argc > 4 ? strtod(argv[4], NULL) : 10;
    static struct bench bench;
    uv_loop_init(&bench.loop);
    bench.batch.epoch = 1;
    measure(&bench, argv[1], true, rows, rate, seconds);
    measure(&bench, argv[1], false, rows, rate, seconds);
    herd_buf_free(&bench.batch.records);
    return uv_loop_close(&bench.loop) == 0 ? 0 : 1;
}
