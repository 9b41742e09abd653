/* The host that sends FLOODs of some time ago again. */
#include "words.h"
#include "world.h"

static void on_stranger_dialled(void *owner, struct net_end *end, const char *failure)
{
    struct model_record *record = end->data;
    struct herd_buf line = {0};
    (void)owner;
    if (failure != NULL)
        return;
    words_append(&line, herd_slice_of("FLOOD stranger "));
    words_append(&line, record->text);
    words_append(&line, herd_slice_of("\n"));
    net_write(end, line.data, line.len);
    net_close(end);
    herd_buf_free(&line);
}

static void on_stranger_bytes(void *owner, struct net_end *end, const char *data, size_t len)
{
    (void)owner;
    (void)end;
    (void)data;
    (void)len;
}

static void on_stranger_end(void *owner, struct net_end *end)
{
    (void)owner;
    (void)end;
}

static void on_stranger_wrote(void *owner, struct net_end *end, size_t len)
{
    (void)owner;
    (void)end;
    (void)len;
}

static void on_stranger_closed(void *owner, struct net_end *end, const char *reason)
{
    (void)owner;
    (void)end;
    (void)reason;
}

static const struct net_actor stranger_actor = {.on_dialled = on_stranger_dialled,
                                                .on_bytes = on_stranger_bytes,
                                                .on_end = on_stranger_end,
                                                .on_wrote = on_stranger_wrote,
                                                .on_closed = on_stranger_closed};

void fault_make_stranger(struct world *world, uint32_t index)
{
    world->stranger = (struct net_host){
        .name = "stranger", .actor = &stranger_actor, .net = &world->net, .index = index};
}
