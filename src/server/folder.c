/* The folder of a server in data_dir. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <herd/err.h>

#include "server/room.h"

static int make_folder(const char *path, struct herd_buf *error)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    herd_buf_printf(error, "data_dir: cannot make the folder %s: %s", path, strerror(errno));
    return HERD_EIO;
}

int server_folder(const struct server *server, struct herd_buf *path, struct herd_buf *error)
{
    const char *data_dir = server->config->values.data_dir;
    if (make_folder(data_dir, error) < 0)
        return HERD_EIO;
    if (herd_buf_printf(path, "%s/%s", data_dir, server->self->name) < 0)
        return HERD_ENOMEM;
    return make_folder(path->data, error);
}
