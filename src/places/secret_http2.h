/* secret_http2.h: keeps what libcurl's HTTP/2 copies, the API key among it, in secret memory. */
#ifndef PLACES_SECRET_HTTP2_H
#define PLACES_SECRET_HTTP2_H

#include <stdbool.h>

/* Whether it does in this program; if not, HTTP/2 must not be used with a key. */
bool secret_http2_works(void);

#endif
