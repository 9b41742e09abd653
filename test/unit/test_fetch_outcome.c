/* What libcurl's results and a server's Retry-After are taken for. */
#include "places/fetch_outcome.h"

#include <herd/err.h>

#include "testing.h"

static void test_codes(void **state)
{
    static const struct {
        CURLcode code;
        enum fetch_outcome outcome;
        int error;
    } rows[] = {
        {CURLE_OK, FETCH_ANSWERED, 0},
        {CURLE_COULDNT_RESOLVE_HOST, FETCH_NOT_RESOLVED, HERD_EIO},
        {CURLE_COULDNT_CONNECT, FETCH_NOT_CONNECTED, HERD_EIO},
        {CURLE_PEER_FAILED_VERIFICATION, FETCH_NOT_TRUSTED, HERD_EPROTO},
        {CURLE_SSL_CONNECT_ERROR, FETCH_NOT_TRUSTED, HERD_EPROTO},
        {CURLE_OPERATION_TIMEDOUT, FETCH_TIMED_OUT, HERD_ETIMEDOUT},
        {CURLE_FILESIZE_EXCEEDED, FETCH_TOO_LONG, HERD_ETOOLONG},
        {CURLE_OUT_OF_MEMORY, FETCH_WITHOUT_MEMORY, HERD_ENOMEM},
        {CURLE_GOT_NOTHING, FETCH_BROKEN, HERD_EPROTO}, /* and all others */
        {CURLE_RECV_ERROR, FETCH_BROKEN, HERD_EPROTO},
        {CURLE_HTTP2_STREAM, FETCH_BROKEN, HERD_EPROTO},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum fetch_outcome outcome = fetch_outcome_of(rows[i].code);
        if (outcome != rows[i].outcome || fetch_outcome_error(outcome) != rows[i].error)
            fail_msg("code %d: %s, error %d", rows[i].code, fetch_outcome_text(outcome),
                     fetch_outcome_error(outcome));
    }
}

static void test_every_outcome_has_a_text(void **state)
{
    (void)state;
    for (int i = 0; i < FETCH_OUTCOME_COUNT; i++) {
        const char *text = fetch_outcome_text((enum fetch_outcome)i);
        assert_non_null(text);
        assert_true(text[0] != '\0' && text[strlen(text) - 1] != '.');
        assert_true((fetch_outcome_error((enum fetch_outcome)i) < 0) == (i != FETCH_ANSWERED));
    }
}

static void test_retry_after(void **state)
{
    static const struct {
        const char *value;
        int64_t left_s, expected_ms;
    } rows[] = {
        {NULL, 0, -1},
        {"41", 41, 41000},
        {"0", 0, 0},
        {"99999999999", 99999999999, 86400000},
        {"86401", 86401, 86400000},
        {"Wed, 25 Nov 2026 10:00:00 GMT", 7, 7000},
        {"Wed, 25 Nov 2015 10:00:00 GMT", 0, 0},   /* over */
        {"Wed, 25 Nov 2015 10:00:00 GMT", -90, 0}, /* as some versions say */
        {"soon", 0, -1},
        {"", 0, -1},
        {"-1", 0, -1},
        {"1.5", 0, -1},
        {"12 s", 0, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ms = fetch_retry_after_ms(rows[i].value, rows[i].left_s);
        if (ms != rows[i].expected_ms)
            fail_msg("%s: %lld ms", rows[i].value != NULL ? rows[i].value : "(none)",
                     (long long)ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_every_outcome_has_a_text),
        cmocka_unit_test(test_retry_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
