#include "places/local_memory.h"

#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "places/kd_tree.h"
#include "places/local_answer.h"
#include "places/local_area.h"
#include "places/local_render.h"

/* What the haversine formula may be off by; as local_db.c has it. */
static const double rounding_m = 1e-6;

enum {
    ROWS_FIRST = 1024,
    BYTES_MAX = 1 << 30, /* an offset has 32 bits, with room to spare */
    TREE_BYTES = 40      /* a place, roughly */
};

/* Rendered texts by their id in the file: ids count from 1 without large gaps. */
struct table {
    uint32_t *offsets; /* in texts; 0: there is none */
    size_t count;
};

struct row {
    int32_t lat, lon;
    int32_t extent_m;
    uint32_t text;        /* in texts: name and place_id */
    uint32_t types, area; /* in texts */
    uint32_t id;
    uint16_t source;
};

struct local_memory {
    struct kd_tree *tree;
    struct row *rows; /* in the tree's order */
    size_t count, cap;
    struct herd_buf texts; /* each a length of four bytes and the bytes */
    struct table types, areas;
    struct herd_buf attributions[LOCAL_SOURCES_MAX]; /* rendered */
    int64_t max_bytes;
    const atomic_bool *is_over; /* while it is read */
};

static void free_table(struct table *table)
{
    free(table->offsets);
}

void local_memory_free(struct local_memory *memory)
{
    if (memory == NULL)
        return;
    for (size_t i = 0; i < LOCAL_SOURCES_MAX; i++)
        herd_buf_free(&memory->attributions[i]);
    free_table(&memory->types);
    free_table(&memory->areas);
    herd_buf_free(&memory->texts);
    kd_tree_free(memory->tree);
    free(memory->rows);
    free(memory);
}

int64_t local_memory_bytes(const struct local_memory *memory)
{
    size_t tree = memory->tree != NULL ? kd_tree_bytes(memory->tree) : 0;
    return (int64_t)(sizeof *memory + tree + memory->cap * sizeof *memory->rows +
                     memory->texts.cap +
                     (memory->types.count + memory->areas.count) * sizeof(uint32_t));
}

int64_t local_memory_places(const struct local_memory *memory)
{
    return (int64_t)memory->count;
}

/* The tree is made when all is read. */
static int check_size(const struct local_memory *memory)
{
    if (atomic_load_explicit(memory->is_over, memory_order_relaxed))
        return HERD_ECANCELED;
    int64_t bytes = local_memory_bytes(memory) + (int64_t)memory->count * TREE_BYTES;
    return bytes <= memory->max_bytes && memory->texts.len < BYTES_MAX ? 0 : HERD_EFULL;
}

/* ---- Texts ---------------------------------------------------------------------------------- */

static struct herd_slice text_at(const struct local_memory *memory, size_t offset)
{
    uint32_t len;
    memcpy(&len, memory->texts.data + offset, sizeof len);
    return herd_slice(memory->texts.data + offset + sizeof len, len);
}

/* Appends what `render` makes of a text, with its length in front. */
static int append_text(struct local_memory *memory, int (*render)(struct herd_buf *, const char *),
                       const char *text)
{
    struct herd_buf *texts = &memory->texts;
    size_t before = texts->len;
    uint32_t len = 0;
    int rc = herd_buf_append(texts, &len, sizeof len);
    if (rc == 0)
        rc = render(texts, text);
    if (rc < 0)
        return rc;
    len = (uint32_t)(texts->len - before - sizeof len);
    memcpy(texts->data + before, &len, sizeof len);
    return 0;
}

static int set_text(struct local_memory *memory, struct table *table, int64_t id)
{
    if (id < 1 || id >= BYTES_MAX)
        return HERD_EFULL;
    size_t count = table->count;
    while (count <= (size_t)id)
        count = count > 0 ? 2 * count : 64;
    if (count > table->count) {
        if ((int64_t)(count * sizeof(uint32_t)) > memory->max_bytes)
            return HERD_EFULL;
        uint32_t *offsets = realloc(table->offsets, count * sizeof *offsets);
        if (offsets == NULL)
            return HERD_ENOMEM;
        memset(offsets + table->count, 0, (count - table->count) * sizeof *offsets);
        table->offsets = offsets;
        table->count = count;
    }
    table->offsets[id] = (uint32_t)memory->texts.len;
    return check_size(memory);
}

static int on_types(void *arg, int64_t id, const char *text)
{
    struct local_memory *memory = arg;
    int rc = set_text(memory, &memory->types, id);
    return rc < 0 ? rc : append_text(memory, local_append_types, text);
}

static int on_area(void *arg, int64_t id, const char *text)
{
    struct local_memory *memory = arg;
    int rc = set_text(memory, &memory->areas, id);
    return rc < 0 ? rc : append_text(memory, local_append_string, text);
}

/* ---- Places --------------------------------------------------------------------------------- */

/* Offset 0 is taken by a text that nobody asks for. */
static bool has_text(const struct table *table, int64_t id)
{
    return id > 0 && (uint64_t)id < table->count && table->offsets[id] > 0;
}

static int add_row(struct local_memory *memory, struct row row)
{
    if (memory->count == memory->cap) {
        size_t cap = memory->cap > 0 ? memory->cap + memory->cap / 2 : ROWS_FIRST;
        struct row *rows = realloc(memory->rows, cap * sizeof *rows);
        if (rows == NULL)
            return HERD_ENOMEM;
        memory->rows = rows;
        memory->cap = cap;
    }
    memory->rows[memory->count++] = row;
    return check_size(memory);
}

static int on_record(void *arg, const struct local_record *record)
{
    struct local_memory *memory = arg;
    if (!has_text(&memory->types, record->types) || !has_text(&memory->areas, record->area))
        return HERD_ESYNTAX;
    if (record->id < 0 || record->id > UINT32_MAX || record->extent_m > INT32_MAX)
        return HERD_EFULL;
    const struct row row = {
        .lat = record->lat,
        .lon = record->lon,
        .extent_m = (int32_t)record->extent_m,
        .text = (uint32_t)memory->texts.len,
        .types = memory->types.offsets[record->types],
        .area = memory->areas.offsets[record->area],
        .id = (uint32_t)record->id,
        .source = (uint16_t)record->source,
    };
    int rc = append_text(memory, local_append_string, record->name);
    if (rc == 0)
        rc = append_text(memory, local_append_string, record->place_id);
    return rc < 0 ? rc : add_row(memory, row);
}

/* What is too large is known before it is read. */
static int check_sources(const struct local_memory *memory, const struct local_db *db)
{
    const struct local_source *source;
    const int64_t each = sizeof(struct row) + TREE_BYTES + 3 * sizeof(uint32_t);
    int64_t left = memory->max_bytes / each;
    for (size_t i = 0; (source = local_db_source(db, i)) != NULL; i++)
        left -= source->places < left ? source->places : left + 1;
    return left >= 0 ? 0 : HERD_EFULL;
}

static int copy_sources(struct local_memory *memory, const struct local_db *db)
{
    const struct local_source *source;
    for (size_t i = 0; (source = local_db_source(db, i)) != NULL; i++) {
        struct herd_buf *html = &memory->attributions[i];
        int rc = places_answer_render_attribution(source->attribution, html);
        if (rc == HERD_ENOMEM)
            return rc;
        if (rc < 0)
            herd_buf_free(html); /* no answer has room for it */
    }
    return 0;
}

/* Puts the rows into the tree's order, which the ids of `places` tell: they are row numbers here.
 */
static int reorder(struct local_memory *memory, const struct kd_place *places)
{
    struct row *rows = malloc((memory->count + 1) * sizeof *rows);
    if (rows == NULL)
        return HERD_ENOMEM;
    for (size_t i = 0; i < memory->count; i++)
        rows[i] = memory->rows[places[i].id];
    free(memory->rows);
    memory->rows = rows;
    memory->cap = memory->count;
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

/* The rank of an id decides as well as the id does, and is the row's number once they are sorted.
 */
static int make_tree(struct local_memory *memory)
{
    struct kd_place *places = malloc((memory->count + 1) * sizeof *places);
    int rc = places != NULL ? 0 : HERD_ENOMEM;
    if (rc == 0 && memory->count > 0)
        qsort(memory->rows, memory->count, sizeof *memory->rows, compare_ids);
    for (size_t i = 0; i < memory->count && rc == 0; i++) {
        const struct row *row = &memory->rows[i];
        places[i] =
            (struct kd_place){{local_degrees(row->lat), local_degrees(row->lon)}, (uint32_t)i};
    }
    if (rc == 0)
        rc = kd_tree_new(places, memory->count, &memory->tree);
    if (rc == 0)
        rc = reorder(memory, places);
    free(places);
    return rc;
}

static int load(struct local_memory *memory, struct local_db *db)
{
    int rc = check_sources(memory, db);
    if (rc == 0)
        rc = append_text(memory, local_append_string, "");
    if (rc == 0)
        rc = copy_sources(memory, db);
    if (rc == 0)
        rc = local_db_each_types(db, on_types, memory);
    if (rc == 0)
        rc = local_db_each_area(db, on_area, memory);
    if (rc == 0)
        rc = local_db_each(db, on_record, memory);
    return rc == 0 ? make_tree(memory) : rc;
}

int local_memory_load(struct local_db *db, int64_t max_bytes, const atomic_bool *is_over,
                      struct local_memory **out)
{
    struct local_memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        return HERD_ENOMEM;
    memory->max_bytes = max_bytes;
    memory->is_over = is_over;
    int rc = load(memory, db);
    if (rc < 0) {
        local_memory_free(memory);
        return rc;
    }
    *out = memory;
    return 0;
}

/* ---- Answers -------------------------------------------------------------------------------- */

struct shown {
    const struct local_memory *memory;
    const struct row *row;
};

static int append_row(void *arg, struct herd_buf *out)
{
    const struct shown *shown = arg;
    const struct local_memory *memory = shown->memory;
    const struct row *row = shown->row;
    struct local_texts texts = {
        .name = text_at(memory, row->text),
        .types = text_at(memory, row->types),
        .vicinity = text_at(memory, row->area),
    };
    texts.place_id = text_at(memory, row->text + sizeof(uint32_t) + texts.name.len);
    return local_render(out, row->lat, row->lon, row->extent_m, &texts);
}

/* The tree gives a millimetre more than is asked for: those are at the end. */
static size_t count_within(const struct local_memory *memory, const struct places_query *query,
                           const uint32_t *positions, size_t count)
{
    const struct herd_location centre = {query->latitude, query->longitude};
    for (; count > 0; count--) {
        const struct row *row = &memory->rows[positions[count - 1]];
        const struct herd_location at = {local_degrees(row->lat), local_degrees(row->lon)};
        if (herd_geo_distance_m(centre, at) <= query->radius_m + rounding_m)
            break;
    }
    return count;
}

struct places_answer *local_memory_answer(const struct local_memory *memory,
                                          const struct places_query *query,
                                          struct answer_spares *spares)
{
    if (!local_is_on_earth(query))
        return local_answer_off_earth();
    uint32_t positions[PLACES_RESULTS_MAX];
    const struct herd_location centre = {query->latitude, query->longitude};
    size_t count = kd_nearest(memory->tree, centre, query->radius_m, positions);
    count = count_within(memory, query, positions, count);
    if (count == 0)
        return places_answer_none(false);
    struct places_answer *answer = answer_spares_take(spares, PLACES_OK);
    uint64_t contributed = 0; /* a bit a source */
    for (size_t i = 0; i < count; i++) {
        struct shown shown = {memory, &memory->rows[positions[i]]};
        places_answer_append_result(answer, append_row, &shown);
        contributed |= UINT64_C(1) << shown.row->source;
    }
    for (size_t i = 0; i < LOCAL_SOURCES_MAX; i++) {
        const struct herd_buf *html = &memory->attributions[i];
        if ((contributed >> i & 1) && html->len > 0)
            places_answer_add_rendered_attribution(answer, herd_buf_slice(html));
    }
    return answer;
}
