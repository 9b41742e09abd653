/* config_scan.h: herd.conf as words, strings and signs, each with its line. */
#ifndef BASE_CONFIG_SCAN_H
#define BASE_CONFIG_SCAN_H

#include <stddef.h>

#include "base/config_mistakes.h"

enum config_token_kind {
    CONFIG_TOKEN_WORD,
    CONFIG_TOKEN_STRING,
    CONFIG_TOKEN_EQUALS,
    CONFIG_TOKEN_OPEN,
    CONFIG_TOKEN_CLOSE,
    CONFIG_TOKEN_COMMA,
    CONFIG_TOKEN_END,
    CONFIG_TOKEN_KINDS
};

struct config_token {
    enum config_token_kind kind;
    int line;
    size_t begin, end; /* offsets; of a string with its quotes */
};

/*
 * Begin with `text`, which has a NUL behind its `len` bytes and nowhere else, with `mistakes`, line
 * 1 and the rest zero. Comments are overwritten with spaces on the way; their line ends stay.
 */
struct config_scan {
    char *text;
    size_t len;
    size_t at;
    int line;
    struct config_mistakes *mistakes;
    int mistake_line; /* of the last one that was reported here; 0: there was none */
};

struct config_token config_scan_next(struct config_scan *scan);

/*
 * Reports a mistake in the form of the file. Only the first of a line, as it may well be the reason
 * for the others.
 */
void config_scan_mistake(struct config_scan *scan, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The bytes of a word, or between the quotes of a string. */
struct herd_slice config_token_text(const struct config_scan *scan,
                                    const struct config_token *token);

#endif
