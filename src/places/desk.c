/* desk_open -> (on_opened ->) calls -> desk_retire -> the last desk_leave -> on_closed */
#include "places/desk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

static void free_desk(struct desk *desk)
{
    free(desk->identity);
    free(desk->data_file);
    free(desk);
}

static void on_closed(void *arg)
{
    struct desk *desk = arg;
    const struct desk_owner *owner = desk->owner;
    assert(desk->calls == 0);
    free_desk(desk);
    owner->closed(owner->places);
}

void desk_close(struct desk *desk)
{
    if (desk == NULL || desk->is_closing)
        return;
    desk->is_closing = true;
    desk->provider->type->close(desk->provider, on_closed, desk);
}

void desk_retire(struct desk *desk)
{
    if (desk == NULL)
        return;
    desk->is_retired = true;
    if (desk->calls == 0)
        desk_close(desk);
}

void desk_leave(struct desk *desk)
{
    if (--desk->calls == 0 && desk->is_retired)
        desk_close(desk);
}

size_t desk_give_back(const struct desk *desk, size_t *kept_bytes)
{
    if (desk == NULL || desk->provider->type->give_back == NULL)
        return 0;
    return desk->provider->type->give_back(desk->provider, kept_bytes);
}

static struct places_options options_of(const struct desk_owner *owner,
                                        const struct provider_type *type,
                                        const struct config_values *values)
{
    return (struct places_options){
        .loop = owner->loop,
        .log = owner->log,
        .metrics = owner->metrics,
        .base_url = values->places_base_url,
        .key_file = values->places_key_file,
        .ca_file = values->places_ca_file,
        .data_file = values->places_data_file,
        .language = values->places_language,
        .price_class = values->places_price_class,
        .field_mask = values->places_field_mask,
        .memory_max_bytes = values->places_memory_max_mib << 20,
        .connect_timeout_ms = values->places_connect_timeout_ms,
        .total_timeout_ms = values->places_total_timeout_ms,
        .body_max_bytes = values->places_body_max_kib << 10,
        .json_depth_max = values->places_json_depth_max,
        .calls_max = type->is_remote ? values->places_calls_max : LOCAL_QUESTIONS_MAX,
    };
}

static void on_opened(void *arg, const char *error)
{
    struct desk *desk = arg;
    desk->is_opening = false;
    desk->owner->opened(desk, error);
}

static int open_provider(struct desk *desk, const struct provider_type *type,
                         const struct places_options *options, struct herd_buf *error)
{
    if (desk->identity == NULL || desk->data_file == NULL)
        return HERD_ENOMEM;
    if (desk->is_opening)
        return type->open_later(options, on_opened, desk, &desk->provider, error);
    return type->open(options, &desk->provider, error);
}

int desk_open(const struct desk_owner *owner, const struct provider_type *type,
              const struct config_values *values, bool is_later, struct desk **out,
              struct herd_buf *error)
{
    const struct places_options options = options_of(owner, type, values);
    struct desk *desk = malloc(sizeof *desk);
    if (desk == NULL)
        return HERD_ENOMEM;
    *desk = (struct desk){.owner = owner,
                          .places = owner->places,
                          .identity = provider_identity(type, &options),
                          .data_file = strdup(values->places_data_file),
                          .is_opening = is_later && type->open_later != NULL};
    int rc = open_provider(desk, type, &options, error);
    if (rc < 0) {
        free_desk(desk);
        return rc;
    }
    *out = desk;
    return 0;
}

bool desk_is_as_named(const struct desk *desk, const struct provider_type *type,
                      const struct config_values *values)
{
    return desk != NULL && desk->provider->type == type && type->refresh != NULL &&
           strcmp(desk->data_file, values->places_data_file) == 0;
}

void desk_refresh(struct desk *desk, const struct config_values *values)
{
    const struct provider_type *type = desk->provider->type;
    const struct places_options options = options_of(desk->owner, type, values);
    type->refresh(desk->provider, &options);
}
