/*
 * herd_bench_watch.h: plain neighbours of the servers, which see when an update is there.
 *
 * Each listens at an address that herd.conf gives as the neighbour of one server. That server dials
 * it, is answered `? HELLO …` as servers of the plain kind do, and sends it each update in the same
 * turn of its loop in which it learns of it: what arrives here, the server can answer with. It has to
 * be what one of our clients has sent, byte for byte: id, location and time; and what that client is
 * answered: the server that received it, and when.
 */
#ifndef TOOLS_HERD_BENCH_WATCH_H
#define TOOLS_HERD_BENCH_WATCH_H

#include "herd_bench.h"

struct watch;

/* Listens at maker->options->watches, adds itself to `poller` (event data: struct bench_source) and
 * waits until each has been dialled. 0 with *out, NULL where there are none; HERD_E… with a sentence on
 * stderr. */
int watch_open(struct maker *maker, int poller, struct watch **out);

/* An update goes out. 0, or HERD_EBUSY: the one before of this client is not everywhere yet, so it
 * cannot be told apart any more. */
int watch_update(struct watch *watch, const struct request *request, bool measured);

/* An update was answered by the server of that name, with request->diff_ns. Whether that is what
 * neighbours were told of it, or will have to be. */
bool watch_answered(struct watch *watch, const struct request *request,
                    const struct peer_name *name);

/* Updates that are not everywhere yet. */
uint64_t watch_missing(const struct watch *watch);

/* Lines about our clients that are not what these have sent and were answered; the first one is on
 * stderr. */
uint64_t watch_wrong(const struct watch *watch);

/* Adds what was seen. */
void watch_result(const struct watch *watch, struct bench_result *out);

void watch_close(struct watch *watch);

#endif
