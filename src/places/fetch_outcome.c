#include "places/fetch_outcome.h"

#include <string.h>

#include <herd/err.h>

enum { RETRY_AFTER_MAX_S = 24 * 60 * 60 };

static const struct {
    const char *text;
    int error;
} outcomes[] = {
#define FETCH_OUTCOME_ROW(name, error, text) [name] = {text, error},
    FETCH_OUTCOME_TABLE(FETCH_OUTCOME_ROW)
#undef FETCH_OUTCOME_ROW
};

const char *fetch_outcome_text(enum fetch_outcome outcome)
{
    return outcomes[outcome].text;
}

int fetch_outcome_error(enum fetch_outcome outcome)
{
    return outcomes[outcome].error;
}

enum fetch_outcome fetch_outcome_of(CURLcode code)
{
    static const struct {
        CURLcode code;
        enum fetch_outcome outcome;
    } table[] = {
        {CURLE_OK, FETCH_ANSWERED},
        {CURLE_COULDNT_RESOLVE_HOST, FETCH_NOT_RESOLVED},
        {CURLE_COULDNT_CONNECT, FETCH_NOT_CONNECTED},
        {CURLE_URL_MALFORMAT, FETCH_NOT_CONNECTED},
        {CURLE_SSL_CONNECT_ERROR, FETCH_NOT_TRUSTED},
        {CURLE_SSL_CERTPROBLEM, FETCH_NOT_TRUSTED},
        {CURLE_SSL_CIPHER, FETCH_NOT_TRUSTED},
        {CURLE_PEER_FAILED_VERIFICATION, FETCH_NOT_TRUSTED},
        {CURLE_SSL_CACERT_BADFILE, FETCH_NOT_TRUSTED},
        {CURLE_SSL_ISSUER_ERROR, FETCH_NOT_TRUSTED},
        {CURLE_OPERATION_TIMEDOUT, FETCH_TIMED_OUT},
        {CURLE_FILESIZE_EXCEEDED, FETCH_TOO_LONG},
        {CURLE_OUT_OF_MEMORY, FETCH_WITHOUT_MEMORY},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].code == code)
            return table[i].outcome;
    }
    return FETCH_BROKEN;
}

int64_t fetch_retry_after_ms(const char *value, int64_t left_s)
{
    if (value == NULL)
        return -1;
    if (left_s > 0)
        return (left_s < RETRY_AFTER_MAX_S ? left_s : RETRY_AFTER_MAX_S) * 1000;
    size_t digits = strspn(value, "0123456789");
    bool is_number = digits > 0 && value[digits] == '\0';
    return is_number || curl_getdate(value, NULL) != -1 ? 0 : -1;
}
