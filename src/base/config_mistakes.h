/* config_mistakes.h: collects what is wrong with a herd.conf, to show all of it in the file's
 * order. */
#ifndef BASE_CONFIG_MISTAKES_H
#define BASE_CONFIG_MISTAKES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <herd/buf.h>

enum { CONFIG_MISTAKES_MAX = 100 };

struct config_mistakes {
    size_t count; /* all of them; the first CONFIG_MISTAKES_MAX are kept */
    bool out_of_memory;
    struct config_mistake {
        int line; /* 0: of the whole file */
        struct herd_buf text;
    } kept[CONFIG_MISTAKES_MAX];
};

void config_mistake(struct config_mistakes *mistakes, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void config_mistake_va(struct config_mistakes *mistakes, int line, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/* Appends `<path>:<line>: <text>` LF for each, by line. 0 or HERD_ENOMEM. */
int config_mistakes_write(struct config_mistakes *mistakes, const char *path, struct herd_buf *out);

void config_mistakes_free(struct config_mistakes *mistakes);

/* Bytes of the file as a message may show them: short, and with a question mark for each control
 * character, C1's too, and each byte that is no UTF-8. */
struct config_shown {
    char text[96];
};
struct config_shown config_show(const char *bytes, size_t len);

/*
 * Finds the candidate that `name` was most likely meant to be. Begin with all zero but `name`;
 * `best` stays empty while nothing is near enough.
 */
struct config_nearest {
    struct herd_slice name;
    struct herd_slice best; /* borrowed from the candidates */
    size_t best_distance;
};
void config_nearest_try(struct config_nearest *nearest, struct herd_slice candidate);

/* ` (did you mean "best"?)`, or nothing. */
struct config_hint {
    char text[192];
};
struct config_hint config_nearest_hint(const struct config_nearest *nearest);

#endif
