/* words.h: what clients say, in all the forms that a server has to take, and the places of the
 * simulated world. */
#ifndef SIM_WORDS_H
#define SIM_WORDS_H

#include <herd/buf.h>
#include <herd/geo.h>

#include "sim.h"

enum { WORDS_FIELDS_MAX = 8 };

/* The id of the i-th client: of many lengths, some not ASCII. */
void words_id(struct herd_buf *out, uint32_t i);

/* A location; a fat one has some thousand digits. */
void words_location(struct herd_buf *out, struct rng *rng, bool fat);

/* A POSIX time, sometimes with a coarse or a long fraction. */
void words_time(struct herd_buf *out, struct rng *rng, int64_t ns);

/* A line that no server understands, without its LF. */
struct herd_slice words_nonsense(struct rng *rng);
bool words_is_nonsense(struct herd_slice line);

/* The line's fields; their number, at most WORDS_FIELDS_MAX. */
size_t words_split(struct herd_slice line, struct herd_slice fields[WORDS_FIELDS_MAX]);

/* The answer of the world's provider: depends on nothing but what was asked. */
void words_places(struct herd_buf *out, struct herd_location where, double radius_m,
                  unsigned count);

/* Appends, or ends the process. */
void words_append(struct herd_buf *out, struct herd_slice text);
void words_printf(struct herd_buf *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
