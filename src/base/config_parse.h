/* config_parse.h: what the text of a herd.conf gives: values as text, with their lines. */
#ifndef BASE_CONFIG_PARSE_H
#define BASE_CONFIG_PARSE_H

#include <stddef.h>

#include "base/config_syntax.h"
#include "base/config_table.h"

/* A value as it was given, without its quotes and escapes. */
struct config_given {
    struct config_given *next; /* the one that was given before it, of whatever key */
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
    struct config_given *all; /* owns the texts */
};

/* Takes the values out of a text that config_syntax_check has gone over and found well formed. 0
 * (free with config_tree_free) or HERD_ENOMEM. */
int config_parse(char *text, size_t len, const struct config_syntax *syntax,
                 struct config_tree *out);
void config_tree_free(struct config_tree *tree);

#endif
