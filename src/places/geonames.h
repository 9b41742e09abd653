/* geonames.h: a line of GeoNames' tab-separated files (cities500.txt, US.txt, allCountries.txt) as
 * a row of a places file. */
#ifndef PLACES_GEONAMES_H
#define PLACES_GEONAMES_H

#include <stdbool.h>

#include "places/local_table.h"

enum { GEONAMES_COLUMNS = 19 };

/* What a row is made in. Its texts are those of the last row. */
struct geonames_maker {
    char place_id[32], vicinity[128];
};

/* Takes `line` (without its LF) apart in place. NULL with the row, or what is wrong with it,
 * static. Format: https://download.geonames.org/export/dump/readme.txt */
const char *geonames_make(struct geonames_maker *maker, char *line, struct local_row *out);

#endif
