/* herd_places.h: the commands of the program herd-places. */
#ifndef TOOLS_HERD_PLACES_H
#define TOOLS_HERD_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <herd/buf.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* The words behind a command: `--name value` or `--name` in any order, and the others. A location
 * may begin with a minus, so only two of them begin an option. */
struct arguments {
    const char *out;                          /* --out FILE */
    const char *file;                         /* --file FILE */
    const char *format;                       /* --format NAME */
    const char *name, *attribution, *licence; /* of a source: --name TEXT, … */
    int64_t repeat;                           /* --repeat N; 0: not given */
    bool json;                                /* --json */
    size_t count;
    const char **words;
};

/* Each prints what it does or why it cannot; the program's exit code. EXIT_USAGE: the words are
 * wrong, which was said; the command's usage has yet to be. */
int command_import(const struct arguments *arguments);
int command_build(const struct arguments *arguments);
int command_near(const struct arguments *arguments);
int command_info(const struct arguments *arguments);

/* The places file to read, terminated: --file, or the data set that came with herd. 0 or
 * HERD_ENOMEM. */
int find_places_file(const struct arguments *arguments, struct herd_buf *out);

/* Says on stderr, as `herd-places: …`, what is wrong with the words; EXIT_USAGE. */
int wrong_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints `error` as `herd-places: …` to stderr; EXIT_FAILED. */
int print_failure(int rc, const struct herd_buf *error);

#endif
