#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <confuse.h>

#include <herd/err.h>

#include "base/config_parse.h"

/* libconfuse's options of one section, with room for its end mark. */
struct options {
    const char *section;
    cfg_opt_t list[CONFIG_KEY_COUNT + 1];
    size_t count;
};

/*
 * libconfuse knows the line only while it reads. So it hands out each value as text with its line,
 * whatever the type, and all mistakes in values can be told at once and in our words. NULL stands
 * for a value that there was no memory for.
 */
static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
    (void)opt;
    size_t size = strlen(text) + 1;
    struct config_given *given = malloc(sizeof *given + size);
    if (given != NULL) {
        given->line = cfg->line;
        memcpy(given->text, text, size);
    }
    *(struct config_given **)result = given;
    return 0;
}

/* What there is to say was said by config_syntax_check. */
static void on_error(cfg_t *cfg, const char *format, va_list args)
{
    (void)cfg;
    (void)format;
    (void)args;
}

static void add(struct options *options, cfg_opt_t option)
{
    assert(options->count < CONFIG_KEY_COUNT);
    options->list[options->count++] = option;
}

/* The options of that section among the first `count`, or, when it is new, behind them. */
static struct options *options_of(struct options *sections, size_t *count, const char *section)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(sections[i].section, section) == 0)
            return &sections[i];
    sections[*count] = (struct options){.section = section};
    return &sections[(*count)++];
}

/* The options that the rows of config.def make; libconfuse copies them. */
static cfg_t *init_options(void)
{
    enum { SECTIONS_MAX = 8 };
    struct options *sections = calloc(SECTIONS_MAX, sizeof *sections);
    if (sections == NULL)
        return NULL;
    size_t count = 0;
    struct options *top = options_of(sections, &count, "");
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        cfg_flag_t flags = CFGF_NODEFAULT | (row->type == CONFIG_TYPE_LIST ? CFGF_LIST : CFGF_NONE);
        cfg_opt_t option = CFG_PTR_CB(row->name, NULL, flags, on_value, free);
        add(options_of(sections, &count, row->section), option);
        assert(count < SECTIONS_MAX);
    }
    for (size_t i = 1; i < count; i++) {
        bool many = strcmp(sections[i].section, "server") == 0;
        cfg_opt_t option = CFG_SEC(sections[i].section, sections[i].list,
                                   many ? CFGF_MULTI | CFGF_TITLE : CFGF_NONE);
        add(top, option);
    }
    cfg_t *cfg = cfg_init(top->list, CFGF_NONE);
    free(sections);
    return cfg;
}

/* The value of that index, or NULL when fewer were given. */
static int take_value(cfg_t *section, const char *name, size_t index,
                      const struct config_given **out)
{
    *out = NULL;
    if (index >= cfg_size(section, name))
        return 0;
    *out = cfg_getnptr(section, name, (unsigned)index);
    return *out != NULL ? 0 : HERD_ENOMEM;
}

static int take_server(cfg_t *section, int line, struct config_given_server *out)
{
    *out = (struct config_given_server){.name = cfg_title(section), .line = line};
    size_t peer_count = cfg_size(section, "peers");
    out->peers = calloc(peer_count + 1, sizeof(struct config_given *));
    if (out->peers == NULL)
        return HERD_ENOMEM;
    int rc = take_value(section, "listen", 0, &out->listen);
    for (; out->peer_count < peer_count && rc == 0; out->peer_count++)
        rc = take_value(section, "peers", out->peer_count, &out->peers[out->peer_count]);
    return rc;
}

static int take_all(cfg_t *cfg, const struct config_syntax *syntax, struct config_tree *out)
{
    int rc = 0;
    for (size_t i = 0; i < CONFIG_VALUE_COUNT && rc == 0; i++) {
        const struct config_row *row = &config_rows[i];
        cfg_t *section = row->section[0] != '\0' ? cfg_getsec(cfg, row->section) : cfg;
        rc = take_value(section, row->name, 0, &out->values[i]);
    }
    if (rc == 0 && cfg_size(cfg, "server") != syntax->server_count)
        rc = HERD_ESYNTAX;
    if (rc < 0)
        return rc;
    out->servers = calloc(syntax->server_count + 1, sizeof *out->servers);
    if (out->servers == NULL)
        return HERD_ENOMEM;
    for (; out->server_count < syntax->server_count && rc == 0; out->server_count++)
        rc = take_server(cfg_getnsec(cfg, "server", (unsigned)out->server_count),
                         syntax->server_lines[out->server_count], &out->servers[out->server_count]);
    return rc;
}

int config_parse(const char *text, const struct config_syntax *syntax, struct config_tree *out)
{
    *out = (struct config_tree){.cfg = init_options()};
    if (out->cfg == NULL)
        return HERD_ENOMEM;
    cfg_set_error_function(out->cfg, on_error);
    int rc = HERD_ESYNTAX;
    if (cfg_parse_buf(out->cfg, text) == CFG_SUCCESS)
        rc = take_all(out->cfg, syntax, out);
    if (rc < 0)
        config_tree_free(out);
    return rc;
}

void config_tree_free(struct config_tree *tree)
{
    for (size_t i = 0; i < tree->server_count; i++)
        free(tree->servers[i].peers);
    free(tree->servers);
    if (tree->cfg != NULL)
        cfg_free(tree->cfg);
    *tree = (struct config_tree){0};
}
