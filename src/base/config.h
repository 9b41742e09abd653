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
    CONFIG_PEERS_MAX = 64,         /* edges of one server */
    CONFIG_PRUNE_SERVERS_MIN = 16, /* of a herd that prunes without being told to */
    CONFIG_NAME_MAX = 64,          /* bytes of a server's name: letters, digits, '-', '_', '.' */
    CONFIG_FILE_MAX = 1 << 20      /* bytes of herd.conf */
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

/*
 * One field a row of config.def, named <section>_<name> (top-level keys: just <name>): int64_t for
 * INT, bool for BOOL, char * for all others. Strings are never NULL.
 */
struct config_values {
#define CONFIG_FIELD_INT                      int64_t
#define CONFIG_FIELD_BOOL                     bool
#define CONFIG_FIELD_STRING                   char *
#define CONFIG_FIELD_PATH                     char *
#define CONFIG_FIELD_CHOICE                   char *
#define KEY(name, type, ...)                  CONFIG_FIELD_##type name;
#define SECTION_KEY(section, name, type, ...) CONFIG_FIELD_##type section##_##name;
#include "config.def"
#undef CONFIG_FIELD_INT
#undef CONFIG_FIELD_BOOL
#undef CONFIG_FIELD_STRING
#undef CONFIG_FIELD_PATH
#undef CONFIG_FIELD_CHOICE
};

struct config {
    char *path;
    struct config_values values;
    size_t server_count;
    struct config_server *servers;
};

/*
 * Reads `path`, a regular file. 0 with *out (free with config_free); HERD_EINVAL with every mistake
 * appended to `errors`, a line each, in the file's order: `herd.conf:12: server Hill: peer "Jaques"
 * is no server of this file (did you mean "Jaquez"?)`; HERD_ENOMEM. Mistakes in the form of the
 * file (braces, quotes) hide those in values and edges. Relative paths in values are relative to
 * the folder of `path` and come out joined to it.
 */
int config_load(const char *path, struct config **out, struct herd_buf *errors);

/*
 * Appends what a good file says but most likely was not meant to, a line each, like the mistakes:
 * `herd.conf:12: warning: …`. These are servers that no edges lead to, and a provider without its
 * key. 0 or HERD_ENOMEM.
 */
int config_warn(const struct config *config, struct herd_buf *out);

/* NULL is allowed. */
void config_free(struct config *config);

/* The server of that name, or NULL. */
const struct config_server *config_find(const struct config *config, const char *name);

/* Whether the herd prunes: as `prune` says, or its size and edges. */
bool config_wants_pruning(const struct config *config);

/* The herd.conf to use when none was named: ./herd.conf, then /etc/herd/herd.conf; NULL when
 * neither is there. Static. */
const char *config_default_path(void);

/* Appends the tables of docs/configuration.md (Markdown). 0 or HERD_ENOMEM. */
int config_write_markdown(struct herd_buf *out);

#endif
