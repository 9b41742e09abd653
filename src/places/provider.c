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

char *provider_identity(const struct provider_type *type, const struct places_options *options)
{
    const char *const parts[] = {type->name,        options->base_url,    options->ca_file,
                                 options->language, options->price_class, options->field_mask};
    struct herd_buf text = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof parts / sizeof parts[0]; i++)
        rc = herd_buf_printf(&text, "%s\n", parts[i]); /* no value has a newline */
    if (rc == 0)
        rc = herd_buf_append(&text, "", 1);
    if (rc < 0)
        herd_buf_free(&text);
    return text.data;
}

const char *provider_name(size_t i)
{
    return i < PROVIDER_COUNT ? providers[i]->name : NULL;
}
