#include "places/local_build.h"

#include <herd/err.h>

#include "places/local_table.h"
#include "places/local_writer.h"

static int add_table(struct local_writer *writer, const char *path, struct herd_buf *error)
{
    struct local_table *table;
    int rc = local_table_open(path, &table, error);
    if (rc < 0)
        return rc;
    rc = local_writer_begin_source(writer);
    struct local_row row;
    while (rc == 0 && (rc = local_table_next(table, &row, error)) > 0)
        rc = local_writer_add(writer, &row);
    if (rc == 0)
        rc = local_writer_end_source(writer, local_table_head(table));
    local_table_close(table);
    return rc;
}

int local_build(const char *path, const char *const *tables, size_t count, int64_t *places,
                struct herd_buf *error)
{
    struct local_writer *writer;
    *places = 0;
    int rc = local_writer_open(path, &writer, error);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = add_table(writer, tables[i], error);
    *places = local_writer_places(writer);
    if (rc == 0)
        return local_writer_publish(writer, NULL, NULL);
    local_writer_drop(writer);
    return rc;
}
