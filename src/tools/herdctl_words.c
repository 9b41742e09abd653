#include "herdctl_words.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <herd/err.h>
#include <herd/proto.h>

#include "base/config_mistakes.h"
#include "herdctl.h"

/* A word is right if the line made of it is: the rules are those of who reads it, libherd's. */
static const struct {
    const char *name;
    const char *before, *behind; /* NULL: any word */
    const char *rule;
    int max; /* behind the rule, with its unit; 0: none */
    const char *unit;
} kinds[] = {
    [WORD_SERVER] = {.name = "SERVER"},
    [WORD_CLIENT] = {"CLIENT", "WHATSAT ", " 0 0", "at most", HERD_CLIENT_ID_MAX, " bytes"},
    [WORD_LOCATION] = {"LOCATION", "IAMAT x ", " 0",
                       "latitude and longitude on the earth, both with a sign: +34.07-118.44", 0,
                       ""},
    [WORD_TIME] = {"TIME", "IAMAT x +0+0 ", "", "POSIX seconds, not milliseconds: 1700000000.5", 0,
                   ""},
    [WORD_RADIUS] = {"RADIUS", "WHATSAT x ", " 0", "kilometres, 0 to", HERD_RADIUS_MAX_KM, ""},
    [WORD_COUNT] = {"COUNT", "WHATSAT x 0 ", "", "a whole number, 0 to", HERD_RESULTS_MAX, ""},
};

const char *word_name(enum word_kind kind)
{
    return kinds[kind].name;
}

/* Whether `word` can be a field of a line: it would be two, none, or end the line else. */
static bool is_field(const char *word)
{
    enum { DEL = 127 };
    for (const unsigned char *at = (const unsigned char *)word; *at != '\0'; at++)
        if (*at <= ' ' || *at == DEL)
            return false;
    return word[0] != '\0';
}

/* 1, 0, or HERD_ENOMEM. */
static int is_of_kind(enum word_kind kind, const char *word)
{
    struct herd_buf line = {0};
    struct herd_command command;
    if (kinds[kind].before == NULL)
        return 1;
    int rc = herd_buf_printf(&line, "%s%s%s", kinds[kind].before, word, kinds[kind].behind);
    if (rc == 0)
        rc = herd_command_parse(herd_buf_slice(&line), &command) == 0;
    herd_buf_free(&line);
    return rc;
}

static void print_rule(enum word_kind kind, const char *word)
{
    char limit[32] = "";
    if (kinds[kind].max > 0)
        snprintf(limit, sizeof(limit), " %d%s", kinds[kind].max, kinds[kind].unit);
    fprintf(stderr, "herdctl: \"%s\" is no %s: %s%s\n", config_show(word, strlen(word)).text,
            kinds[kind].name, kinds[kind].rule, limit);
}

int word_check(enum word_kind kind, const char *word)
{
    if (!is_field(word)) {
        fprintf(stderr, "herdctl: \"%s\" is %s\n", config_show(word, strlen(word)).text,
                word[0] == '\0' ? "empty" : "no word: white space or a control byte in it");
        return EXIT_USAGE;
    }
    int rc = is_of_kind(kind, word);
    if (rc < 0) {
        fprintf(stderr, "herdctl: %s\n", herd_strerror(rc));
        return EXIT_ANSWER;
    }
    if (rc == 0)
        print_rule(kind, word);
    return rc == 0 ? EXIT_USAGE : 0;
}
