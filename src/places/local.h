/* local.h: places from a SQLite file on this machine, with an R*Tree; no key, no network. */
#ifndef PLACES_LOCAL_H
#define PLACES_LOCAL_H

#include "places/provider.h"

extern const struct provider_type provider_local;

#endif
