/*
 * answer_spares.h: answers that nobody needs any more, kept for the next ones of who made them, with
 * the memory of their texts: an answer that is sent at once takes none. For the loop's thread.
 *
 * An answer may outlive who made it: a client has yet to read it, and the provider is closed. Then
 * it is freed as any other.
 */
#ifndef PLACES_ANSWER_SPARES_H
#define PLACES_ANSWER_SPARES_H

#include "places/provider.h"

/* What is sent at once is one at a time; more come back from clients that read slowly. */
enum {
    ANSWER_SPARES_MAX = 8,
    ANSWER_SPARES_RESULTS_BYTES = 64 << 10, /* of one; 20 results have some 20 KiB */
    ANSWER_SPARES_ATTRIBUTIONS_BYTES = 4 << 10
};

struct answer_spares;

/* NULL: no memory. */
struct answer_spares *answer_spares_new(void);

/* None is kept any more. NULL is allowed. */
void answer_spares_close(struct answer_spares *spares);

/* As places_answer_new; of those that are kept, if there is one. `spares` NULL: a new one. */
struct places_answer *answer_spares_take(struct answer_spares *spares, enum places_status status);

/* Keeps one that was taken and that nobody has a reference to, or frees it if there are enough. */
void answer_spares_keep(struct places_answer *take_answer);

/* Frees those that nobody has needed since the last call. How many bytes were freed since then,
 * roughly; to *kept_bytes is added what those have that are left. */
size_t answer_spares_give_back(struct answer_spares *spares, size_t *kept_bytes);

/* Of all that are kept, roughly. */
size_t answer_spares_bytes(const struct answer_spares *spares);

#endif
