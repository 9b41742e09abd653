#include "places/answer_spares.h"

#include <stdbool.h>
#include <stdlib.h>

#include "places/answer_room.h"

struct answer_spares {
    size_t users; /* answers that will come back, and the owner */
    bool is_closed;
    unsigned count;
    unsigned idle_count; /* the fewest since answer_spares_give_back: none of these was needed */
    size_t freed_bytes;  /* since then, of what was more than is kept */
    struct places_answer *answers[ANSWER_SPARES_MAX];
};

struct answer_spares *answer_spares_new(void)
{
    struct answer_spares *spares = calloc(1, sizeof *spares);
    if (spares != NULL)
        spares->users = 1;
    return spares;
}

static void leave(struct answer_spares *spares)
{
    if (--spares->users == 0)
        free(spares);
}

void answer_spares_close(struct answer_spares *spares)
{
    if (spares == NULL)
        return;
    while (spares->count > 0)
        answer_free(spares->answers[--spares->count]);
    spares->is_closed = true;
    leave(spares);
}

struct places_answer *answer_spares_take(struct answer_spares *spares, enum places_status status)
{
    struct places_answer *answer;
    if (spares != NULL && spares->count > 0) {
        answer = spares->answers[--spares->count];
        if (spares->count < spares->idle_count)
            spares->idle_count = spares->count;
        answer_begin(answer, status);
    } else {
        answer = places_answer_new(status);
    }
    if (spares != NULL && answer->shared == NULL) {
        answer->spares = spares;
        spares->users++;
    }
    return answer;
}

static void free_if_longer(struct herd_buf *buf, size_t max)
{
    if (buf->cap > max)
        herd_buf_free(buf);
}

void answer_spares_keep(struct places_answer *take_answer)
{
    struct answer_spares *spares = take_answer->spares;
    if (spares->is_closed || spares->count == ANSWER_SPARES_MAX) {
        spares->freed_bytes += places_answer_bytes(take_answer);
        answer_free(take_answer);
    } else {
        herd_buf_free(&take_answer->error);
        free_if_longer(&take_answer->attributions, ANSWER_SPARES_ATTRIBUTIONS_BYTES);
        free_if_longer(&take_answer->results, ANSWER_SPARES_RESULTS_BYTES);
        spares->answers[spares->count++] = take_answer;
    }
    leave(spares);
}

size_t answer_spares_give_back(struct answer_spares *spares, size_t *kept_bytes)
{
    size_t bytes = spares->freed_bytes + answer_spares_bytes(spares);
    for (; spares->idle_count > 0; spares->idle_count--)
        answer_free(spares->answers[--spares->count]);
    size_t kept = answer_spares_bytes(spares);
    *kept_bytes += kept;
    spares->idle_count = spares->count;
    spares->freed_bytes = 0;
    return bytes - kept;
}

size_t answer_spares_bytes(const struct answer_spares *spares)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < spares->count; i++)
        bytes += places_answer_bytes(spares->answers[i]);
    return bytes;
}
