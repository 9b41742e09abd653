/* The table of limits in docs/operations.md, and the numbers in the texts of metrics, against what the
 * code says: reasons, keys, metrics, and each limit that has no key. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_table.h"
#include "base/metrics.h"
#include "core/arena.h"
#include "core/digest.h"
#include "core/link.h"
#include "core/node.h"
#include "core/pace.h"
#include "core/prune.h"
#include "core/reconcile.h"
#include "net/net.h"
#include "net/room.h"
#include "net/stream.h"
#include "places/broker.h"
#include "places/desk.h"
#include "testing.h"

enum { COLUMNS = 5, WORD_BYTES = 128 };

enum column { LIMIT, VALUE, BEYOND, REASON, METRIC };

/* The rows of the table, without its head. Free with free(). */
static char *read_table(void)
{
    char *page = testing_read_file(DOCS "/operations.md");
    char *begin = strstr(page, "\n## Limits\n");
    assert_non_null(begin);
    begin = strstr(begin, "\n|---|");
    assert_non_null(begin);
    begin = strchr(begin + 1, '\n') + 1;
    char *end = strstr(begin, "\n\n");
    assert_non_null(end);
    char *table = strndup(begin, (size_t)(end + 1 - begin));
    free(page);
    return table;
}

/* The cells of one row, which is taken apart. Returns the next row. */
static char *split_row(char *row, char *cells[COLUMNS])
{
    char *end = strchr(row, '\n'), *rest = row + 1;
    assert_non_null(end);
    *end = '\0';
    for (int i = 0; i < COLUMNS; i++) {
        cells[i] = strsep(&rest, "|");
        assert_non_null(rest);
    }
    return end + 1;
}

/* The next `word` of a cell. */
static bool next_word(const char **cell, char word[WORD_BYTES])
{
    const char *begin = strchr(*cell, '`');
    if (begin == NULL)
        return false;
    const char *end = strchr(begin + 1, '`');
    assert_non_null(end);
    assert_in_range(end - begin, 2, WORD_BYTES - 1);
    memcpy(word, begin + 1, (size_t)(end - begin - 1));
    word[end - begin - 1] = '\0';
    *cell = end + 1;
    return true;
}

/* Fails unless `is_known` of each word in the column; which tells what they are. */
static void check_words(enum column column, bool (*is_known)(const char *word), const char *what)
{
    char *table = read_table(), *cells[COLUMNS], word[WORD_BYTES];
    for (char *row = table; *row != '\0';) {
        row = split_row(row, cells);
        const char *cell = cells[column];
        while (next_word(&cell, word)) {
            if (!is_known(word))
                fail_msg("docs/operations.md: `%s` is no %s", word, what);
        }
    }
    free(table);
}

static bool is_reason(const char *word)
{
    static const char *const groups[] = {"group=places", "group=log", "lines"}; /* or a level */
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strcmp(word, groups[i]) == 0)
            return true;
    }
    char reason[LIMITS_REASON_BYTES];
    for (enum limit i = 0; i < LIMIT_COUNT; i++) {
        limits_reason(i, reason);
        if (strcmp(word, reason) == 0)
            return true;
    }
    return false;
}

static bool is_metric(const char *word)
{
    for (enum metric i = 0; i < METRIC_COUNT; i++) {
        if (strcmp(word, metrics_name(i)) == 0)
            return true;
    }
    return strcmp(word, "in_flight") == 0; /* of the status */
}

/* Also what the system and systemd call theirs, and a line's first word. */
static bool is_key(const char *word)
{
    static const char *const others[] = {"LimitNOFILE", "ulimit -n", "HELLO"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(word, others[i]) == 0)
            return true;
    }
    for (enum config_key i = 0; i < CONFIG_VALUE_COUNT; i++) {
        if (strcmp(word, config_rows[i].name) == 0)
            return true;
    }
    return false;
}

static void test_the_words_of_the_table(void **state)
{
    (void)state;
    check_words(VALUE, is_key, "key");
    check_words(REASON, is_reason, "reason of a limit");
    check_words(METRIC, is_metric, "metric");
}

static void test_each_row_names_a_metric(void **state)
{
    char *table = read_table(), *cells[COLUMNS], word[WORD_BYTES];
    (void)state;
    for (char *row = table; *row != '\0';) {
        row = split_row(row, cells);
        const char *cell = cells[METRIC];
        if (!next_word(&cell, word))
            fail_msg("docs/operations.md: no metric tells of `%s`", cells[LIMIT]);
    }
    free(table);
}

/* Numbers of herd.conf that bound nothing. */
static bool is_no_limit(const char *key)
{
    static const char *const others[] = {"max_skew_s", "price_per_thousand"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(key, others[i]) == 0)
            return true;
    }
    return false;
}

static bool is_in_the_table(const char *key)
{
    char *table = read_table(), *cells[COLUMNS], word[WORD_BYTES];
    bool is_there = false;
    for (char *row = table; *row != '\0';) {
        row = split_row(row, cells);
        const char *cell = cells[VALUE];
        while (next_word(&cell, word))
            is_there |= strcmp(word, key) == 0;
    }
    free(table);
    return is_there;
}

static void test_each_number_of_herd_conf_is_in_the_table(void **state)
{
    (void)state;
    for (enum config_key i = 0; i < CONFIG_VALUE_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        if (row->type == CONFIG_TYPE_INT && is_in_the_table(row->name) == is_no_limit(row->name))
            fail_msg("docs/operations.md: `%s` is %s", row->name,
                     is_no_limit(row->name) ? "no limit" : "in no row of the table");
    }
}

static void test_each_reason_is_in_the_table(void **state)
{
    (void)state;
    char *table = read_table();
    for (enum limit i = 0; i < LIMIT_COUNT; i++) {
        char reason[LIMITS_REASON_BYTES], quoted[LIMITS_REASON_BYTES + 2];
        limits_reason(i, reason);
        assert_in_range(strlen(reason), 1, LIMITS_REASON_BYTES - 2); /* not cut short */
        assert_null(strchr(reason, '#'));
        snprintf(quoted, sizeof(quoted), "`%s`", reason);
        assert_contains(table, quoted);
    }
    free(table);
}

static void test_numbers_are_written_as_in_texts(void **state)
{
    (void)state;
    char reason[LIMITS_REASON_BYTES];
    limits_reason(LIMIT_QUESTIONS, reason);
    assert_string_equal(reason, "100,000 questions for the places file wait");
    limits_reason(LIMIT_ORIGINS, reason);
    assert_string_equal(reason, "those of 1,024 servers go over trees");
    limits_reason(LIMIT_CONTROL, reason);
    assert_string_equal(reason, "there are 16");
    limits_reason(LIMIT_WAITS, reason);
    assert_string_equal(reason, "waits_max was reached");
}

/* Without the comma of thousands. */
static bool has_number(const char *text, long number)
{
    while (*text != '\0') {
        if (!isdigit((unsigned char)*text)) {
            text++;
            continue;
        }
        long found = 0;
        for (; isdigit((unsigned char)*text) || (*text == ',' && isdigit((unsigned char)text[1]));
             text++)
            found = *text == ',' ? found : 10 * found + (*text - '0');
        if (found == number)
            return true;
    }
    return false;
}

/* Of limits without a key: the row of the table that begins so has the number, or both. */
static void test_what_is_fixed_is_as_the_table_says(void **state)
{
    static const struct {
        const char *row;
        long number, other; /* 0: none */
    } fixed[] = {
        {"| connections beyond these", NET_TRIALS_MAX, NET_TRIAL_MS / 1000},
        {"| time that a client which has closed", STREAM_STALLED_MS / 1000, 0},
        {"| questions that wait for the places file", LOCAL_QUESTIONS_MAX, 0},
        {"| questions to a provider", BROKER_QUESTIONS_MAX, 0},
        {"| connections to the control socket", LIMITS_CONTROL, 0},
        {"| servers whose records go over trees", PRUNE_ORIGINS_MAX, 0},
        {"| lines about links", NODE_NOTICES_MAX, 0},
        {"| length of a line", HERD_LINE_MAX, 0},
        {"| bytes on their way", LINK_WINDOW_BYTES / 1024, 0},
        {"| clients whose differences", WALK_LEAF_MAX, 0},
        {"| what is compared with", WALK_KEYS_BYTES / 1024, WALK_WIDTH},
        {"| what is compared with", WALK_GATHER_PER_TURN, WALK_SUMS_PER_TURN / DIGEST_LEAVES},
        {"| log lines that wait", LOG_QUEUE_MAX_BYTES >> 20, 0},
        {"| records that a link passes over", LINK_STEPS_PER_TURN, 0},
        {"| `WHATSAT … AFTER` that one record", WAITS_PER_TURN, REFUSALS_PER_TURN},
        {"| a batch for the disk", BATCH_RECORDS_MAX, BATCH_BYTES_MAX >> 20},
        {"| lives of a server", HERD_LIVES_MAX, 0},
        {"| marks on a link", LINK_CLEAN_MARKS_MAX, 0},
        {"| texts of all records", ARENA_CHUNKS_MAX / (1 << (30 - ARENA_UNIT_BITS - 3)), 0},
        {"| connections accepted in a turn", NET_ACCEPTS_PER_TURN, 0},
        {"| bytes of one read", NET_BULKY_READ_BYTES / 1024, NODE_CROWD_READ_BYTES / 1024},
        {"| bytes of one read", HERD_TOUCHED_MAX, STREAM_INPUT_BYTES / 1024},
        {"| what is answered and not yet on disk", PACE_LIMIT_MS, PACE_BACKLOG_MS},
        {"| bytes that are read and dropped", STREAM_LINGER_BYTES >> 20, 0},
        {"| the same in a turn", STREAM_DROPS_PER_TURN, STREAM_INPUT_BYTES / 1024},
        {"| bytes of places for who reads", TURN_PLACES_BYTES >> 20, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        char *table = read_table(), *cells[COLUMNS], *row = strstr(table, fixed[i].row);
        if (row == NULL)
            fail_msg("docs/operations.md has no row `%s`", fixed[i].row);
        split_row(row, cells);
        assert_contains(cells[VALUE], "fixed: ");
        if (!has_number(cells[VALUE], fixed[i].number) ||
            (fixed[i].other != 0 && !has_number(cells[VALUE], fixed[i].other)))
            fail_msg("docs/operations.md: %s: %s", fixed[i].row, cells[VALUE]);
        free(table);
    }
    _Static_assert(NET_NEIGHBOURS_PER_PEER == 2, "docs/operations.md says two");
}

static void test_numbers_in_the_texts_of_metrics_and_keys(void **state)
{
    static const struct {
        enum metric metric;
        long number;
    } texts[] = {
        {METRIC_connections_on_trial, NET_TRIALS_MAX},
        {METRIC_connections_stalled_total, STREAM_STALLED_MS / 1000},
        {METRIC_control_refused_total, LIMITS_CONTROL},
        {METRIC_origins_beyond_total, PRUNE_ORIGINS_MAX},
        {METRIC_places_local_waiting, LOCAL_QUESTIONS_MAX},
        {METRIC_places_refused_total, BROKER_QUESTIONS_MAX},
        {METRIC_notices_lost_total, NODE_NOTICES_MAX},
        {METRIC_leaves_beyond_total, WALK_LEAF_MAX},
        {METRIC_connections_cut_off_total, STREAM_LINGER_BYTES >> 20},
        {METRIC_turns_full_accepts_total, NET_ACCEPTS_PER_TURN},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!has_number(metrics_help(texts[i].metric), texts[i].number))
            fail_msg("%s: %s", metrics_name(texts[i].metric), metrics_help(texts[i].metric));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_words_of_the_table),
        cmocka_unit_test(test_each_row_names_a_metric),
        cmocka_unit_test(test_each_number_of_herd_conf_is_in_the_table),
        cmocka_unit_test(test_each_reason_is_in_the_table),
        cmocka_unit_test(test_numbers_are_written_as_in_texts),
        cmocka_unit_test(test_what_is_fixed_is_as_the_table_says),
        cmocka_unit_test(test_numbers_in_the_texts_of_metrics_and_keys),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
