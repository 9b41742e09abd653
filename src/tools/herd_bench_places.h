/* herd_bench_places.h: what a server that answers from a places file has to answer: what libherd's
 * own code finds there, without a server. */
#ifndef TOOLS_HERD_BENCH_PLACES_H
#define TOOLS_HERD_BENCH_PLACES_H

#include <stdbool.h>
#include <stddef.h>

#include <herd/buf.h>
#include <herd/geo.h>

struct bench_places;

/* Reads all of the places file. 0, or HERD_E… with a sentence on stderr. */
int bench_places_open(const char *path, struct bench_places **out);
void bench_places_close(struct bench_places *places); /* NULL is allowed */

/* Whether `text`, up to its empty line, is the answer with the `count` nearest places around `centre`,
 * byte for byte; if not, that is said on stderr. */
bool bench_places_right(struct bench_places *places, struct herd_location centre, double radius_m,
                        size_t count, struct herd_slice text);

#endif
