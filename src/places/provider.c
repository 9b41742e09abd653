#include "places/provider.h"

#include "places/google.h"
#include "places/local.h"
#include "places/overpass.h"

/* The providers that herd.conf may name. */
static const struct provider_type *const providers[] = {
    &provider_local,
    &provider_google,
    &provider_google_legacy,
    &provider_overpass,
};

enum { PROVIDER_COUNT = sizeof providers / sizeof providers[0] };

const struct provider_type *provider_find(const char *name)
{
    for (size_t i = 0; i < PROVIDER_COUNT; i++) {
        if (strcmp(providers[i]->name, name) == 0)
            return providers[i];
    }
    return NULL;
}

const char *provider_name(size_t i)
{
    return i < PROVIDER_COUNT ? providers[i]->name : NULL;
}
