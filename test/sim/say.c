/* What a phone says: IAMAT and WHATSAT of the clients that it speaks for, and things that nobody
 * understands. */
#include <assert.h>

#include "phone.h"
#include "words.h"

enum { EARLY_PERCENT = 90, KNOWN_TRIES = 32 };

struct phone_request *phone_add_request(struct phone *phone)
{
    assert(phone->count < PHONE_PENDING_MAX);
    uint32_t at = (phone->first + phone->count++) % PHONE_PENDING_MAX;
    struct phone_request *request = &phone->ring[at];
    struct herd_buf line = request->line;
    struct herd_buf text = request->text;
    line.len = text.len = 0;
    *request = (struct phone_request){
        .line = line, .text = text, .at_ns = phone->world->sim.now_ns, .number = ++phone->numbers};
    return request;
}

static void write_iamat(struct phone *phone, struct phone_request *request)
{
    struct world *world = phone->world;
    struct rng *rng = &world->rng;
    int64_t ns = world_wall_ns(world) + phone->skew_ns;
    request->iamat = true;
    if (phone->again.len > 0) {
        words_append(&request->line, herd_buf_slice(&phone->again));
        phone->again.len = 0;
        world->counts.resent++;
        return;
    }
    if (!world->options.tidy && rng_percent(rng, 10))
        ns -= rng_between(rng, 0, 20 * SIM_S); /* it was without a network for a while */
    struct model_client *client = &world->model.clients[rng_below(rng, world->options.ids)];
    words_append(&request->line, herd_slice_of("IAMAT "));
    words_append(&request->line, client->id);
    words_append(&request->line, herd_slice_of(" "));
    words_location(&request->line, rng, rng_percent(rng, world->options.fat_percent));
    words_append(&request->line, herd_slice_of(" "));
    words_time(&request->line, rng, ns);
}

/* WHATSAT … AFTER what it has been told itself, elsewhere. */
void phone_write_after(struct phone *phone)
{
    static const char *const waits[] = {"", "", "", " WAIT 0", " WAIT 200", " WAIT 5000"};
    struct rng *rng = &phone->world->rng;
    struct phone_request *request = phone_add_request(phone);
    const struct herd_record *own = &phone->acked->fields;
    request->after_ns = own->sent_ns;
    words_printf(&request->line, "WHATSAT %.*s 10 1 AFTER %.*s%s", (int)own->client.len,
                 own->client.data, (int)own->sent.len, own->sent.data, waits[rng_below(rng, 6)]);
}

/* A client that some server has heard of, if there is one soon to be found. */
static const struct model_client *pick_known(struct world *world)
{
    const struct model_client *client = NULL;
    for (int i = 0; i < KNOWN_TRIES && (client == NULL || client->newest_born == NULL); i++)
        client = &world->model.clients[rng_below(&world->rng, world->options.ids)];
    return client;
}

/* WHATSAT … AFTER this moment, of which no server knows: neighbours are asked, and say what they
 * have. */
static void write_early(struct phone *phone, struct phone_request *request)
{
    struct world *world = phone->world;
    struct rng *rng = &world->rng;
    const struct model_client *client = pick_known(world);
    struct herd_buf time = {0};
    words_time(&time, rng, world_wall_ns(world));
    request->after_ns = model_time(herd_buf_slice(&time));
    words_printf(&request->line, "WHATSAT %.*s 10 1 AFTER %.*s WAIT 200", (int)client->id.len,
                 client->id.data, (int)time.len, time.data);
    herd_buf_free(&time);
}

struct phone_request *phone_write_request(struct phone *phone)
{
    struct world *world = phone->world;
    struct rng *rng = &world->rng;
    struct phone_request *request = phone_add_request(phone);
    if (!world->options.tidy && rng_percent(rng, 3)) {
        if (rng_percent(rng, 80))
            words_append(&request->line, words_nonsense(rng));
    } else if (world->peace && world->ours[phone->server] && rng_percent(rng, EARLY_PERCENT)) {
        write_early(phone, request);
    } else if (phone->again.len > 0 || rng_percent(rng, world->options.iamat_percent)) {
        write_iamat(phone, request);
    } else {
        struct model_client *client = &world->model.clients[rng_below(rng, world->options.ids)];
        words_printf(&request->line, "WHATSAT %.*s%s%llu%s %llu", (int)client->id.len,
                     client->id.data, rng_percent(rng, 90) ? " " : " \t ",
                     (unsigned long long)rng_below(rng, 50), rng_percent(rng, 50) ? "" : ".5",
                     (unsigned long long)rng_below(rng, 21));
    }
    return request;
}
