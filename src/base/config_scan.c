#include <stdlib.h>
#include <string.h>

#include "base/config_scan.h"

void config_scan_mistake(struct config_scan *scan, int line, const char *format, ...)
{
    if (scan->mistake_line == line)
        return;
    scan->mistake_line = line;
    va_list args;
    va_start(args, format);
    config_mistake_va(scan->mistakes, line, format, args);
    va_end(args);
}

static bool starts_with(const struct config_scan *scan, const char *sign)
{
    size_t len = strlen(sign);
    return scan->len - scan->at >= len && memcmp(scan->text + scan->at, sign, len) == 0;
}

static void blank_to(struct config_scan *scan, size_t end)
{
    for (; scan->at < end; scan->at++) {
        if (scan->text[scan->at] == '\n')
            scan->line++;
        else
            scan->text[scan->at] = ' ';
    }
}

/* Where the line ends: at its LF or at the end of the text. */
static size_t line_end(const struct config_scan *scan)
{
    const char *lf = memchr(scan->text + scan->at, '\n', scan->len - scan->at);
    return lf != NULL ? (size_t)(lf - scan->text) : scan->len;
}

static void blank_block_comment(struct config_scan *scan)
{
    static const char sign[] = "*/";
    const char *body = scan->text + scan->at + 2;
    const char *end = memmem(body, (size_t)(scan->text + scan->len - body), sign, strlen(sign));
    if (end == NULL)
        config_scan_mistake(scan, scan->line, "the comment that begins with /* does not end");
    blank_to(scan, end != NULL ? (size_t)(end - scan->text) + strlen(sign) : scan->len);
}

static void skip_blanks(struct config_scan *scan)
{
    while (scan->at < scan->len) {
        char c = scan->text[scan->at];
        if (c == '\n') {
            scan->line++;
            scan->at++;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            scan->at++;
        } else if (c == '#' || starts_with(scan, "//")) {
            blank_to(scan, line_end(scan));
        } else if (starts_with(scan, "/*")) {
            blank_block_comment(scan);
        } else {
            return;
        }
    }
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("_.:/%@~-[]", c) != NULL);
}

static void report_byte(struct config_scan *scan, unsigned char byte)
{
    if (byte == '$')
        config_scan_mistake(scan, scan->line,
                            "\"$\" outside of a string: the environment is not looked up");
    else if (byte == '(' || byte == ')')
        config_scan_mistake(scan, scan->line, "\"%c\": there are no functions here, and no include",
                            byte);
    else if (byte > 0x20 && byte < 0x7f)
        config_scan_mistake(scan, scan->line, "\"%c\" may stand in a string only", byte);
    else
        config_scan_mistake(scan, scan->line, "byte 0x%02x may stand in a string only", byte);
}

/* Bytes that may not stand in a word do not end it, so that there is one mistake and not two. */
static void scan_word(struct config_scan *scan)
{
    for (; scan->at < scan->len; scan->at++) {
        char c = scan->text[scan->at];
        if (is_word_byte(c))
            continue;
        if (strchr(" \t\r\n#\"'={},", c) != NULL)
            return;
        report_byte(scan, (unsigned char)c);
    }
}

/* Other escapes in "…", and "${", are kept free for a meaning to come. '…' has neither. */
static void scan_string(struct config_scan *scan)
{
    char quote = scan->text[scan->at];
    size_t end = line_end(scan);
    for (scan->at++; scan->at < end && scan->text[scan->at] != quote; scan->at++) {
        const char *at = scan->text + scan->at;
        char next = at[1];
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            config_scan_mistake(scan, scan->line, "control byte 0x%02x in a string",
                                (unsigned char)*at);
        if (quote == '"' && *at == '$' && next == '{')
            config_scan_mistake(scan, scan->line,
                                "\"${\": the environment is not looked up; write \\$ for a $");
        if (*at != '\\')
            continue;
        if (next == '\\' || next == quote || (quote == '"' && next == '$'))
            scan->at++;
        else if (quote == '"')
            config_scan_mistake(scan, scan->line,
                                "\"%s\" is no escape: only \\\", \\\\ and \\$ are",
                                config_show(at, scan->at + 1 < end ? 2 : 1).text);
    }
    if (scan->at >= end) {
        scan->at = end;
        config_scan_mistake(scan, scan->line, "the string does not end on its line");
    } else {
        scan->at++;
    }
}

struct config_token config_scan_next(struct config_scan *scan)
{
    static const char signs[] = "={},";
    static const enum config_token_kind sign_kinds[] = {CONFIG_TOKEN_EQUALS, CONFIG_TOKEN_OPEN,
                                                        CONFIG_TOKEN_CLOSE, CONFIG_TOKEN_COMMA};
    skip_blanks(scan);
    struct config_token token = {.begin = scan->at, .line = scan->line};
    char c = scan->text[scan->at];
    const char *sign = strchr(signs, c);
    if (c == '\0') {
        token.kind = CONFIG_TOKEN_END;
    } else if (sign != NULL) {
        token.kind = sign_kinds[sign - signs];
        scan->at++;
    } else if (c == '"' || c == '\'') {
        token.kind = CONFIG_TOKEN_STRING;
        scan_string(scan);
    } else {
        token.kind = CONFIG_TOKEN_WORD;
        scan_word(scan);
    }
    token.end = scan->at;
    return token;
}

struct herd_slice config_token_text(const struct config_scan *scan,
                                    const struct config_token *token)
{
    size_t quote = token->kind == CONFIG_TOKEN_STRING ? 1 : 0;
    size_t len = token->end - token->begin;
    return herd_slice(scan->text + token->begin + quote, len > 2 * quote ? len - 2 * quote : 0);
}
