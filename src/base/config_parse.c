/*
 * The form of the text was checked: what is left of it are keys and sections of config.def, so
 * nothing is looked for here but values. A word is followed by
 *
 *   =        one value, or a list of them in braces: of the section that is open
 *   {        a section opens
 *   a title  the same, behind the title: a server
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "base/config_parse.h"
#include "base/config_scan.h"

struct reader {
    struct config_scan scan;
    struct config_tree *out;
    const struct config_syntax *syntax;
    struct herd_slice section;          /* empty: the top */
    struct config_given_server *server; /* NULL: the section is another one */
};

/* What docs/configuration.md has as escapes; in '…' other backslashes stand for themselves. */
static bool escapes(char quote, char next)
{
    return next == '\\' || next == quote || (quote == '"' && next == '$');
}

/* Copies the text between quotes without its escapes, or a word (quote: NUL) as it is; adds a NUL.
 * `out` has room for len + 1 bytes. */
static void copy_text(struct herd_slice text, char quote, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (quote != '\0' && text.data[i] == '\\' && i + 1 < text.len &&
            escapes(quote, text.data[i + 1]))
            i++;
        out[len++] = text.data[i];
    }
    out[len] = '\0';
}

/* NULL: no memory. */
static const struct config_given *take_text(struct reader *reader, const struct config_token *token)
{
    struct herd_slice text = config_token_text(&reader->scan, token);
    struct config_given *given = malloc(sizeof *given + text.len + 1);
    if (given == NULL)
        return NULL;
    bool is_string = token->kind == CONFIG_TOKEN_STRING;
    copy_text(text, is_string ? reader->scan.text[token->begin] : '\0', given->text);
    given->line = token->line;
    given->next = reader->out->all;
    reader->out->all = given;
    return given;
}

static int take_value(struct reader *reader, const struct config_row *row,
                      const struct config_token *token)
{
    const struct config_given *given = take_text(reader, token);
    if (given == NULL)
        return HERD_ENOMEM;
    size_t key = (size_t)(row - config_rows);
    if (key < CONFIG_VALUE_COUNT)
        reader->out->values[key] = given;
    else
        reader->server->listen = given;
    return 0;
}

static int take_peer(struct reader *reader, const struct config_token *token)
{
    struct config_given_server *server = reader->server;
    /* Doubled at each power of two. */
    if ((server->peer_count & (server->peer_count - 1)) == 0) {
        size_t room = server->peer_count > 0 ? 2 * server->peer_count : 1;
        const struct config_given **peers = realloc(server->peers, room * sizeof(*peers));
        if (peers == NULL)
            return HERD_ENOMEM;
        server->peers = peers;
    }
    const struct config_given *given = take_text(reader, token);
    if (given == NULL)
        return HERD_ENOMEM;
    server->peers[server->peer_count++] = given;
    return 0;
}

/* What is behind the "=". */
static int take_key(struct reader *reader, const struct config_token *name)
{
    const struct config_row *row =
        config_row_find(reader->section, config_token_text(&reader->scan, name));
    struct config_token token = config_scan_next(&reader->scan);
    assert(row != NULL);
    if (row->type != CONFIG_TYPE_LIST)
        return take_value(reader, row, &token);
    if (token.kind != CONFIG_TOKEN_OPEN)
        return take_peer(reader, &token);
    int rc = 0;
    while (rc == 0 && (token = config_scan_next(&reader->scan)).kind != CONFIG_TOKEN_CLOSE)
        if (token.kind != CONFIG_TOKEN_COMMA)
            rc = take_peer(reader, &token);
    return rc;
}

static int open_server(struct reader *reader, const struct config_token *title)
{
    struct config_tree *out = reader->out;
    const struct config_given *name = take_text(reader, title);
    if (name == NULL)
        return HERD_ENOMEM;
    assert(out->server_count < reader->syntax->server_count);
    reader->server = &out->servers[out->server_count];
    reader->server->name = name->text;
    reader->server->line = reader->syntax->server_lines[out->server_count++];
    config_scan_next(&reader->scan); /* its "{" */
    return 0;
}

static int take_item(struct reader *reader, const struct config_token *token)
{
    if (token->kind == CONFIG_TOKEN_CLOSE) {
        reader->section = (struct herd_slice){0};
        reader->server = NULL;
        return 0;
    }
    assert(token->kind == CONFIG_TOKEN_WORD);
    struct config_token next = config_scan_next(&reader->scan);
    if (next.kind == CONFIG_TOKEN_EQUALS)
        return take_key(reader, token);
    reader->section = config_token_text(&reader->scan, token);
    return next.kind == CONFIG_TOKEN_OPEN ? 0 : open_server(reader, &next);
}

int config_parse(char *text, size_t len, const struct config_syntax *syntax,
                 struct config_tree *out)
{
    struct reader reader = {
        .scan = {.text = text, .len = len, .line = 1}, .out = out, .syntax = syntax};
    *out = (struct config_tree){.servers = calloc(syntax->server_count + 1, sizeof *out->servers)};
    int rc = out->servers != NULL ? 0 : HERD_ENOMEM;
    struct config_token token;
    while (rc == 0 && (token = config_scan_next(&reader.scan)).kind != CONFIG_TOKEN_END)
        rc = take_item(&reader, &token);
    assert(rc < 0 || out->server_count == syntax->server_count);
    if (rc < 0)
        config_tree_free(out);
    return rc;
}

void config_tree_free(struct config_tree *tree)
{
    for (size_t i = 0; i < tree->server_count; i++)
        free(tree->servers[i].peers);
    free(tree->servers);
    while (tree->all != NULL) {
        struct config_given *next = tree->all->next;
        free(tree->all);
        tree->all = next;
    }
    *tree = (struct config_tree){0};
}
