/* desk.h: a provider as places hold it: what it was opened with, and how long it stays. */
#ifndef PLACES_DESK_H
#define PLACES_DESK_H

#include "base/config.h"
#include "places/provider.h"

/* Questions to a provider without a broker; one more is refused. pipeline_max bounds a client's. */
enum { LOCAL_QUESTIONS_MAX = 100000 };

struct places;
struct desk;

/* Whose desks they are; it outlives them. */
struct desk_owner {
    struct places *places;
    struct uv_loop_s *loop;
    struct log *log;
    struct metrics *metrics;
    /* One that is opened later is open, with NULL; or it cannot be, with the reason. Once, but not
     * for one that is closed before. */
    void (*opened)(struct desk *desk, const char *error);
    /* One is gone. */
    void (*closed)(struct places *places);
};

struct desk {
    const struct desk_owner *owner;
    struct places *places; /* the owner's */
    struct provider *provider;
    char *identity;  /* provider_identity */
    char *data_file; /* that it was opened with */
    int64_t calls;   /* under way */
    bool is_opening; /* nobody may ask yet */
    bool is_retired; /* closes with the last of them */
    bool is_closing;
};

/* Opens; `is_later`: without waiting for a disk, desk->is_opening says whether it still has to.
 * 0, or a negative HERD_E… with a sentence appended to `error`. */
int desk_open(const struct desk_owner *owner, const struct provider_type *type,
              const struct config_values *values, bool is_later, struct desk **out,
              struct herd_buf *error);

/* Whether it is already what the values name: of a provider that looks at its file itself. */
bool desk_is_as_named(const struct desk *desk, const struct provider_type *type,
                      const struct config_values *values);

/* One that is: it takes the other values. */
void desk_refresh(struct desk *desk, const struct config_values *values);

/* As herd_node_give_back, of its provider; NULL is allowed. */
size_t desk_give_back(const struct desk *desk, size_t *kept_bytes);

/* A call has come back. */
void desk_leave(struct desk *desk);

/* It closes with the last call; NULL is allowed. */
void desk_retire(struct desk *desk);

/* It closes now, once, and calls end; NULL is allowed. */
void desk_close(struct desk *desk);

#endif
