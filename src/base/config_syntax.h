/* config_syntax.h: says what is wrong with the form of a herd.conf, and leaves what is good. */
#ifndef BASE_CONFIG_SYNTAX_H
#define BASE_CONFIG_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/config.h"
#include "base/config_mistakes.h"

struct config_syntax {
    bool well_formed; /* the text may be parsed */
    bool complete;    /* no server and no peers are left out */
    size_t server_count;
    int *server_lines; /* where each server of the text begins */
};

/*
 * Reports mistakes in the form of the text, unknown names, and what is given twice. The text has a
 * NUL behind its `len` bytes and nowhere else. Comments, and what has such a name, are overwritten
 * with spaces, so that lines keep their number. What is left of a well-formed text are keys and
 * sections of config.def, each once, and servers with good names. 0 (free with
 * config_syntax_free) or HERD_ENOMEM.
 */
int config_syntax_check(char *text, size_t len, struct config_mistakes *mistakes,
                        struct config_syntax *out);
void config_syntax_free(struct config_syntax *syntax);

#endif
