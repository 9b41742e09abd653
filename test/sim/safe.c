/* What the answer to an IAMAT promises: that its record is where the durability says. */
#include "phone.h"
#include "server.h"

enum {
    ENDING_S = 10, /* before its end, a record need be nowhere else any more */
    WAY_S = 1      /* what an answer takes from the server to the phone */
};

/* By the clock of the server that answered, which may have been set since. */
static bool is_ending(const struct server *server, const struct phone_request *request,
                      const struct model_record *record)
{
    int64_t answered_ns = server->world->sim.now_ns - WAY_S * SIM_S;
    int64_t since_ns = request->at_ns > answered_ns ? request->at_ns : answered_ns;
    int64_t latest_ns = server_latest_ns(server, since_ns);
    int64_t end_ns = record->fields.received_ns + server->world->options.record_ttl_ns;
    return end_ns <= latest_ns + ENDING_S * SIM_S;
}

/* Whether it has ended there, or one that has replaced it. What a server has let go because its
 * clock was ahead comes back from its disk, and no sequence tells. */
static bool may_be_nowhere(const struct server *server, const struct phone_request *request)
{
    const struct model *model = &server->world->model;
    const struct model_record *kept = request->kept;
    const struct model_record *other = model->clients[kept->client].newest_born;
    bool let_go = (kept->let_go_by >> server->index % 64 & 1) != 0;
    bool ending = let_go && kept->let_go_ns < request->at_ns;
    if (server->world->options.record_ttl_ns == 0)
        return false;
    for (; other != NULL && !ending; other = other->older)
        ending = model_compare(other, kept) >= 0 && is_ending(server, request, other);
    return ending;
}

/* An IAMAT was answered: so it has to be where its durability says; or what stood in its way then,
 * if that was newer. */
void phone_check_safe(struct phone *phone, const struct phone_request *request)
{
    struct world *world = phone->world;
    struct server *server = world->servers[phone->server];
    struct model_record *kept = request->kept;
    if (server == NULL || may_be_nowhere(server, request))
        return;
    if (world->options.durability == HERD_DURABILITY_COMMIT &&
        server->disk->lives == request->disk_lives)
        disk_on_answered(server->disk, kept);
    if (world->options.durability == HERD_DURABILITY_HERD &&
        !model_is_spread(&world->model, server->index, kept))
        sim_fail(&world->sim, SIM_SPREAD, "%s has answered, and nobody else has held %.*s",
                 server->name, (int)kept->text.len, kept->text.data);
}
