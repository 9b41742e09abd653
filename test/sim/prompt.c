/* In a herd that nothing befalls, answers come within a second, besides what the network takes, and
 * the disk to write what neighbours have brought. */
#include "phone.h"
#include "server.h"

enum {
    ANSWER_MAX_MS = 1000,
    WAYS = 4 /* of an answer: the line, what is told a neighbour, its ACK, the AT */
};

bool phone_is_undisturbed(const struct phone *phone, int64_t since_ns)
{
    const struct server *server = phone->world->servers[phone->server];
    return server != NULL && server->node != NULL && !server->stopping &&
           server->lives == phone->life && server->disturbed_ns < since_ns && phone->up &&
           !phone->end->wire->hole && !server_doubts(server);
}

static int64_t flooded_ns(const struct phone *phone)
{
    const struct server *server = phone->world->servers[phone->server];
    return server != NULL && server->disk != NULL ? brought_flooded_ns(server->disk) : INT64_MIN;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void phone_check_prompt(const struct phone *phone, const struct phone_request *request)
{
    struct world *world = phone->world;
    int64_t now_ns = world->sim.now_ns;
    if (world->calm_ns == SIM_NEVER || phone->deaf || request->waited)
        return;
    int64_t since_ns = later(world->calm_ns, later(request->at_ns, phone->hopeful_ns));
    since_ns = later(since_ns, flooded_ns(phone));
    int64_t most_ns = ANSWER_MAX_MS * SIM_MS + WAYS * net_way_max_ns(&world->net);
    if (now_ns - since_ns <= most_ns || !phone_is_undisturbed(phone, since_ns))
        return;
    sim_fail(&world->sim, SIM_PROMPT, "%s has waited %.3f s for %s's answer to `%.*s`, not %.3f",
             phone->name, (double)(now_ns - since_ns) / (double)SIM_S,
             world->hosts[phone->server]->name, (int)request->line.len, request->line.data,
             (double)most_ns / (double)SIM_S);
}
