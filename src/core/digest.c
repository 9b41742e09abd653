#include <assert.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <herd/err.h>

#include "core/digest.h"

int digest_init(struct digest *digest)
{
    *digest = (struct digest){0};
    digest->sums = calloc(DIGEST_LEAVES, sizeof(*digest->sums));
    digest->heads = calloc(DIGEST_LEAVES, sizeof(*digest->heads));
    digest->notes = calloc(1, sizeof(*digest->notes));
    return digest->sums != NULL && digest->heads != NULL && digest->notes != NULL ? 0 : HERD_ENOMEM;
}

void digest_close(struct digest *digest)
{
    free(digest->sums);
    free(digest->heads);
    free(digest->notes);
    *digest = (struct digest){0};
}

uint64_t digest_client_hash(struct herd_slice client)
{
    return XXH3_64bits(client.data, client.len);
}

void digest_children(const struct digest *digest, struct digest_prefix prefix,
                     uint64_t out[DIGEST_FANOUT])
{
    assert(prefix.len < DIGEST_DEPTH);
    size_t width = (size_t)1 << (4 * (DIGEST_DEPTH - prefix.len - 1)); /* leaves of a child */
    const uint64_t *sum = digest->sums + prefix.digits * width * DIGEST_FANOUT;
    for (unsigned child = 0; child < DIGEST_FANOUT; child++) {
        out[child] = 0;
        for (size_t i = 0; i < width; i++)
            out[child] += *sum++;
    }
}
