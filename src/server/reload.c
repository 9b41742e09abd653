/* SIGHUP: what of a new configuration takes effect in a server that runs. */
#include <errno.h>
#include <string.h>

#include <herd/err.h>

#include "server/room.h"

static bool same_address(const struct config_address *a, const struct config_address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static const struct config_server *find_peer(const struct config *config,
                                             const struct config_server *server, const char *name)
{
    for (size_t i = 0; i < server->peer_count; i++) {
        const struct config_server *peer = &config->servers[server->peers[i]];
        if (strcmp(peer->name, name) == 0)
            return peer;
    }
    return NULL;
}

/* Removes the edges that `old` has and `now` has not, or has at another address; then adds the
 * other way round. */
static void change_peers(struct server *server, const struct config *old,
                         const struct config_server *old_self)
{
    const struct config *now = server->config;
    for (size_t i = 0; i < old_self->peer_count; i++) {
        const struct config_server *peer = &old->servers[old_self->peers[i]];
        const struct config_server *kept = find_peer(now, server->self, peer->name);
        if (kept == NULL || !same_address(&kept->listen, &peer->listen)) {
            net_remove_peer(server->net, peer->name);
            LOG(server->log, LOG_INFO, "reload", "neighbour removed", log_text("peer", peer->name));
        }
    }
    for (size_t i = 0; i < server->self->peer_count; i++) {
        const struct config_server *peer = &now->servers[server->self->peers[i]];
        const struct config_server *had = find_peer(old, old_self, peer->name);
        if (had != NULL && same_address(&had->listen, &peer->listen))
            continue;
        int rc = net_add_peer(server->net, peer->name, peer->listen.host, peer->listen.port);
        LOG(server->log, rc < 0 ? LOG_ERROR : LOG_INFO, "reload",
            rc < 0 ? "neighbour not added" : "neighbour added", log_text("peer", peer->name),
            log_text("result", herd_strerror(rc)));
    }
}

/* Also with the same name: whoever rotates logs moves the file away and sends SIGHUP. */
static int reopen_log(struct server *server, const struct config_values *values,
                      struct herd_buf *errors)
{
    struct herd_buf path = {0};
    int rc = server_log_path(values, server->self->name, &path);
    if (rc == 0)
        rc = log_reopen(server->log, path.len > 0 ? path.data : NULL);
    if (rc < 0)
        herd_buf_printf(errors, "log_file %s cannot be opened: %s",
                        path.len > 0 ? path.data : "(stderr)",
                        rc == HERD_EIO ? strerror(errno) : herd_strerror(rc));
    herd_buf_free(&path);
    return rc;
}

/* Also with the same values: the key, or the places, may have changed in their file. */
static int change_places(struct server *server, const struct config_values *values)
{
    struct herd_buf error = {0};
    int rc = places_reload(server->places, values, &error);
    if (rc < 0 && error.len == 0)
        herd_buf_append_text(&error, herd_strerror(rc));
    if (rc < 0)
        LOG(server->log, LOG_ERROR, "reload",
            "the places cannot be changed; the whole old configuration stays",
            log_text("file", server->config_path), log_bytes("reason", error.data, error.len));
    herd_buf_free(&error);
    return rc;
}

/* Compared with what runs, which is what it was started with. */
static void warn_of_restart(const struct server *server)
{
    const struct config_values *now = &server->config->values;
    const struct config *old = server->first;
    const struct config_server *old_self = config_find(old, server->self->name);
    const struct {
        const char *key;
        bool changed;
    } fixed[] = {
        {"listen", !same_address(&old_self->listen, &server->self->listen)},
        {"data_dir", strcmp(old->values.data_dir, now->data_dir) != 0},
        {"durability", strcmp(old->values.durability, now->durability) != 0},
        {"record_ttl_s", old->values.record_ttl_s != now->record_ttl_s},
        {"max_skew_s", old->values.max_skew_s != now->max_skew_s},
    };
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (fixed[i].changed)
            LOG(server->log, LOG_WARNING, "reload", "takes effect at the next start",
                log_text("key", fixed[i].key));
    }
}

static void keep_old(struct server *server, struct config *config, struct herd_buf *errors)
{
    /* One log line a mistake, as --check shows them. */
    struct herd_slice rest = herd_buf_slice(errors);
    while (rest.len > 0) {
        const char *end = memchr(rest.data, '\n', rest.len);
        size_t len = end != NULL ? (size_t)(end - rest.data) : rest.len;
        LOG(server->log, LOG_ERROR, "reload", "mistake in the configuration; the old one stays",
            log_bytes("mistake", rest.data, len));
        rest = herd_slice(rest.data + len, rest.len - len);
        if (rest.len > 0)
            rest = herd_slice(rest.data + 1, rest.len - 1);
    }
    config_free(config);
}

static void adopt(struct server *server, struct config *config)
{
    struct config *old = server->config;
    const struct config_server *old_self = server->self;
    struct herd_node_options options;
    server->config = config;
    server->self = config_find(config, old_self->name);
    enum log_level level = LOG_INFO;
    log_level_parse(config->values.log_level, &level);
    log_set_level(server->log, level);
    change_peers(server, old, old_self);
    server_node_options(server, &options);
    herd_node_configure(server->node, &options);
    const struct net_room room = server_net_room(server);
    net_set_room(server->net, &room);
    warn_of_restart(server);
    if (old != server->first)
        config_free(old);
    LOG(server->log, LOG_INFO, "reload", "done", log_text("file", server->config_path));
}

void server_reload(struct server *server)
{
    struct herd_buf errors = {0};
    struct config *config = NULL;
    notify_systemd("RELOADING=1");
    int rc = config_load(server->config_path, &config, &errors);
    if (rc == HERD_ENOMEM)
        LOG(server->log, LOG_ERROR, "reload", "out of memory; the old configuration stays",
            log_text("file", server->config_path));
    if (rc == 0 && config_find(config, server->self->name) == NULL) {
        herd_buf_printf(&errors, "%s: this server, %s, is no longer in it", server->config_path,
                        server->self->name);
        rc = HERD_EINVAL;
    }
    if (rc == 0)
        rc = reopen_log(server, &config->values, &errors);
    if (rc == 0) {
        rc = change_places(server, &config->values);
        if (rc < 0)
            reopen_log(server, &server->config->values, &errors);
    }
    if (rc < 0)
        keep_old(server, config, &errors);
    else
        adopt(server, config);
    herd_buf_free(&errors);
    notify_systemd("READY=1");
}
