#include "places/geonames.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum column {
    ID = 0,
    NAME = 1,
    LATITUDE = 4,
    LONGITUDE = 5,
    FEATURE_CLASS = 6,
    FEATURE_CODE = 7,
    COUNTRY = 8,
    ADMIN1 = 10,
    POPULATION = 14
};

enum { EXTENT_UNKNOWN_M = 1000, EXTENT_MIN_M = 500, POPULATION_MAX = 2000000000 };

/* The first row that fits: a class, and a code or NULL for any other. */
static const struct {
    char feature_class;
    const char *code;
    const char *types;
} rows[] = {
    {'A', "ADM1", "administrative_area_level_1,political"},
    {'A', "ADM2", "administrative_area_level_2,political"},
    {'A', "ADM3", "administrative_area_level_3,political"},
    {'A', "PCLI", "country,political"},
    {'A', NULL, "political"},
    {'P', "PPLX", "sublocality,political"},
    {'P', NULL, "locality,political"},
    {'L', "PRK", "park,point_of_interest,establishment"},
    {'L', NULL, "point_of_interest"},
    {'R', NULL, "route"},
    {'S', "AIRP", "airport,point_of_interest,establishment"},
    {'S', "AIRH", "airport,point_of_interest,establishment"},
    {'S', "CH", "church,point_of_interest,establishment"},
    {'S', "HSP", "hospital,point_of_interest,establishment"},
    {'S', "HTL", "lodging,point_of_interest,establishment"},
    {'S', "LIBR", "library,point_of_interest,establishment"},
    {'S', "MUS", "museum,point_of_interest,establishment"},
    {'S', "PO", "post_office,point_of_interest,establishment"},
    {'S', "RSTN", "train_station,point_of_interest,establishment"},
    {'S', "SCH", "school,point_of_interest,establishment"},
    {'S', "STDM", "stadium,point_of_interest,establishment"},
    {'S', "UNIV", "university,point_of_interest,establishment"},
    {'S', "ZOO", "zoo,point_of_interest,establishment"},
    {'S', NULL, "point_of_interest,establishment"},
    {'H', NULL, "natural_feature"},
    {'T', NULL, "natural_feature"},
    {'U', NULL, "natural_feature"},
    {'V', NULL, "natural_feature"},
};

static const char *types_of(const char *feature_class, const char *code)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].feature_class == feature_class[0] &&
            (rows[i].code == NULL || strcmp(rows[i].code, code) == 0))
            return rows[i].types;
    }
    return "point_of_interest";
}

static bool split(char *line, char *fields[GEONAMES_COLUMNS])
{
    size_t count = 0;
    for (char *rest = line; rest != NULL; count++) {
        char *field = strsep(&rest, "\t");
        if (count == GEONAMES_COLUMNS)
            return false;
        fields[count] = field;
    }
    return count == GEONAMES_COLUMNS;
}

static bool parse_degrees(const char *text, double limit, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && fabs(*out) <= limit;
}

static bool parse_number(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *out >= 0;
}

/* A square of 2,500 people a km² has half a side of 10 m times the square root of them. */
static int64_t extent_of(int64_t population)
{
    if (population <= 0)
        return EXTENT_UNKNOWN_M;
    int64_t extent_m = llround(10 * sqrt((double)population));
    return extent_m > EXTENT_MIN_M ? extent_m : EXTENT_MIN_M;
}

const char *geonames_make(struct geonames_maker *maker, char *line, struct local_row *out)
{
    char *fields[GEONAMES_COLUMNS];
    int64_t id, population = 0;
    if (!split(line, fields))
        return "not of 19 columns with a tab between";
    if (!parse_number(fields[ID], &id))
        return "without a number in the first column";
    if (fields[NAME][0] == '\0')
        return "without a name";
    *out = (struct local_row){.name = fields[NAME],
                              .types = types_of(fields[FEATURE_CLASS], fields[FEATURE_CODE]),
                              .kind = fields[FEATURE_CODE],
                              .country = fields[COUNTRY]};
    if (!parse_degrees(fields[LATITUDE], 90, &out->location.latitude) ||
        !parse_degrees(fields[LONGITUDE], 180, &out->location.longitude))
        return "without a latitude and a longitude";
    bool is_known = parse_number(fields[POPULATION], &population) && population > 0 &&
                    population <= POPULATION_MAX;
    out->population = is_known ? population : -1;
    out->extent_m = extent_of(out->population);
    snprintf(maker->place_id, sizeof maker->place_id, "gn:%" PRId64, id);
    bool has_both = fields[ADMIN1][0] != '\0' && fields[COUNTRY][0] != '\0';
    snprintf(maker->vicinity, sizeof maker->vicinity, "%s%s%s", fields[ADMIN1],
             has_both ? ", " : "", fields[COUNTRY]);
    out->place_id = maker->place_id;
    out->vicinity = maker->vicinity;
    return NULL;
}
