#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <strings.h>

#include <curl/curl.h>

#include <herd/err.h>

#include "places/web_url.h"

/* `host` as libcurl gives it: numbers normalised (127.1 is 127.0.0.1), IPv6 in brackets. */
static bool is_loopback(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

struct url_parts {
    char *scheme, *host, *port, *path;
};

static void free_parts(struct url_parts *parts)
{
    curl_free(parts->scheme);
    curl_free(parts->host);
    curl_free(parts->port);
    curl_free(parts->path);
}

static bool has(CURLU *url, CURLUPart which)
{
    char *part = NULL;
    bool is_there = curl_url_get(url, which, &part, 0) == CURLUE_OK;
    curl_free(part);
    return is_there;
}

/* What keeps `base_url` from being one, or NULL with its parts. */
static const char *why_no_base(CURLU *url, const char *base_url, struct url_parts *parts)
{
    if (curl_url_set(url, CURLUPART_URL, base_url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &parts->scheme, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &parts->host, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PATH, &parts->path, 0) != CURLUE_OK)
        return "not a URL; it should look like https://places.example.org:8443";
    curl_url_get(url, CURLUPART_PORT, &parts->port, 0); /* missing: the scheme's own */
    if (strcmp(parts->scheme, "https") != 0 && strcmp(parts->scheme, "http") != 0)
        return "only https (and http on this machine) is spoken";
    if (strcmp(parts->path, "/") != 0 || has(url, CURLUPART_QUERY) || has(url, CURLUPART_FRAGMENT))
        return "it replaces scheme, host and port only; leave the rest away";
    if (has(url, CURLUPART_USER) || has(url, CURLUPART_PASSWORD))
        return "a user name or password has no place in it; the key is in key_file";
    if (strcmp(parts->scheme, "http") == 0 && !is_loopback(parts->host))
        return "http would show the API key to the network; only hosts of this machine "
               "(localhost, 127.0.0.1, [::1]) may be asked over http, others over https";
    return NULL;
}

static int append_origin(CURLU *url, const char *base_url, struct herd_buf *out,
                         struct herd_buf *error)
{
    struct url_parts parts = {0};
    const char *why = why_no_base(url, base_url, &parts);
    int rc = HERD_EINVAL;
    if (why != NULL)
        herd_buf_printf(error, "base_url: %s", why);
    else
        rc = herd_buf_printf(out, "%s://%s%s%s", parts.scheme, parts.host,
                             parts.port != NULL ? ":" : "", parts.port != NULL ? parts.port : "");
    free_parts(&parts);
    return rc;
}

int web_url_origin(const char *base_url, const char *own, struct herd_buf *out,
                   struct herd_buf *error)
{
    if (base_url[0] == '\0')
        return herd_buf_append_text(out, own);
    CURLU *url = curl_url();
    if (url == NULL)
        return HERD_ENOMEM;
    int rc = append_origin(url, base_url, out, error);
    curl_url_cleanup(url);
    return rc;
}

int web_append_number(struct herd_buf *out, double number)
{
    assert(fabs(number) <= 1e9);
    const int64_t unit = 10000000;
    int64_t scaled = llround(number * (double)unit);
    int64_t whole = scaled / unit, fraction = scaled % unit;
    int rc = herd_buf_printf(out, "%s%" PRId64 ".%07" PRId64, scaled < 0 ? "-" : "",
                             whole < 0 ? -whole : whole, fraction < 0 ? -fraction : fraction);
    if (rc < 0)
        return rc;
    /* One digit of fraction stays. */
    while (out->data[out->len - 1] == '0' && out->data[out->len - 2] != '.')
        out->len--;
    return 0;
}

int web_append_escaped(struct herd_buf *out, const char *text)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-._~";
    int rc = 0;
    for (; rc == 0 && *text != '\0'; text++) {
        if (strchr(unreserved, *text) != NULL)
            rc = herd_buf_append(out, text, 1);
        else
            rc = herd_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
    return rc;
}
