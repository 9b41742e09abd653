/* How the server opens its places. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <herd/err.h>

#include "server/room.h"

/* Without a folder the calls of the day are kept nowhere: a cap that a restart forgets is none, so
 * a folder that cannot be made is a reason not to start. */
static int find_folder(const struct server *server, struct herd_buf *path, struct herd_buf *error)
{
    const char *data_dir = server->config->values.data_dir;
    int rc = data_dir[0] != '\0' ? server_folder(server, path, error) : 0;
    return rc < 0 ? rc : herd_buf_append(path, "", 1);
}

int server_open_places(struct server *server, struct herd_buf *error)
{
    struct herd_buf folder = {0};
    struct places_setup setup = {
        .loop = &server->loop,
        .log = server->log,
        .metrics = &server->metrics,
        .values = &server->config->values,
    };
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
