#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <herd/err.h>

#include "places/local.h"

static const char beside_program[] = "/../share/herd/places.db";

/* The path beside the running program, terminated; false when there is no such file. */
static bool find_beside_program(char *path, size_t size)
{
    ssize_t len = readlink("/proc/self/exe", path, size - sizeof beside_program);
    if (len <= 0 || (size_t)len == size - sizeof beside_program)
        return false;
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return false;
    memcpy(slash, beside_program, sizeof beside_program);
    return access(path, R_OK) == 0;
}

int places_default_file(struct herd_buf *out)
{
    char path[PATH_MAX];
    bool beside = find_beside_program(path, sizeof path);
    return herd_buf_append_text(out, beside ? path : HERD_PLACES_FILE);
}

int places_file_path(const char *data_file, char **out)
{
    struct herd_buf path = {0};
    int rc =
        data_file[0] != '\0' ? herd_buf_append_text(&path, data_file) : places_default_file(&path);
    if (rc == 0)
        rc = herd_buf_append(&path, "", 1);
    if (rc < 0)
        herd_buf_free(&path);
    *out = path.data;
    return rc;
}

void places_file_advise(int rc, const char *data_file, struct herd_buf *error)
{
    bool is_named = data_file[0] != '\0';
    if (rc == HERD_ENOTFOUND)
        herd_buf_append_text(error, is_named
                                        ? ": make it with `herd-places import`, or leave data_file "
                                          "empty for the data set installed with herd"
                                        : ": install herd's data set, or name another places file "
                                          "with data_file in herd.conf");
    else if (error->len > 0 && is_named)
        herd_buf_append_text(error, " (herd.conf names it with data_file)");
}
