/* How the server opens its places. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <herd/err.h>

#include "places/broker.h"
#include "places/desk.h"
#include "server/room.h"

_Static_assert((int)LIMITS_QUESTIONS == LOCAL_QUESTIONS_MAX, "as the log says");
_Static_assert((int)LIMITS_HELD == BROKER_QUESTIONS_MAX, "as the log says");

/* Without a folder the calls of the day are kept nowhere: a cap that a restart forgets is none, so
 * a folder that cannot be made is a reason not to start. */
static int find_folder(const struct server *server, struct herd_buf *path, struct herd_buf *error)
{
    const char *data_dir = server->config->values.data_dir;
    int rc = data_dir[0] != '\0' ? server_folder(server, path, error) : 0;
    return rc < 0 ? rc : herd_buf_append(path, "", 1);
}

static void on_limited(void *arg, enum places_limit limit)
{
    static const enum limit limits[PLACES_LIMIT_COUNT] = {
        [PLACES_LIMIT_LOCAL] = LIMIT_QUESTIONS,
        [PLACES_LIMIT_HELD] = LIMIT_HELD,
        [PLACES_LIMIT_WAITING] = LIMIT_WAITING,
        [PLACES_LIMIT_CLIENT] = LIMIT_CLIENT_CALLS,
    };
    const struct server *server = arg;
    net_count_limit(server->net, limits[limit]);
}

int server_open_places(struct server *server, struct herd_buf *error)
{
    struct herd_buf folder = {0};
    struct places_setup setup = {
        .loop = &server->loop,
        .log = server->log,
        .metrics = &server->metrics,
        .values = &server->config->values,
        .limited = on_limited,
        .arg = server,
    };
    server->questions = (struct blocks){.size = sizeof(struct question), .max = PLACES_SPARES_MAX};
    int rc = find_folder(server, &folder, error);
    if (rc == 0 && getrandom(&setup.seed, sizeof setup.seed, 0) != sizeof setup.seed) {
        herd_buf_printf(error, "no random numbers: %s", strerror(errno));
        rc = HERD_EIO;
    }
    if (rc == 0) {
        setup.folder = folder.data;
        rc = places_open(&setup, &server->places, error);
    }
    herd_buf_free(&folder);
    return rc;
}
