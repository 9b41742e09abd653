/* web_url.h: the pieces a request is written from: the address of the API, numbers, escapes. */
#ifndef PLACES_WEB_URL_H
#define PLACES_WEB_URL_H

#include <herd/buf.h>

/*
 * Appends scheme, host and port of the API, without a slash at the end: `own` when base_url is "",
 * else those of base_url (`https://host`, `https://host:port`, `https://[v6]:port`, also with a
 * last `/`). http is taken for this machine alone (localhost, 127.0.0.0/8, [::1]), as for tests and
 * a local proxy: the key must not travel in clear. 0, HERD_ENOMEM, or HERD_EINVAL with a sentence
 * appended to `error`.
 */
int web_url_origin(const char *base_url, const char *own, struct herd_buf *out,
                   struct herd_buf *error);

/* Appends a decimal with at most 7 digits of fraction (1 cm of latitude), whatever the locale.
 * |number| <= 1e9. 0 or HERD_ENOMEM. */
int web_append_number(struct herd_buf *out, double number);

/* Appends with everything percent-encoded that RFC 3986 does not call unreserved. 0 or
 * HERD_ENOMEM. */
int web_append_escaped(struct herd_buf *out, const char *text);

#endif
