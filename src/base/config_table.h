/* config_table.h: the rows of config.def, and how the text of a value becomes a value. */
#ifndef BASE_CONFIG_TABLE_H
#define BASE_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config.h"
#include "base/config_mistakes.h"

/* What they mean stands in config.def. */
enum config_type {
    CONFIG_TYPE_INT,
    CONFIG_TYPE_BOOL,
    CONFIG_TYPE_STRING,
    CONFIG_TYPE_PATH,
    CONFIG_TYPE_CHOICE,
    CONFIG_TYPE_ADDRESS,
    CONFIG_TYPE_LIST
};

/* The rows, in the order of the file: first the KEYs and SECTION_KEYs, which are values. */
enum config_key {
#define KEY(name, ...)                  CONFIG_KEY_##name,
#define SECTION_KEY(section, name, ...) CONFIG_KEY_##section##_##name,
#include "base/config.def"
    CONFIG_VALUE_COUNT,
    CONFIG_KEY_BEFORE_SERVER = CONFIG_VALUE_COUNT - 1,
#define SERVER_KEY(name, ...) CONFIG_KEY_server_##name,
#include "base/config.def"
    CONFIG_KEY_COUNT
};

struct config_row {
    const char *section; /* "": the top */
    const char *name;
    enum config_type type;
    const char *default_text;
    int64_t min, max;
    const char *unit;
    const char *text;
    size_t offset; /* of the field in struct config_values */
};

/* Indexed by enum config_key. */
extern const struct config_row config_rows[CONFIG_KEY_COUNT];

/* Whether rows of that section exist; the section of all servers is "server". */
bool config_section_exists(struct herd_slice section);

/* NULL when there is none. */
const struct config_row *config_row_find(struct herd_slice section, struct herd_slice name);

/* The words of a CHOICE, one a call: begin with *rest = row->unit. False at the end. */
bool config_next_choice(const char **rest, struct herd_slice *word);

/*
 * Sets the row's field to what `text` says, as it stands in that line of the file; or reports why
 * it cannot, and leaves the field. Strings become the values': config_values_free.
 */
void config_value_set(struct config_values *values, const struct config_row *row, const char *text,
                      int line, struct config_mistakes *mistakes);

void config_values_free(struct config_values *values);

/* A string that the row's field points to. */
char **config_string_field(struct config_values *values, const struct config_row *row);

#endif
