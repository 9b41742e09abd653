/* What a herd.conf may say, but most likely was not meant to. */
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "base/config.h"
#include "base/config_mistakes.h"

enum { NO_PART = -1 };

/* Gives `part` to all that can be reached from `start` over edges; how many these are. `stack` has
 * room for all servers. */
static size_t mark_part(const struct config *config, size_t start, int part, int *parts,
                        size_t *stack)
{
    size_t depth = 0, count = 0;
    parts[start] = part;
    stack[depth++] = start;
    while (depth > 0) {
        const struct config_server *server = &config->servers[stack[--depth]];
        count++;
        for (size_t i = 0; i < server->peer_count; i++) {
            size_t peer = server->peers[i];
            if (parts[peer] != NO_PART)
                continue;
            parts[peer] = part;
            stack[depth++] = peer;
        }
    }
    return count;
}

static void warn_of_part(const struct config *config, size_t start, size_t count,
                         struct config_mistakes *warnings)
{
    const struct config_server *first = &config->servers[0], *server = &config->servers[start];
    struct herd_buf more = {0};
    if (count > 1 && herd_buf_printf(&more, " and %zu more", count - 1) < 0)
        warnings->out_of_memory = true;
    config_mistake(warnings, server->line,
                   "warning: server %s%s cannot be reached from server %s (line %d) over any "
                   "peers: what one is told the other never learns",
                   server->name, more.data != NULL ? more.data : "", first->name, first->line);
    herd_buf_free(&more);
}

static size_t count_peers(const struct config *config)
{
    size_t count = 0;
    for (size_t i = 0; i < config->server_count; i++)
        count += config->servers[i].peer_count;
    return count;
}

/* Updates go along edges alone, so each server should be reachable from each other one. */
static void warn_of_parts(const struct config *config, struct config_mistakes *warnings)
{
    size_t count = config->server_count;
    if (count > 1 && count_peers(config) == 0) {
        config_mistake(warnings, 0,
                       "warning: none of the %zu servers has peers: what one is told the others "
                       "never learn",
                       count);
        return;
    }
    int *parts = calloc(count, sizeof *parts);
    size_t *stack = calloc(count, sizeof *stack);
    if (parts == NULL || stack == NULL) {
        warnings->out_of_memory = true;
        count = 0;
    }
    for (size_t i = 0; i < count; i++)
        parts[i] = NO_PART;
    for (size_t i = 0; i < count; i++) {
        if (parts[i] != NO_PART)
            continue;
        size_t reached = mark_part(config, i, (int)i, parts, stack);
        if (i > 0)
            warn_of_part(config, i, reached, warnings);
    }
    free(parts);
    free(stack);
}

static void warn_of_key(const struct config_values *values, struct config_mistakes *warnings)
{
    if (strncmp(values->places_provider, "google", strlen("google")) == 0 &&
        values->places_key_file[0] == '\0')
        config_mistake(warnings, 0,
                       "warning: places.key_file is empty: a server with provider = \"%s\" then "
                       "starts only where systemd hands it the credential places.key",
                       values->places_provider);
}

int config_warn(const struct config *config, struct herd_buf *out)
{
    struct config_mistakes *warnings = calloc(1, sizeof *warnings);
    if (warnings == NULL)
        return HERD_ENOMEM;
    warn_of_key(&config->values, warnings);
    warn_of_parts(config, warnings);
    int rc = config_mistakes_write(warnings, config->path, out);
    config_mistakes_free(warnings);
    free(warnings);
    return rc;
}
