/* google.h: places from Google: the Places API (New), and the legacy one of older projects. */
#ifndef PLACES_GOOGLE_H
#define PLACES_GOOGLE_H

#include "places/web_client.h"

extern const struct provider_type provider_google;
extern const struct provider_type provider_google_legacy;

extern const struct web_dialect google_dialect_new;
extern const struct web_dialect google_dialect_legacy;

#endif
