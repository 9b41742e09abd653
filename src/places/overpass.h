/* overpass.h: places of OpenStreetMap, from an Overpass server. */
#ifndef PLACES_OVERPASS_H
#define PLACES_OVERPASS_H

#include "places/web_client.h"

extern const struct provider_type provider_overpass;
extern const struct web_dialect overpass_dialect;

#endif
