/*
 * The way of a herd.conf: read_file -> config_syntax_check (its form, names, what is given twice)
 * -> config_parse (values as text with their lines) -> config_value_set, a row of
 * config.def each -> config_check_… (what must hold between them). Each reports what it finds and
 * leaves it out, so that the next can go on.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <herd/err.h>

#include "base/config.h"
#include "base/config_check.h"
#include "base/config_mistakes.h"
#include "base/config_parse.h"
#include "base/config_syntax.h"
#include "base/config_table.h"

/* Appends the file, but not much more than CONFIG_FILE_MAX. */
static void read_all(int fd, struct herd_buf *out, struct config_mistakes *mistakes)
{
    enum { PART_BYTES = 16384 };
    ssize_t len;
    do {
        if (herd_buf_reserve(out, PART_BYTES) < 0) {
            mistakes->out_of_memory = true;
            return;
        }
        len = read(fd, out->data + out->len, PART_BYTES);
        out->len += len > 0 ? (size_t)len : 0;
    } while ((len > 0 && out->len <= CONFIG_FILE_MAX) || (len < 0 && errno == EINTR));
    if (len < 0)
        config_mistake(mistakes, 0, "cannot be read: %s", strerror(errno));
}

/* What is wrong with the bytes themselves. */
static void check_bytes(const struct herd_buf *text, struct config_mistakes *mistakes)
{
    const char *nul = text->len > 0 ? memchr(text->data, '\0', text->len) : NULL;
    int line = 1;
    for (const char *at = text->data; nul != NULL && at < nul; at++)
        line += *at == '\n';
    if (text->len > CONFIG_FILE_MAX)
        config_mistake(mistakes, 0, "too large: %d bytes are allowed", CONFIG_FILE_MAX);
    else if (nul != NULL)
        config_mistake(mistakes, line, "NUL byte: this is not a text file");
}

/*
 * Reads a regular file alone: SIGHUP reads it again, which a pipe does not allow.
 */
static void read_file(const char *path, struct herd_buf *out, struct config_mistakes *mistakes)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) < 0)
        config_mistake(mistakes, 0, "cannot be opened: %s", strerror(errno));
    else if (!S_ISREG(status.st_mode))
        config_mistake(mistakes, 0, "is %s, not a file",
                       S_ISDIR(status.st_mode) ? "a folder" : "a device, pipe or socket");
    else
        read_all(fd, out, mistakes);
    if (fd >= 0)
        close(fd);
}

static void set_values(struct config_values *values, const struct config_tree *tree,
                       struct config_mistakes *mistakes)
{
    for (size_t i = 0; i < CONFIG_VALUE_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        const struct config_given *given = tree->values[i];
        config_value_set(values, row, row->default_text, 0, mistakes);
        if (given != NULL)
            config_value_set(values, row, given->text, given->line, mistakes);
    }
}

/* Joins relative paths to the folder of the file at `path`. */
static void join_paths(struct config_values *values, const char *path,
                       struct config_mistakes *mistakes)
{
    const char *slash = strrchr(path, '/');
    size_t folder_len = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    for (size_t i = 0; i < CONFIG_VALUE_COUNT; i++) {
        if (config_rows[i].type != CONFIG_TYPE_PATH)
            continue;
        char **field = config_string_field(values, &config_rows[i]);
        if ((*field)[0] == '/' || (*field)[0] == '\0' || folder_len == 0)
            continue;
        char *joined = NULL;
        if (asprintf(&joined, "%.*s%s", (int)folder_len, path, *field) < 0) {
            mistakes->out_of_memory = true;
            return;
        }
        free(*field);
        *field = joined;
    }
}

static void check_all(struct config *config, const struct config_syntax *syntax,
                      const struct config_tree *tree, struct config_mistakes *mistakes)
{
    set_values(&config->values, tree, mistakes);
    if (mistakes->out_of_memory)
        return;
    config_check_values(&config->values, tree, mistakes);
    join_paths(&config->values, config->path, mistakes);
    config_check_servers(config, tree, syntax->complete, mistakes);
}

static int load(struct config *config, struct herd_buf *text, struct config_mistakes *mistakes)
{
    struct config_syntax syntax;
    struct config_tree tree;
    read_file(config->path, text, mistakes);
    check_bytes(text, mistakes);
    if (mistakes->out_of_memory || herd_buf_append(text, "", 1) < 0)
        return HERD_ENOMEM;
    if (mistakes->count > 0)
        return HERD_EINVAL;
    int rc = config_syntax_check(text->data, text->len - 1, mistakes, &syntax);
    if (rc == 0 && syntax.well_formed) {
        rc = config_parse(text->data, text->len - 1, &syntax, &tree);
        if (rc == 0) {
            check_all(config, &syntax, &tree, mistakes);
            config_tree_free(&tree);
        }
    }
    config_syntax_free(&syntax);
    if (rc == HERD_ENOMEM || mistakes->out_of_memory)
        return HERD_ENOMEM;
    return mistakes->count > 0 ? HERD_EINVAL : 0;
}

int config_load(const char *path, struct config **out, struct herd_buf *errors)
{
    struct config *config = calloc(1, sizeof *config);
    struct config_mistakes *mistakes = calloc(1, sizeof *mistakes);
    struct herd_buf text = {0};
    int rc = HERD_ENOMEM;
    if (config != NULL && mistakes != NULL && (config->path = strdup(path)) != NULL)
        rc = load(config, &text, mistakes);
    if (rc == HERD_EINVAL) {
        int write_rc = config_mistakes_write(mistakes, path, errors);
        rc = write_rc < 0 ? write_rc : rc;
    }
    if (rc == 0) {
        *out = config;
        config = NULL;
    }
    config_free(config);
    if (mistakes != NULL)
        config_mistakes_free(mistakes);
    free(mistakes);
    herd_buf_free(&text);
    return rc;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->server_count; i++) {
        free(config->servers[i].name);
        free(config->servers[i].listen.host);
        free(config->servers[i].peers);
    }
    free(config->servers);
    config_values_free(&config->values);
    free(config->path);
    free(config);
}

const struct config_server *config_find(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->server_count; i++)
        if (strcmp(config->servers[i].name, name) == 0)
            return &config->servers[i];
    return NULL;
}

/* A flood takes 2E - (V - 1) lines, a tree V - 1: small herds and sparse ones have little to gain. */
bool config_wants_pruning(const struct config *config)
{
    const char *prune = config->values.prune;
    size_t links = 0;
    if (strcmp(prune, "auto") != 0)
        return strcmp(prune, "on") == 0;
    for (size_t i = 0; i < config->server_count; i++)
        links += config->servers[i].peer_count;
    size_t tree = config->server_count - 1;
    return config->server_count >= CONFIG_PRUNE_SERVERS_MIN && 4 * (links - tree) >= 5 * tree;
}

const char *config_default_path(void)
{
    static const char *const paths[] = {"./herd.conf", "/etc/herd/herd.conf"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (access(paths[i], F_OK) == 0)
            return paths[i];
    return NULL;
}
