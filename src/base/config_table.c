#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <herd/err.h>

#include "base/config_table.h"

const struct config_row config_rows[CONFIG_KEY_COUNT] = {
#define KEY(name, type, default_text, min, max, unit, text)                                        \
    [CONFIG_KEY_##name] = {"",           #name, CONFIG_TYPE_##type,                                \
                           default_text, min,   max,                                               \
                           unit,         text,  offsetof(struct config_values, name)},
#define SECTION_KEY(section, name, type, default_text, min, max, unit, text)                       \
    [CONFIG_KEY_##section##_##                                                                     \
        name] = {#section,     #name, CONFIG_TYPE_##type,                                          \
                 default_text, min,   max,                                                         \
                 unit,         text,  offsetof(struct config_values, section##_##name)},
#define SERVER_KEY(name, type, text)                                                               \
    [CONFIG_KEY_server_##name] = {"server", #name, CONFIG_TYPE_##type, "", 0, 0, "", text, 0},
#include "base/config.def"
};

bool config_section_exists(struct herd_slice section)
{
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++)
        if (section.len > 0 && herd_slice_equal(section, herd_slice_of(config_rows[i].section)))
            return true;
    return false;
}

const struct config_row *config_row_find(struct herd_slice section, struct herd_slice name)
{
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++)
        if (herd_slice_equal(section, herd_slice_of(config_rows[i].section)) &&
            herd_slice_equal(name, herd_slice_of(config_rows[i].name)))
            return &config_rows[i];
    return NULL;
}

bool config_next_choice(const char **rest, struct herd_slice *word)
{
    static const char separator[] = " | ";
    if (**rest == '\0')
        return false;
    const char *end = strstr(*rest, separator);
    *word = end != NULL ? herd_slice(*rest, (size_t)(end - *rest)) : herd_slice_of(*rest);
    *rest = end != NULL ? end + strlen(separator) : *rest + word->len;
    return true;
}

/* A value on its way from the file into its field. */
struct setting {
    const struct config_row *row;
    const char *text;
    void *field;
    int line;
    struct config_mistakes *mistakes;
};

static void report(const struct setting *setting, const char *problem)
{
    const struct config_row *row = setting->row;
    config_mistake(setting->mistakes, setting->line, "%s%s%s: \"%s\" %s", row->section,
                   row->section[0] != '\0' ? "." : "", row->name,
                   config_show(setting->text, strlen(setting->text)).text, problem);
}

static void set_int(const struct setting *setting)
{
    const struct config_row *row = setting->row;
    const char *digits = setting->text + (setting->text[0] == '-');
    char problem[128];
    if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0') {
        report(setting, "is not a whole number");
        return;
    }
    errno = 0;
    int64_t number = strtoll(setting->text, NULL, 10);
    if (errno == ERANGE || number < row->min || number > row->max) {
        snprintf(problem, sizeof problem, "is out of range: %" PRId64 " to %" PRId64 " %s",
                 row->min, row->max, row->unit);
        report(setting, problem);
        return;
    }
    *(int64_t *)setting->field = number;
}

static void set_bool(const struct setting *setting)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"on", true},   {"yes", true},
                 {"false", false}, {"off", false}, {"no", false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(words[i].word, setting->text) == 0) {
            *(bool *)setting->field = words[i].value;
            return;
        }
    }
    report(setting, "is not true or false");
}

static void replace_string(const struct setting *setting)
{
    char *copy = strdup(setting->text);
    if (copy == NULL) {
        setting->mistakes->out_of_memory = true;
        return;
    }
    free(*(char **)setting->field);
    *(char **)setting->field = copy;
}

static void set_string(const struct setting *setting)
{
    const struct config_row *row = setting->row;
    int64_t len = (int64_t)strlen(setting->text);
    char problem[128];
    if (len < row->min || len > row->max) {
        snprintf(problem, sizeof problem,
                 "has %" PRId64 " bytes: %" PRId64 " to %" PRId64 " are allowed", len, row->min,
                 row->max);
        report(setting, problem);
        return;
    }
    replace_string(setting);
}

static void set_choice(const struct setting *setting)
{
    const char *rest = setting->row->unit;
    struct config_nearest nearest = {.name = herd_slice_of(setting->text)};
    struct herd_slice word;
    while (config_next_choice(&rest, &word)) {
        if (herd_slice_equal(word, nearest.name)) {
            replace_string(setting);
            return;
        }
        config_nearest_try(&nearest, word);
    }
    char problem[256];
    snprintf(problem, sizeof problem, "is none of: %s%s", setting->row->unit,
             config_nearest_hint(&nearest).text);
    report(setting, problem);
}

void config_value_set(struct config_values *values, const struct config_row *row, const char *text,
                      int line, struct config_mistakes *mistakes)
{
    static void (*const setters[])(const struct setting *) = {
        [CONFIG_TYPE_INT] = set_int,       [CONFIG_TYPE_BOOL] = set_bool,
        [CONFIG_TYPE_STRING] = set_string, [CONFIG_TYPE_PATH] = set_string,
        [CONFIG_TYPE_CHOICE] = set_choice,
    };
    struct setting setting = {row, text, (char *)values + row->offset, line, mistakes};
    assert(row->type < sizeof setters / sizeof *setters);
    setters[row->type](&setting);
}

static bool is_string(const struct config_row *row)
{
    return row->type == CONFIG_TYPE_STRING || row->type == CONFIG_TYPE_PATH ||
           row->type == CONFIG_TYPE_CHOICE;
}

char **config_string_field(struct config_values *values, const struct config_row *row)
{
    assert(is_string(row));
    return (char **)((char *)values + row->offset);
}

void config_values_free(struct config_values *values)
{
    for (size_t i = 0; i < CONFIG_VALUE_COUNT; i++)
        if (is_string(&config_rows[i]))
            free(*config_string_field(values, &config_rows[i]));
    *values = (struct config_values){0};
}
