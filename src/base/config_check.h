/* config_check.h: what must hold between the values and servers of a herd.conf, beyond each row. */
#ifndef BASE_CONFIG_CHECK_H
#define BASE_CONFIG_CHECK_H

#include <stdbool.h>

#include "base/config.h"
#include "base/config_mistakes.h"
#include "base/config_parse.h"

/*
 * Whether `mask` names fields as Google's Places API (New) does, `places.id,places.displayName`, and
 * among them those without which no result is shown. What it should be otherwise, for a message.
 */
bool config_is_field_mask(const char *mask);
extern const char config_field_mask_form[];

/* Checks what the values mean together; they are set already. `tree` gives the lines. */
void config_check_values(const struct config_values *values, const struct config_tree *tree,
                         struct config_mistakes *mistakes);

/*
 * Makes the servers of `config` from the tree: addresses taken apart, peers as indices. Reports
 * what is wrong; peers only if `complete`, that is if no server was left out before.
 */
void config_check_servers(struct config *config, const struct config_tree *tree, bool complete,
                          struct config_mistakes *mistakes);

/*
 * Takes `host:port`, `[v6]:port` or `name:port` apart. NULL, and *out owns its host; or what is
 * wrong (static). *out is all zero then, and when memory ran out.
 */
const char *config_parse_address(const char *text, struct config_address *out);

#endif
