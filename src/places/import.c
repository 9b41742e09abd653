/* bytes (gzip) -> features or lines -> rows -> the writer of places files. */
#include "places/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include <herd/err.h>

#include "base/utf8.h"
#include "places/feature.h"
#include "places/feature_reader.h"
#include "places/geonames.h"
#include "places/local_writer.h"
#include "places/osm.h"

enum { LINE_MAX_BYTES = 1 << 16, READ_BUFFER_BYTES = 1 << 17, PROGRESS_PLACES = 4096 };

struct import {
    const char *from;
    const struct import_options *options;
    gzFile file;
    int fd;
    int64_t bytes_all;
    struct local_writer *writer;
    struct import_report *report;
    int64_t seen; /* places, and what is none */
    struct herd_buf *error;
    char first_id[8]; /* the beginning of the first place's: whose ids they are */
};

const char *import_fault_text(enum import_fault fault)
{
    static const char *const texts[IMPORT_FAULT_COUNT] = {
        [IMPORT_NO_NAME] = "without a name",
        [IMPORT_LONG_TEXT] = "with a name, tag or address of more than 1,024 bytes",
        [IMPORT_NO_GEOMETRY] = "without a geometry on the earth",
        [IMPORT_NO_FEATURE] = "not a GeoJSON feature",
        [IMPORT_NOT_JSON] = "not JSON, or not UTF-8",
        [IMPORT_TOO_LARGE] = "larger than 16 MiB",
        [IMPORT_CUT_OFF] = "cut off",
        [IMPORT_BAD_LINE] = "not a line of GeoNames' tables",
    };
    return texts[fault];
}

static int fail(struct import *import, int rc, const char *what)
{
    herd_buf_printf(import->error, "%s: %s", import->from, what);
    return rc;
}

static int fail_reading(struct import *import)
{
    int code;
    const char *reason = gzerror(import->file, &code);
    if (code == Z_ERRNO)
        return fail(import, HERD_EIO, strerror(errno));
    /* zlib has the descriptor's number in front, having been given no name. */
    const char *colon = strstr(reason, ": ");
    herd_buf_printf(import->error, "%s: its gzip data is damaged or cut short: %s", import->from,
                    colon != NULL ? colon + 2 : reason);
    return HERD_EIO;
}

/* zlib tells of a file that is cut short once all that is there was read, and not as a failure. */
static bool has_ended_early(const struct import *import)
{
    int code;
    gzerror(import->file, &code);
    return code < 0;
}

static int tell(struct import *import, struct import_progress progress)
{
    progress.places = import->report->places;
    return import->options->on_progress != NULL
               ? import->options->on_progress(import->options->arg, &progress)
               : 0;
}

static int on_written(void *arg, int64_t places, int64_t places_all)
{
    return tell(arg,
                (struct import_progress){.is_writing = true, .done = places, .all = places_all});
}

/* A place, or what is none, has been read. */
static int step(struct import *import)
{
    if (++import->seen % PROGRESS_PLACES != 0)
        return 0;
    return tell(import, (struct import_progress){.done = gzoffset64(import->file),
                                                 .all = import->bytes_all});
}

static int count_fault(struct import *import, enum import_fault fault, int64_t line)
{
    struct import_report *report = import->report;
    report->faults[fault]++;
    if (fault != IMPORT_NO_NAME && report->example_count < IMPORT_EXAMPLES_MAX) {
        report->examples[report->example_count].line = line;
        report->examples[report->example_count++].fault = fault;
    }
    return step(import);
}

/* An answer has 20 places, so their texts have a bound; OpenStreetMap's own is 255 characters. */
static bool is_too_long(const struct local_row *row)
{
    const char *const texts[] = {row->name,     row->kind,  row->vicinity,
                                 row->place_id, row->types, row->country};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strlen(texts[i]) > IMPORT_TEXT_MAX_BYTES)
            return true;
    }
    return false;
}

static int add(struct import *import, const struct local_row *row, int64_t line)
{
    if (is_too_long(row))
        return count_fault(import, IMPORT_LONG_TEXT, line);
    if (import->report->places == 0)
        snprintf(import->first_id, sizeof import->first_id, "%s", row->place_id);
    int rc = local_writer_add(import->writer, row);
    if (rc < 0)
        return rc;
    import->report->places++;
    return step(import);
}

/* ---- GeoJSON -------------------------------------------------------------------------------- */

static int64_t read_some(void *arg, char *data, size_t size)
{
    struct import *import = arg;
    int got = gzread(import->file, data, (unsigned)size);
    return got < 0 || (got == 0 && has_ended_early(import)) ? fail_reading(import) : got;
}

static int take_feature(struct import *import, struct feature_maker *maker,
                        const struct feature *feature)
{
    static const enum import_fault faults[] = {
        [FEATURE_NOT_JSON] = IMPORT_NOT_JSON,       [FEATURE_CUT] = IMPORT_CUT_OFF,
        [FEATURE_NOT_ONE] = IMPORT_NO_FEATURE,      [FEATURE_NO_NAME] = IMPORT_NO_NAME,
        [FEATURE_NO_GEOMETRY] = IMPORT_NO_GEOMETRY,
    };
    struct local_row row;
    enum feature_fault fault;
    if (feature->state == FEATURE_TOO_LARGE)
        return count_fault(import, IMPORT_TOO_LARGE, feature->line);
    if (feature->state == FEATURE_STRAY)
        return count_fault(import, IMPORT_NOT_JSON, feature->line);
    int rc = feature_make(maker, feature->text, &row, &fault);
    if (rc < 0)
        return rc;
    if (fault == FEATURE_GOOD)
        return add(import, &row, feature->line);
    return count_fault(import, faults[fault], feature->line);
}

static int read_features(struct import *import)
{
    struct feature_reader *reader;
    struct feature_maker maker = {0};
    struct feature feature;
    int rc = feature_reader_new(read_some, import, &reader);
    if (rc < 0)
        return rc;
    while ((rc = feature_reader_next(reader, &feature)) > 0) {
        rc = take_feature(import, &maker, &feature);
        if (rc < 0)
            break;
    }
    if (rc == HERD_ESYNTAX)
        herd_buf_printf(import->error,
                        "%s:%lld: neither a FeatureCollection nor features one after the other, or "
                        "it ends too early",
                        import->from, (long long)feature_reader_line(reader));
    feature_maker_free(&maker);
    feature_reader_free(reader);
    return rc;
}

/* ---- GeoNames ------------------------------------------------------------------------------- */

/* Reads on to the end of a line that is too long. */
static void skip_line(struct import *import)
{
    int byte;
    while ((byte = gzgetc(import->file)) != -1 && byte != '\n')
        continue;
}

/* `len` bytes, among which may be NUL. */
static int take_line(struct import *import, struct geonames_maker *maker, char *line, size_t len,
                     int64_t number)
{
    struct local_row row;
    bool has_end = len > 0 && (line[len - 1] == '\n' || gzeof(import->file));
    bool is_whole = has_end && strlen(line) == len;
    if (!has_end)
        skip_line(import);
    if (line[0] == '#' || line[0] == '\r' || line[0] == '\n')
        return 0;
    line[strcspn(line, "\r\n")] = '\0';
    if (is_whole && utf8_is_valid(line, strlen(line)) && geonames_make(maker, line, &row) == NULL)
        return add(import, &row, number);
    return count_fault(import, IMPORT_BAD_LINE, number);
}

static int read_lines(struct import *import)
{
    struct geonames_maker maker;
    char *line = malloc(LINE_MAX_BYTES);
    int rc = line != NULL ? 0 : HERD_ENOMEM;
    int64_t at = gztell64(import->file);
    for (int64_t number = 1; rc == 0 && gzgets(import->file, line, LINE_MAX_BYTES) != NULL;
         number++) {
        size_t len = (size_t)(gztell64(import->file) - at);
        rc = take_line(import, &maker, line, len, number);
        at = gztell64(import->file);
    }
    free(line);
    return rc == 0 && has_ended_early(import) ? fail_reading(import) : rc;
}

/* ---- The file ------------------------------------------------------------------------------- */

static int open_file(struct import *import)
{
    struct stat status;
    bool is_input = strcmp(import->from, "-") == 0;
    import->fd = is_input ? dup(STDIN_FILENO) : open(import->from, O_RDONLY | O_CLOEXEC);
    if (import->fd < 0 || fstat(import->fd, &status) < 0)
        return fail(import, errno == ENOENT ? HERD_ENOTFOUND : HERD_EIO, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return fail(import, HERD_EIO, "is a folder");
    import->bytes_all = S_ISREG(status.st_mode) ? status.st_size : 0;
    import->file = gzdopen(import->fd, "rb");
    if (import->file == NULL)
        return HERD_ENOMEM;
    import->fd = -1; /* the file's */
    gzbuffer(import->file, READ_BUFFER_BYTES);
    return 0;
}

static void close_file(struct import *import)
{
    if (import->file != NULL)
        gzclose_r(import->file);
    else if (import->fd >= 0)
        close(import->fd);
}

/* JSON begins with a brace, or a separator. 0 or negative. */
static int look(struct import *import, enum import_format *out)
{
    static const char white[] = " \t\r\n\xef\xbb\xbf";
    *out = import->options->format;
    if (*out != IMPORT_BY_LOOK)
        return 0;
    int byte;
    while ((byte = gzgetc(import->file)) != -1 && memchr(white, byte, sizeof white - 1) != NULL)
        continue;
    if (byte == -1)
        return has_ended_early(import) ? fail_reading(import)
                                       : fail(import, HERD_ENOTFOUND, "is empty");
    *out = byte == '{' || byte == '[' || byte == 0x1e ? IMPORT_GEOJSON : IMPORT_GEONAMES;
    return gzungetc(byte, import->file) == byte ? 0 : HERD_EIO;
}

/* ---- What is said of it --------------------------------------------------------------------- */

static const struct {
    const char *id_begins, *name, *attribution, *licence;
} known[] = {
    {"osm:", "OpenStreetMap", osm_attribution, "ODbL-1.0"},
    {"gn:", "GeoNames",
     "Data © <a href=\"https://www.geonames.org/\">GeoNames</a>, "
     "<a href=\"https://creativecommons.org/licenses/by/4.0/\">CC BY 4.0</a>",
     "CC-BY-4.0"},
};

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* The source in words; the strings are others'. */
static int end_source(struct import *import)
{
    const char *file = last_part(import->from);
    const char *name = file, *attribution = "", *licence = "NOASSERTION";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strncmp(import->first_id, known[i].id_begins, strlen(known[i].id_begins)) != 0)
            continue;
        name = known[i].name;
        attribution = known[i].attribution;
        licence = known[i].licence;
    }
    const struct import_options *said = import->options;
    const char *const texts[] = {said->name != NULL ? said->name : name,
                                 said->attribution != NULL ? said->attribution : attribution,
                                 said->licence != NULL ? said->licence : licence, file};
    const struct local_table_head head = {
        .name = (char *)(uintptr_t)texts[0],
        .attribution = (char *)(uintptr_t)texts[1],
        .licence = (char *)(uintptr_t)texts[2],
        .version = (char *)(uintptr_t)texts[3],
    };
    return local_writer_end_source(import->writer, &head);
}

static int read_all(struct import *import)
{
    enum import_format format;
    int rc = look(import, &format);
    if (rc == 0)
        rc = local_writer_begin_source(import->writer);
    if (rc == 0)
        rc = format == IMPORT_GEOJSON ? read_features(import) : read_lines(import);
    if (rc == 0 && import->report->places == 0)
        return fail(import, HERD_ENOTFOUND, "no place in it could be read");
    return rc == 0 ? end_source(import) : rc;
}

int import_file(const char *path, const char *from, const struct import_options *options,
                struct import_report *report, struct herd_buf *error)
{
    struct import import = {
        .from = from, .options = options, .fd = -1, .report = report, .error = error};
    *report = (struct import_report){0};
    int rc = open_file(&import);
    if (rc == 0)
        rc = local_writer_open(path, &import.writer, error);
    if (rc == 0)
        rc = read_all(&import);
    close_file(&import);
    if (rc == 0)
        return local_writer_publish(import.writer, on_written, &import);
    local_writer_drop(import.writer);
    return rc;
}
