/* chart.h: a herd of two or three real nodes whose deliveries somebody else orders: what was said and
 * has not arrived is a choice of events. */
#ifndef SIM_CHART_H
#define SIM_CHART_H

#include <herd/node.h>

enum { CHART_SERVERS_MAX = 3, CHART_UPDATES_MAX = 3 };

/* An IAMAT of the one client. */
struct chart_update {
    unsigned server;
    bool later;     /* its time */
    bool elsewhere; /* its place */
};

struct chart_case {
    unsigned servers; /* in a row */
    bool closed;      /* the last is a neighbour of the first, too */
    unsigned breaks;  /* of the first link's connection, when it may be; 0 or 1 */
    unsigned updates;
    struct chart_update update[CHART_UPDATES_MAX];
};

void chart_print_case(const struct chart_case *what);

/* All links are up, and nothing is on its way. */
struct chart *chart_new(const struct chart_case *what);
void chart_free(struct chart *chart);

/* The events that may happen now, as bits. */
uint32_t chart_enabled(const struct chart *chart);
void chart_happen(struct chart *chart, unsigned event);
/* Whether their order makes no difference. */
bool chart_is_independent(const struct chart *chart, unsigned a, unsigned b);

/* Lets time pass until nothing is left to do. NULL, or what is wrong. */
const char *chart_finish(struct chart *chart);

#endif
