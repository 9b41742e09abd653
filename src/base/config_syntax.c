/*
 * The form of a herd.conf. This pass goes over the text first, says all that is wrong with its
 * form, and leaves a text that config_parse has only to take the values from. It is in one of these
 * states:
 *
 *   ITEM    a key, a section or the "}" of a section is next
 *   HEAD    a name was read
 *   TITLED  a name and a title were read
 *   VALUE   "=" was read
 *   LIST    the "{" or a "," of a list was read
 *   LISTED  a value of a list was read
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "base/config_scan.h"
#include "base/config_syntax.h"
#include "base/config_table.h"

enum state { WRONG, ITEM, HEAD, TITLED, VALUE, LIST, LISTED, STATES };

/* A section that was begun: server Hill, in a line. All empty: the top of the file. */
struct section {
    struct herd_slice name, title;
    int line;
};

struct pass {
    struct config_scan scan;
    struct config_syntax *out;
    enum state state;
    struct config_token name, title; /* of the item that is being read */
    bool has_title, is_list;
    struct config_token valued; /* the key before, whose value ended in: */
    int value_line;             /* 0: there is none */

    struct section section;
    size_t section_begin;
    bool section_unknown; /* its keys are not looked at */
    bool section_dropped; /* it is overwritten when it ends */
    bool key_dropped;     /* one of its keys was */

    int first_lines[CONFIG_KEY_COUNT]; /* where each key was given; 0: nowhere yet */
    struct section *seen;
    size_t seen_count, seen_cap;
};

static bool is_server(const struct section *section)
{
    return herd_slice_equal(section->name, herd_slice_of("server"));
}

static struct config_shown show(struct herd_slice slice)
{
    return config_show(slice.data, slice.len);
}

/* Adds as much as there is room for. */
static void append(struct config_shown *shown, const char *text)
{
    size_t len = strlen(shown->text);
    while (*text != '\0' && len < sizeof shown->text - 1)
        shown->text[len++] = *text++;
    shown->text[len] = '\0';
}

/* `server Hill`, `places`, or nothing at the top. */
static struct config_shown label(const struct section *section)
{
    struct config_shown shown = show(section->name);
    if (section->title.len > 0) {
        append(&shown, " ");
        append(&shown, show(section->title).text);
    }
    return shown;
}

/* `server Hill: ` before what is said of a key in it, or nothing at the top. */
static struct config_shown prefix(const struct pass *pass)
{
    struct config_shown shown = label(&pass->section);
    if (shown.text[0] != '\0')
        append(&shown, ": ");
    return shown;
}

/* Overwrites what is reported and cannot be parsed. */
static void drop(const struct pass *pass, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        if (pass->scan.text[i] != '\n')
            pass->scan.text[i] = ' ';
}

/* Keys */

static void report_unknown_key(struct pass *pass, struct herd_slice name)
{
    struct config_nearest nearest = {.name = name};
    const char *elsewhere = NULL;
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        if (herd_slice_equal(pass->section.name, herd_slice_of(row->section)))
            config_nearest_try(&nearest, herd_slice_of(row->name));
        else if (herd_slice_equal(name, herd_slice_of(row->name)))
            elsewhere = row->section;
    }
    struct config_hint hint = config_nearest_hint(&nearest);
    if (config_section_exists(name))
        snprintf(hint.text, sizeof hint.text, " (%s is a section: no \"=\" before its \"{\")",
                 show(name).text);
    else if (elsewhere != NULL && elsewhere[0] == '\0')
        snprintf(hint.text, sizeof hint.text, " (it belongs at the top, outside of any section)");
    else if (elsewhere != NULL)
        snprintf(hint.text, sizeof hint.text, " (it belongs in a section %s)", elsewhere);
    config_mistake(pass->scan.mistakes, pass->name.line, "%sunknown key \"%s\"%s",
                   prefix(pass).text, show(name).text, hint.text);
}

/* True: the key and its value, which ended just now, may be parsed. */
static bool check_key(struct pass *pass)
{
    if (pass->scan.mistake_line == pass->name.line)
        return true; /* it may not be what was meant, and the text is not parsed anyway */
    struct herd_slice name = config_token_text(&pass->scan, &pass->name);
    const struct config_row *row = config_row_find(pass->section.name, name);
    if (row == NULL) {
        report_unknown_key(pass, name);
        return false;
    }
    int *first_line = &pass->first_lines[row - config_rows];
    if (*first_line > 0) {
        config_mistake(pass->scan.mistakes, pass->name.line,
                       "%s%s is given twice, first in line %d", prefix(pass).text, row->name,
                       *first_line);
        return false;
    }
    *first_line = pass->name.line;
    if (pass->is_list && row->type != CONFIG_TYPE_LIST) {
        config_mistake(pass->scan.mistakes, pass->name.line, "%s%s takes one value, not a list",
                       prefix(pass).text, row->name);
        return false;
    }
    return true;
}

static void on_value(struct pass *pass, const struct config_token *token)
{
    pass->valued = pass->name;
    pass->value_line = token->line;
    if (pass->section_unknown || check_key(pass))
        return;
    drop(pass, pass->name.begin, token->end);
    pass->key_dropped = true;
}

static void on_list(struct pass *pass, const struct config_token *token)
{
    (void)token;
    pass->is_list = true;
}

/* Sections */

static bool is_good_name(struct herd_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (i == 0 || strchr("-_.", c) == NULL))
            return false;
    }
    return name.len > 0 && name.len <= CONFIG_NAME_MAX;
}

static void report_unknown_section(struct pass *pass)
{
    struct config_nearest nearest = {.name = pass->section.name};
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++)
        config_nearest_try(&nearest, herd_slice_of(config_rows[i].section));
    struct config_hint hint = config_nearest_hint(&nearest);
    if (config_row_find(herd_slice("", 0), pass->section.name) != NULL)
        snprintf(hint.text, sizeof hint.text, " (it is a key: \"=\" is missing)");
    config_mistake(pass->scan.mistakes, pass->section.line, "unknown section \"%s\"%s",
                   show(pass->section.name).text, hint.text);
}

/* The section of that name and title that was begun before, or NULL. */
static const struct section *find_seen(const struct pass *pass)
{
    for (size_t i = 0; i < pass->seen_count; i++)
        if (herd_slice_equal(pass->seen[i].name, pass->section.name) &&
            herd_slice_equal(pass->seen[i].title, pass->section.title))
            return &pass->seen[i];
    return NULL;
}

static void remember(struct pass *pass)
{
    if (pass->seen_count == pass->seen_cap) {
        size_t cap = pass->seen_cap > 0 ? 2 * pass->seen_cap : 16;
        struct section *seen = realloc(pass->seen, cap * sizeof *seen);
        if (seen == NULL) {
            pass->scan.mistakes->out_of_memory = true;
            return;
        }
        pass->seen = seen;
        pass->seen_cap = cap;
    }
    pass->seen[pass->seen_count++] = pass->section;
    pass->out->server_count += is_server(&pass->section);
}

/* True: the section, which begins just now, may be parsed. */
static bool check_section(struct pass *pass)
{
    struct config_mistakes *mistakes = pass->scan.mistakes;
    const struct section *section = &pass->section;
    const struct section *first = find_seen(pass);
    if (pass->section_unknown)
        report_unknown_section(pass);
    else if (!is_server(section) && pass->has_title)
        config_mistake(mistakes, section->line, "section %s has no name", show(section->name).text);
    else if (is_server(section) && !pass->has_title)
        config_mistake(mistakes, section->line, "a server needs a name: server NAME { ... }");
    else if (is_server(section) && !is_good_name(section->title))
        config_mistake(mistakes, section->line,
                       "\"%s\" is no name for a server: 1 to %d letters, digits, \"-\", \"_\" and "
                       "\".\", a letter or digit first",
                       show(section->title).text, CONFIG_NAME_MAX);
    else if (is_server(section) && pass->out->server_count == CONFIG_SERVERS_MAX)
        config_mistake(mistakes, section->line, "more than %d servers", CONFIG_SERVERS_MAX);
    else if (first != NULL)
        config_mistake(mistakes, section->line, "%s is given twice, first in line %d",
                       label(section).text, first->line);
    else
        return true;
    return false;
}

static void on_section(struct pass *pass, const struct config_token *token)
{
    (void)token;
    if (pass->section.name.len > 0)
        config_scan_mistake(&pass->scan, pass->name.line,
                            "a section in section %s of line %d: is a \"}\" missing before?",
                            label(&pass->section).text, pass->section.line);
    pass->section = (struct section){.name = config_token_text(&pass->scan, &pass->name),
                                     .line = pass->name.line};
    if (pass->has_title)
        pass->section.title = config_token_text(&pass->scan, &pass->title);
    pass->section_begin = pass->name.begin;
    pass->section_unknown = !config_section_exists(pass->section.name);
    pass->section_dropped = !check_section(pass);
    if (is_server(&pass->section))
        for (size_t i = CONFIG_VALUE_COUNT; i < CONFIG_KEY_COUNT; i++)
            pass->first_lines[i] = 0;
    pass->key_dropped = false;
    if (!pass->section_dropped)
        remember(pass);
}

static void on_section_end(struct pass *pass, const struct config_token *token)
{
    if (pass->section.name.len == 0)
        config_scan_mistake(&pass->scan, token->line, "\"}\" without a \"{\" before");
    if (pass->section_dropped)
        drop(pass, pass->section_begin, token->end);
    /* What was dropped may have been meant to be the peers. */
    if (pass->section_dropped || (is_server(&pass->section) && pass->key_dropped &&
                                  pass->first_lines[CONFIG_KEY_server_peers] == 0))
        pass->out->complete = false;
    pass->section = (struct section){0};
    pass->section_unknown = pass->section_dropped = false;
}

/* The form of the file */

static void on_name(struct pass *pass, const struct config_token *token)
{
    pass->name = *token;
    pass->has_title = pass->is_list = false;
}

static void on_title(struct pass *pass, const struct config_token *token)
{
    pass->title = *token;
    pass->has_title = true;
}

static const struct {
    enum state next; /* WRONG, as all that are not named: the token may not stand there */
    void (*on)(struct pass *pass, const struct config_token *token);
} moves[STATES][CONFIG_TOKEN_KINDS] = {
    [ITEM][CONFIG_TOKEN_WORD] = {HEAD, on_name},
    [ITEM][CONFIG_TOKEN_CLOSE] = {ITEM, on_section_end},
    [HEAD][CONFIG_TOKEN_EQUALS] = {VALUE, NULL},
    [HEAD][CONFIG_TOKEN_OPEN] = {ITEM, on_section},
    [HEAD][CONFIG_TOKEN_WORD] = {TITLED, on_title},
    [HEAD][CONFIG_TOKEN_STRING] = {TITLED, on_title},
    [TITLED][CONFIG_TOKEN_OPEN] = {ITEM, on_section},
    [VALUE][CONFIG_TOKEN_WORD] = {ITEM, on_value},
    [VALUE][CONFIG_TOKEN_STRING] = {ITEM, on_value},
    [VALUE][CONFIG_TOKEN_OPEN] = {LIST, on_list},
    [LIST][CONFIG_TOKEN_WORD] = {LISTED, NULL},
    [LIST][CONFIG_TOKEN_STRING] = {LISTED, NULL},
    [LIST][CONFIG_TOKEN_CLOSE] = {ITEM, on_value},
    [LISTED][CONFIG_TOKEN_COMMA] = {LIST, NULL},
    [LISTED][CONFIG_TOKEN_CLOSE] = {ITEM, on_value},
};

static void report_wrong(struct pass *pass, const struct config_token *token)
{
    static const char *const expected[STATES] = {
        [ITEM] = "a key or a section", [HEAD] = "\"=\" or \"{\"",   [TITLED] = "\"{\"",
        [VALUE] = "a value",           [LIST] = "a value or \"}\"", [LISTED] = "\",\" or \"}\"",
    };
    struct herd_slice name = config_token_text(&pass->scan, &pass->name);
    size_t len = token->end - token->begin;
    if (pass->state == TITLED && config_row_find(pass->section.name, name) != NULL)
        config_scan_mistake(&pass->scan, pass->name.line, "\"=\" is missing after %s",
                            show(name).text);
    else if (token->kind == CONFIG_TOKEN_END)
        config_scan_mistake(&pass->scan, token->line, "expected %s, but the file ends here",
                            expected[pass->state]);
    else
        config_scan_mistake(&pass->scan, token->line, "expected %s, not %s", expected[pass->state],
                            config_show(pass->scan.text + token->begin, len).text);
}

/* Goes on with the next line, in or out of a section as the braces until there say. */
static void recover(struct pass *pass, struct config_token *token)
{
    int depth = (pass->section.name.len > 0) + (pass->state == LIST || pass->state == LISTED);
    int line = token->line;
    for (; token->kind != CONFIG_TOKEN_END && token->line == line;
         *token = config_scan_next(&pass->scan)) {
        depth += token->kind == CONFIG_TOKEN_OPEN;
        depth -= token->kind == CONFIG_TOKEN_CLOSE && depth > 0;
    }
    if (depth == 0) {
        pass->section = (struct section){0};
    } else if (pass->section.name.len == 0) {
        pass->section =
            (struct section){.name = config_token_text(&pass->scan, &pass->name), .line = line};
        pass->section_unknown = true;
    }
    pass->state = ITEM;
}

/* A comma that is missing in a list is no reason to pass over the rest of the line. */
static void on_wrong(struct pass *pass, struct config_token *token)
{
    bool is_value = token->kind == CONFIG_TOKEN_WORD || token->kind == CONFIG_TOKEN_STRING;
    report_wrong(pass, token);
    if (pass->state == LISTED && is_value)
        *token = config_scan_next(&pass->scan);
    else
        recover(pass, token);
}

/* Whether the item before ended with its line, unfinished, and the token begins another one. */
static bool is_cut_short(const struct pass *pass, const struct config_token *token, int line_before)
{
    if (token->kind != CONFIG_TOKEN_WORD || token->line == line_before)
        return false;
    bool was_reported = pass->scan.mistake_line == line_before;
    return pass->state == VALUE || ((pass->state == HEAD || pass->state == TITLED) && was_reported);
}

/* Whether the name that was read last is none, but a word behind a value. Where its line ends with
 * it, what is missing would be looked for in the next one. */
static bool is_one_too_many(const struct pass *pass, const struct config_token *token)
{
    bool is_item = token->kind == CONFIG_TOKEN_EQUALS || token->kind == CONFIG_TOKEN_OPEN;
    return pass->state == HEAD && pass->name.line == pass->value_line && !is_item &&
           (token->line != pass->name.line || token->kind == CONFIG_TOKEN_END) &&
           !config_section_exists(config_token_text(&pass->scan, &pass->name));
}

static void report_one_too_many(struct pass *pass)
{
    const struct config_scan *scan = &pass->scan;
    config_scan_mistake(&pass->scan, pass->name.line, "\"%s\" behind the value of %s is too many",
                        show(config_token_text(scan, &pass->name)).text,
                        show(config_token_text(scan, &pass->valued)).text);
    pass->state = ITEM;
}

static void run(struct pass *pass)
{
    int line_before = 1;
    struct config_token token = config_scan_next(&pass->scan);
    while (token.kind != CONFIG_TOKEN_END || pass->state != ITEM) {
        enum state next = moves[pass->state][token.kind].next;
        bool cut_short = is_cut_short(pass, &token, line_before);
        line_before = token.line;
        if (is_one_too_many(pass, &token)) {
            report_one_too_many(pass);
        } else if (cut_short) {
            if (pass->state == VALUE)
                config_scan_mistake(&pass->scan, pass->name.line, "%s has no value",
                                    show(config_token_text(&pass->scan, &pass->name)).text);
            pass->state = ITEM;
        } else if (next == WRONG) {
            on_wrong(pass, &token);
        } else {
            if (moves[pass->state][token.kind].on != NULL)
                moves[pass->state][token.kind].on(pass, &token);
            pass->state = next;
            token = config_scan_next(&pass->scan);
        }
    }
    if (pass->section.name.len > 0)
        config_scan_mistake(&pass->scan, pass->section.line, "the \"{\" of %s has no \"}\"",
                            label(&pass->section).text);
}

/* Editors of other systems put a byte order mark before the first line. */
static void blank_byte_order_mark(char *text, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf";
    if (len >= sizeof mark - 1 && memcmp(text, mark, sizeof mark - 1) == 0)
        memset(text, ' ', sizeof mark - 1);
}

int config_syntax_check(char *text, size_t len, struct config_mistakes *mistakes,
                        struct config_syntax *out)
{
    blank_byte_order_mark(text, len);
    *out = (struct config_syntax){.complete = true};
    struct pass pass = {
        .scan = {.text = text, .len = len, .line = 1, .mistakes = mistakes},
        .out = out,
        .state = ITEM,
    };
    run(&pass);
    out->well_formed = pass.scan.mistake_line == 0;
    out->server_lines = calloc(out->server_count + 1, sizeof *out->server_lines);
    if (out->server_lines == NULL)
        mistakes->out_of_memory = true;
    size_t count = 0;
    for (size_t i = 0; i < pass.seen_count && out->server_lines != NULL; i++)
        if (is_server(&pass.seen[i]))
            out->server_lines[count++] = pass.seen[i].line;
    free(pass.seen);
    if (!mistakes->out_of_memory)
        return 0;
    config_syntax_free(out);
    return HERD_ENOMEM;
}

void config_syntax_free(struct config_syntax *syntax)
{
    free(syntax->server_lines);
    *syntax = (struct config_syntax){0};
}
