/* config.h: herd.conf, read and checked. The table of keys is config.def; every mistake is reported
 * with its line. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <herd/buf.h>

enum {
    CONFIG_SERVERS_MAX = 1024,
    CONFIG_PEERS_MAX = 64,    /* edges of one server */
    CONFIG_NAME_MAX = 64,     /* bytes of a server's name: letters, digits, '-', '_', '.' */
    CONFIG_FILE_MAX = 1 << 20 /* bytes of herd.conf */
};

/* host:port, [v6]:port or name:port, taken apart; host without brackets. */
struct config_address {
    char *host;
    uint16_t port;
};

struct config_server {
    char *name;
    struct config_address listen;
    int line;
    size_t peer_count;
    size_t *peers; /* indices into config.servers */
};

/* One field a row of config.def, named <section>_<name> (top-level keys: just <name>). Strings are
 * never NULL. */
struct config_values {
    char *security, *data_dir, *log_level, *log_file;
    int64_t connections_max, max_skew_s, output_max_kib, pipeline_max;
    char *places_provider, *places_base_url, *places_key_file, *places_data_file, *places_language;
    int64_t places_connect_timeout_ms, places_total_timeout_ms, places_calls_max,
        places_waiting_max;
};

struct config {
    char *path;
    struct config_values values;
    size_t server_count;
    struct config_server *servers;
};

/*
 * Reads `path`. 0 with *out (free with config_free), or HERD_EINVAL with every mistake appended to
 * `errors`, a line each: `herd.conf:12: server Hill: peer "Jaques" is no server of this file (did
 * you mean "Jaquez"?)`. Relative paths in values are relative to the folder of `path` and come out
 * joined to it.
 */
int config_load(const char *path, struct config **out, struct herd_buf *errors);
void config_free(struct config *config);

/* The server of that name, or NULL. */
const struct config_server *config_find(const struct config *config, const char *name);

/* The herd.conf to use when none was named: ./herd.conf, then /etc/herd/herd.conf; NULL when
 * neither is there. Static. */
const char *config_default_path(void);

/* Appends the tables of docs/configuration.md (Markdown). 0 or HERD_ENOMEM. */
int config_write_markdown(struct herd_buf *out);

#endif
