#include "places/local_table.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include <herd/err.h>

#include "base/utf8.h"
#include "places/local_db.h"

enum { LINE_MAX_BYTES = 16384, READ_BUFFER_BYTES = 1 << 17 };
enum { POPULATION_MAX = 2000000000, EXTENT_MAX_M = 20000000 };

static const char magic_key[] = "herd-places";
static const char magic_version[] = "1";
static const char columns_key[] = "columns";
static const char columns_text[] =
    "place_id\tname\tlatitude\tlongitude\ttypes\tkind\tcountry\tpopulation\textent_m\tvicinity";

enum column {
    PLACE_ID,
    NAME,
    LATITUDE,
    LONGITUDE,
    TYPES,
    KIND,
    COUNTRY,
    POPULATION,
    EXTENT,
    VICINITY,
    COLUMN_COUNT
};

struct local_table {
    char *path;
    gzFile file;
    long line_number;
    char *line;   /* LINE_MAX_BYTES */
    bool pending; /* `line` was read ahead and belongs to the next row */
    struct local_table_head head;
};

static int reject(const struct local_table *table, struct herd_buf *error, const char *what)
{
    herd_buf_printf(error, "%s:%ld: %s", table->path, table->line_number, what);
    return HERD_ESYNTAX;
}

void local_table_close(struct local_table *table)
{
    if (table == NULL)
        return;
    if (table->file != NULL)
        gzclose_r(table->file);
    free(table->head.name);
    free(table->head.attribution);
    free(table->head.licence);
    free(table->head.version);
    free(table->path);
    free(table->line);
    free(table);
}

const struct local_table_head *local_table_head(const struct local_table *table)
{
    return &table->head;
}

/* The next line, without its LF. 1, 0 at the end, or negative. */
static int read_line(struct local_table *table, struct herd_buf *error)
{
    table->line_number++;
    if (gzgets(table->file, table->line, LINE_MAX_BYTES) == NULL) {
        int code;
        const char *reason = gzerror(table->file, &code);
        if (code == Z_OK || code == Z_STREAM_END)
            return 0;
        reject(table, error, code == Z_ERRNO ? strerror(errno) : reason);
        return HERD_EIO;
    }
    size_t len = strlen(table->line);
    if (len == 0 || table->line[len - 1] != '\n')
        return reject(table, error, "the line is too long, has a NUL, or the file ends within it");
    table->line[len - 1] = '\0';
    if (!utf8_is_valid(table->line, len - 1))
        return reject(table, error, "the line is not UTF-8");
    return 1;
}

struct head_key {
    const char *name;
    char **value;
};

static int set_head(struct local_table *table, char *line, struct herd_buf *error)
{
    const struct head_key keys[] = {
        {"name", &table->head.name},
        {"attribution", &table->head.attribution},
        {"licence", &table->head.licence},
        {"version", &table->head.version},
    };
    char *value = strchr(line, '\t');
    if (value == NULL)
        return reject(table, error, "a line with # needs a key, a tab and a value");
    *value++ = '\0';
    if (strcmp(line, columns_key) == 0)
        return strcmp(value, columns_text) == 0
                   ? 0
                   : reject(table, error, "the columns are not those this herd knows");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(line, keys[i].name) == 0) {
            free(*keys[i].value);
            *keys[i].value = strdup(value);
            return *keys[i].value != NULL ? 0 : HERD_ENOMEM;
        }
    }
    return 0; /* a key of a later herd that changes nothing for this one */
}

static int read_head(struct local_table *table, struct herd_buf *error)
{
    int rc = read_line(table, error);
    if (rc < 0)
        return rc;
    const char *tab = rc > 0 ? strchr(table->line, '\t') : NULL;
    if (tab == NULL || strncmp(table->line + 1, magic_key, sizeof magic_key - 1) != 0 ||
        strcmp(tab + 1, magic_version) != 0)
        return reject(table, error, "this is no table of places of version 1");
    while ((rc = read_line(table, error)) > 0 && table->line[0] == '#') {
        rc = set_head(table, table->line + 1, error);
        if (rc < 0)
            return rc;
    }
    if (rc < 0)
        return rc;
    table->pending = rc > 0;
    const struct local_table_head *head = &table->head;
    if (head->name == NULL || head->attribution == NULL || head->licence == NULL ||
        head->version == NULL)
        return reject(table, error, "#name, #attribution, #licence and #version must come first");
    return 0;
}

int local_table_open(const char *path, struct local_table **out, struct herd_buf *error)
{
    struct local_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return HERD_ENOMEM;
    table->path = strdup(path);
    table->line = malloc(LINE_MAX_BYTES);
    int rc = table->path != NULL && table->line != NULL ? 0 : HERD_ENOMEM;
    if (rc == 0) {
        table->file = gzopen(path, "rb");
        if (table->file == NULL) {
            herd_buf_printf(error, "%s: %s", path, strerror(errno));
            rc = errno == ENOENT ? HERD_ENOTFOUND : HERD_EIO;
        } else {
            gzbuffer(table->file, READ_BUFFER_BYTES);
            rc = read_head(table, error);
        }
    }
    if (rc < 0) {
        local_table_close(table);
        return rc;
    }
    *out = table;
    return 0;
}

static bool is_type_list(const char *types)
{
    size_t len = 0;
    do {
        types += len;
        len = local_type_length(types);
        if (len == 0)
            return false;
    } while (types[len++] != '\0');
    return true;
}

/* Degrees of at most `limit`. */
static bool parse_degrees(const char *text, double limit, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && fabs(*out) <= limit;
}

static bool parse_number(const char *text, int64_t limit, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *out >= 0 && *out <= limit;
}

static bool split(char *line, char *fields[COLUMN_COUNT])
{
    size_t count = 0;
    for (char *rest = line; rest != NULL; count++) {
        char *field = strsep(&rest, "\t");
        if (count == COLUMN_COUNT)
            return false;
        fields[count] = field;
    }
    return count == COLUMN_COUNT;
}

int local_table_next(struct local_table *table, struct local_row *out, struct herd_buf *error)
{
    if (!table->pending) {
        int rc = read_line(table, error);
        if (rc <= 0)
            return rc;
    }
    table->pending = false;
    char *fields[COLUMN_COUNT];
    if (!split(table->line, fields))
        return reject(table, error, "a place has 10 columns, with a tab between");
    *out = (struct local_row){
        .place_id = fields[PLACE_ID],
        .name = fields[NAME],
        .types = fields[TYPES],
        .kind = fields[KIND],
        .country = fields[COUNTRY],
        .population = -1,
        .vicinity = fields[VICINITY],
    };
    if (out->place_id[0] == '\0' || out->name[0] == '\0' || out->types[0] == '\0')
        return reject(table, error, "place_id, name and types must not be empty");
    if (!is_type_list(out->types))
        return reject(table, error, "types must be words of a-z, 0-9 and _ with commas between");
    if (!parse_degrees(fields[LATITUDE], 90, &out->location.latitude))
        return reject(table, error, "latitude must be a number from -90 to 90");
    if (!parse_degrees(fields[LONGITUDE], 180, &out->location.longitude))
        return reject(table, error, "longitude must be a number from -180 to 180");
    if (fields[POPULATION][0] != '\0' &&
        !parse_number(fields[POPULATION], POPULATION_MAX, &out->population))
        return reject(table, error, "population must be a number, or empty");
    if (!parse_number(fields[EXTENT], EXTENT_MAX_M, &out->extent_m))
        return reject(table, error, "extent_m must be a number of metres");
    return 1;
}
