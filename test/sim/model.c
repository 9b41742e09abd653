#include <assert.h>
#include <stdlib.h>

#include "model.h"

static uint32_t hash_of(struct herd_slice id)
{
    uint64_t hash = id.len;
    for (size_t at = 0; at < id.len; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        size_t left = id.len - at;
        memcpy(&word, id.data + at, left < sizeof(word) ? left : sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return (uint32_t)hash;
}

void model_init(struct model *model, struct sim *sim, uint32_t servers, uint32_t clients,
                const struct herd_slice *ids, int64_t max_skew_ns)
{
    *model = (struct model){
        .sim = sim, .client_count = clients, .server_count = servers, .max_skew_ns = max_skew_ns};
    model->table_mask = 15;
    while (model->table_mask < clients * 2)
        model->table_mask = model->table_mask * 2 + 1;
    model->clients = sim_alloc(clients, sizeof(*model->clients));
    model->held = sim_alloc((size_t)servers * clients, sizeof(struct model_record *));
    model->sequences = sim_alloc((size_t)servers * clients, sizeof(uint64_t));
    model->ever = sim_alloc((size_t)servers * clients, sizeof(struct model_record *));
    model->disk = sim_alloc((size_t)servers * clients, sizeof(struct model_record *));
    model->let_go_ns = sim_alloc((size_t)servers * clients, sizeof(int64_t));
    model->table = sim_alloc((size_t)model->table_mask + 1, sizeof(*model->table));
    for (uint32_t i = 0; i < clients; i++) {
        char *id = sim_alloc(ids[i].len, 1);
        memcpy(id, ids[i].data, ids[i].len);
        model->clients[i].id = herd_slice(id, ids[i].len);
        uint32_t at = hash_of(ids[i]) & model->table_mask;
        while (model->table[at] != 0)
            at = (at + 1) & model->table_mask;
        model->table[at] = i + 1;
    }
}

void model_close(struct model *model)
{
    for (uint32_t i = 0; i < model->client_count; i++) {
        struct model_client *client = &model->clients[i];
        while (client->newest_born != NULL) {
            struct model_record *record = client->newest_born;
            client->newest_born = record->older;
            free(record);
        }
        free((char *)(uintptr_t)client->id.data);
    }
    free(model->clients);
    free(model->held);
    free(model->sequences);
    free(model->ever);
    free(model->disk);
    free(model->let_go_ns);
    free(model->table);
}

uint32_t model_client(const struct model *model, struct herd_slice id)
{
    uint32_t at = hash_of(id) & model->table_mask;
    while (model->table[at] != 0) {
        uint32_t client = model->table[at] - 1;
        if (herd_slice_equal(id, model->clients[client].id))
            return client;
        at = (at + 1) & model->table_mask;
    }
    return MODEL_NOBODY;
}

/* Digits beyond the ninth do not count. */
int64_t model_time(struct herd_slice text)
{
    int64_t ns = 0;
    int decimals = -1;
    for (size_t i = 0; i < text.len && decimals < 9; i++) {
        if (text.data[i] == '.')
            decimals = 0;
        else
            ns = ns * 10 + (text.data[i] - '0');
        if (decimals >= 0 && text.data[i] != '.')
            decimals++;
    }
    for (int i = decimals < 0 ? 0 : decimals; i < 9; i++)
        ns *= 10;
    return ns;
}

/* Seconds with 9 decimals, and a NUL. */
static void write_seconds(char *out, uint64_t ns)
{
    uint64_t unit = 1000000000;
    while (ns / unit >= 10)
        unit *= 10;
    for (; unit > 0; unit /= 10) {
        if (unit == 100000000)
            *out++ = '.';
        *out++ = (char)('0' + ns / unit % 10);
    }
    *out = '\0';
}

/* One field of the canonical text, and a space behind it. */
static struct herd_slice put(char **at, struct herd_slice field)
{
    struct herd_slice copy = herd_slice(*at, field.len);
    memcpy(*at, field.data, field.len);
    (*at)[field.len] = ' ';
    *at += field.len + 1;
    return copy;
}

/* A record whose canonical text and AT line are its own. */
static struct model_record *write_record(const struct herd_record *fields)
{
    const struct herd_slice parts[] = {fields->client,   fields->location, fields->sent,
                                       fields->received, fields->origin,   fields->diff};
    size_t room = sizeof("AT \n");
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        room += 2 * (parts[i].len + 1);
    struct model_record *record = sim_alloc(1, sizeof(*record) + room);
    struct herd_record *own = &record->fields;
    char *at = record->bytes;
    *own = *fields;
    own->client = put(&at, fields->client);
    own->location = put(&at, fields->location);
    own->sent = put(&at, fields->sent);
    own->received = put(&at, fields->received);
    own->origin = put(&at, fields->origin);
    own->diff = put(&at, fields->diff);
    record->text = herd_slice(record->bytes, (size_t)(at - record->bytes) - 1);

    const struct herd_slice words[] = {herd_slice_of("AT"), own->origin,   own->diff,
                                       own->client,         own->location, own->sent};
    char *begin = at;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        put(&at, words[i]);
    at[-1] = '\n';
    record->at = herd_slice(begin, (size_t)(at - begin));
    return record;
}

struct model_record *model_birth(struct model *model, uint32_t server, uint32_t client,
                                 struct herd_slice origin, struct herd_slice location,
                                 struct herd_slice sent, int64_t received_ns)
{
    struct model_client *who = &model->clients[client];
    int64_t sent_ns = model_time(sent);
    int64_t diff_ns = received_ns - sent_ns;
    char received[32], diff[32];
    diff[0] = diff_ns < 0 ? '-' : '+';
    write_seconds(diff + 1, diff_ns < 0 ? -(uint64_t)diff_ns : (uint64_t)diff_ns);
    write_seconds(received, (uint64_t)received_ns);
    struct model_record *record =
        write_record(&(struct herd_record){.client = who->id,
                                           .location = location,
                                           .sent = sent,
                                           .received = herd_slice_of(received),
                                           .origin = origin,
                                           .diff = herd_slice_of(diff),
                                           .sent_ns = sent_ns,
                                           .received_ns = received_ns});
    model->births++;
    struct model_record *twin = who->newest_born;
    while (twin != NULL && !herd_slice_equal(twin->text, record->text))
        twin = twin->born_ns == model->sim->now_ns ? twin->older : NULL;
    if (twin != NULL) {
        free(record);
        return twin; /* the same line again, at the same time */
    }
    record->client = client;
    record->taker = server;
    record->born_ns = model->sim->now_ns;
    record->order_ns = sent_ns;
    if (model->max_skew_ns > 0 && sent_ns > received_ns + model->max_skew_ns)
        record->order_ns = received_ns + model->max_skew_ns;
    record->older = who->newest_born;
    who->newest_born = record;
    who->records++;
    return record;
}

struct model_record *model_find(const struct model *model, struct herd_slice text)
{
    const char *space = text.len > 0 ? memchr(text.data, ' ', text.len) : NULL;
    if (space == NULL)
        return NULL;
    uint32_t client = model_client(model, herd_slice(text.data, (size_t)(space - text.data)));
    if (client == MODEL_NOBODY)
        return NULL;
    struct model_record *record = model->clients[client].newest_born;
    while (record != NULL && !herd_slice_equal(text, record->text))
        record = record->older;
    return record;
}

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

int model_compare(const struct model_record *a, const struct model_record *b)
{
    const struct herd_record *x = &a->fields;
    const struct herd_record *y = &b->fields;
    const int orders[] = {
        compare_numbers(a->order_ns, b->order_ns),
        herd_slice_compare(x->origin, y->origin),
        herd_slice_compare(x->location, y->location),
        compare_numbers(x->received_ns, y->received_ns),
        herd_slice_compare(x->sent, y->sent),
        herd_slice_compare(x->received, y->received),
        herd_slice_compare(x->diff, y->diff),
    };
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        if (orders[i] != 0)
            return orders[i];
    }
    return 0;
}

static size_t place_of(const struct model *model, uint32_t server, uint32_t client)
{
    return (size_t)server * model->client_count + client;
}

static struct model_record **place(const struct model *model, uint32_t server, uint32_t client)
{
    return &model->held[place_of(model, server, client)];
}

struct model_record *model_held(const struct model *model, uint32_t server, uint32_t client)
{
    return *place(model, server, client);
}

struct model_record *model_on_disk(const struct model *model, uint32_t server, uint32_t client)
{
    return model->disk[place_of(model, server, client)];
}

bool model_is_news(const struct model *model, uint32_t server, const struct model_record *record)
{
    const struct model_record *held = *place(model, server, record->client);
    return held == NULL ||
           (held != record &&
            (record->order_ns > held->order_ns ||
             (record->order_ns == held->order_ns && model_compare(record, held) > 0)));
}

uint64_t model_sequence(const struct model *model, uint32_t server, uint32_t client)
{
    return model->sequences[place_of(model, server, client)];
}

void model_keep(struct model *model, uint32_t server, struct model_record *record,
                uint64_t sequence)
{
    struct model_record **held = place(model, server, record->client);
    if (*held != NULL)
        (*held)->holders--;
    *held = record;
    model->sequences[place_of(model, server, record->client)] = sequence;
    record->holders++;
    record->kept_ns = model->sim->now_ns;
    struct model_record **ever = &model->ever[place_of(model, server, record->client)];
    if (*ever == NULL || model_compare(record, *ever) > 0)
        *ever = record;
}

bool model_is_spread(const struct model *model, uint32_t server, const struct model_record *record)
{
    for (uint32_t i = 0; i < model->server_count; i++) {
        const struct model_record *ever = model->ever[place_of(model, i, record->client)];
        if (i != server && ever != NULL && model_compare(ever, record) >= 0)
            return true;
    }
    return false;
}

struct model_record *model_newest(const struct model *model, uint32_t client, const bool *servers)
{
    struct model_record *newest = NULL;
    for (uint32_t i = 0; i < model->server_count; i++) {
        struct model_record *held = servers == NULL || servers[i] ? *place(model, i, client) : NULL;
        if (held != NULL && (newest == NULL || model_compare(held, newest) > 0))
            newest = held;
    }
    return newest;
}

/* It has ended, or what has replaced it. */
static bool is_over(const struct model *model, const struct model_record *record)
{
    const struct model_record *ended = model->clients[record->client].ended;
    return ended != NULL && model_compare(ended, record) >= 0;
}

/* In memory or on a disk. */
static struct model_record *newest_anywhere(const struct model *model, uint32_t client)
{
    struct model_record *newest = model_newest(model, client, NULL);
    for (uint32_t i = 0; i < model->server_count; i++) {
        struct model_record *written = model_on_disk(model, i, client);
        if (written != NULL && !is_over(model, written) &&
            (newest == NULL || model_compare(written, newest) > 0))
            newest = written;
    }
    return newest;
}

/* What was promised is kept by nobody any more: the newest that is left is all that can be asked
 * for. */
static void lower_promise(struct model *model, uint32_t client)
{
    struct model_record **promised = &model->clients[client].promised;
    struct model_record *newest = newest_anywhere(model, client);
    if (*promised == NULL || (newest != NULL && model_compare(newest, *promised) >= 0))
        return;
    model->lost++;
    *promised = newest;
}

void model_forget(struct model *model, uint32_t server)
{
    for (uint32_t client = 0; client < model->client_count; client++) {
        struct model_record **held = place(model, server, client);
        if (*held == NULL)
            continue;
        (*held)->holders--;
        *held = NULL;
        lower_promise(model, client);
    }
}

static void end(struct model *model, struct model_record *record)
{
    struct model_client *client = &model->clients[record->client];
    struct model_record **promised = &client->promised;
    record->ended = true;
    if (client->ended == NULL || model_compare(record, client->ended) > 0)
        client->ended = record;
    if (*promised != NULL && model_compare(*promised, record) <= 0)
        *promised = NULL; /* itself, or what it has replaced */
}

void model_let_go(struct model *model, uint32_t server, struct model_record *record)
{
    end(model, record);
    record->let_go_by |= UINT64_C(1) << server % 64;
    record->let_go_ns = model->sim->now_ns;
    model->let_go_ns[place_of(model, server, record->client)] = model->sim->now_ns;
}

int64_t model_let_go_ns(const struct model *model, uint32_t server, uint32_t client)
{
    return model->let_go_ns[place_of(model, server, client)];
}

void model_drop(struct model *model, uint32_t server, uint32_t client)
{
    struct model_record **held = place(model, server, client);
    model_let_go(model, server, *held);
    (*held)->holders--;
    *held = NULL;
}

void model_write(struct model *model, uint32_t server, struct model_record *record)
{
    struct model_record **written = &model->disk[place_of(model, server, record->client)];
    if (*written == NULL || (*written)->ended || model_compare(record, *written) > 0)
        *written = record;
}

void model_put_disk(struct model *model, uint32_t server, struct model_record *const *all)
{
    for (uint32_t client = 0; client < model->client_count; client++) {
        model->disk[place_of(model, server, client)] = all != NULL ? all[client] : NULL;
        lower_promise(model, client);
    }
}

void model_acknowledge(struct model *model, struct model_record *record)
{
    struct model_record **promised = &model->clients[record->client].promised;
    model->acknowledged++;
    if (is_over(model, record))
        return;
    if (*promised == NULL || model_compare(record, *promised) > 0)
        *promised = record;
    if ((*promised)->holders == 0)
        lower_promise(model, record->client);
}
