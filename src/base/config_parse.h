/* config_parse.h: what libconfuse reads from the text of a herd.conf: values as text, with lines.
 */
#ifndef BASE_CONFIG_PARSE_H
#define BASE_CONFIG_PARSE_H

#include <stddef.h>

#include "base/config_syntax.h"
#include "base/config_table.h"

/* A value as it was given, without its quotes. */
struct config_given {
    int line;
    char text[];
};

struct config_given_server {
    const char *name;
    int line;
    const struct config_given *listen; /* NULL: not given */
    size_t peer_count;
    const struct config_given **peers;
};

struct config_tree {
    const struct config_given *values[CONFIG_VALUE_COUNT]; /* NULL: not given */
    size_t server_count;
    struct config_given_server *servers;
    struct cfg_t *cfg; /* owns the texts */
};

/* Parses a text that config_syntax_check found well formed. 0 (free with config_tree_free),
 * HERD_ENOMEM or, when libconfuse sees it otherwise, HERD_ESYNTAX. */
int config_parse(const char *text, const struct config_syntax *syntax, struct config_tree *out);
void config_tree_free(struct config_tree *tree);

#endif
