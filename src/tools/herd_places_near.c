#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include <herd/err.h>
#include <herd/geo.h>
#include <herd/proto.h>

#include "base/output.h"
#include "herd_places.h"
#include "places/local.h"
#include "places/local_db.h"
#include "places/provider.h"

enum { CALLS_AT_ONCE = 32 };

struct question {
    struct places_query query;
    size_t count;
};

/* A number in text[0..], which must end at `end_char`; *rest is what follows that. */
static bool parse_number(const char *text, char end_char, double min, double max, double *out,
                         const char **rest)
{
    char *end;
    *out = strtod(text, &end);
    if (end == text || *end != end_char || !(*out >= min && *out <= max))
        return false;
    *rest = end + (end_char != '\0');
    return true;
}

/* `34.06893,-118.445127`, or as IAMAT has it: `+34.06893-118.445127`. */
static bool parse_location(const char *text, struct places_query *out)
{
    struct herd_location location;
    if (herd_location_parse(herd_slice_of(text), &location) == 0) {
        out->latitude = location.latitude;
        out->longitude = location.longitude;
        return true;
    }
    const char *rest;
    return parse_number(text, ',', -90, 90, &out->latitude, &rest) &&
           parse_number(rest, '\0', -180, 180, &out->longitude, &rest);
}

static bool parse_count(const char *text, double *out)
{
    const char *rest;
    return parse_number(text, '\0', 0, PLACES_RESULTS_MAX, out, &rest) && *out == floor(*out);
}

/* 0 or EXIT_USAGE. */
static int parse_question(const struct arguments *arguments, struct question *out)
{
    const char *const *words = arguments->words, *rest;
    double radius_km, count = PLACES_RESULTS_MAX;
    if (arguments->count < 2)
        return wrong_usage("near: no %s", arguments->count == 0 ? "LAT,LON" : "RADIUS_KM");
    if (arguments->count > 3)
        return wrong_usage("near: one word too many: \"%s\"", words[3]);
    if (!parse_location(words[0], &out->query))
        return wrong_usage("\"%s\" is no LAT,LON: degrees, -90 to 90 and -180 to 180", words[0]);
    if (!parse_number(words[1], '\0', 0, HERD_RADIUS_MAX_KM, &radius_km, &rest))
        return wrong_usage("\"%s\" is no RADIUS_KM: a number, 0 to %d", words[1],
                           HERD_RADIUS_MAX_KM);
    if (arguments->count == 3 && !parse_count(words[2], &count))
        return wrong_usage("\"%s\" is no COUNT: a whole number, 0 to %d", words[2],
                           PLACES_RESULTS_MAX);
    out->query.radius_m = radius_km * 1000;
    out->count = (size_t)count;
    return 0;
}

/* ---- For people ------------------------------------------------------------------------------ */

struct printer {
    size_t left;
};

static int on_place(void *arg, const struct local_place *place)
{
    struct printer *printer = arg;
    if (printer->left == 0)
        return 0;
    printer->left--;
    printf("%8.2f km  ", place->distance_m / 1000);
    output_shown(stdout, herd_slice_of(place->name));
    if (place->vicinity[0] != '\0')
        printf(", ");
    output_shown(stdout, herd_slice_of(place->vicinity));
    printf("  (");
    output_shown(stdout, herd_slice_of(place->types));
    printf(")\n");
    return 0;
}

static int print_near(const char *path, const struct question *question, struct herd_buf *error)
{
    struct local_db *db;
    int rc = local_db_open(path, &db, error);
    if (rc < 0)
        return rc;
    struct printer printer = {.left = question->count};
    size_t within;
    rc = local_db_near(db, &question->query, on_place, &printer, &within);
    if (rc == 0)
        printf("%zu of %zu places within %g km\n", question->count - printer.left, within,
               question->query.radius_m / 1000);
    else
        herd_buf_printf(error, "%s: %s", path, local_db_reason(db));
    local_db_close(db);
    return rc;
}

/* ---- As a server asks ------------------------------------------------------------------------ */

/* Asks `left` times, CALLS_AT_ONCE at a time, and keeps the last answer rendered. */
struct asker {
    struct provider *provider;
    const struct question *question;
    int64_t left, under_way;
    struct herd_buf answer;
    int rc;
};

static void ask(struct asker *asker);

static void on_closed(void *arg)
{
    struct asker *asker = arg;
    asker->provider = NULL;
}

static void on_answer(void *arg, struct places_answer *take_answer)
{
    struct asker *asker = arg;
    asker->under_way--;
    asker->answer.len = 0;
    int rc = places_answer_render(take_answer, asker->question->count, &asker->answer);
    if (rc == 0 && places_answer_status(take_answer) == PLACES_UNKNOWN_ERROR)
        rc = HERD_EIO;
    places_answer_unref(take_answer);
    if (rc < 0)
        asker->rc = rc;
    ask(asker);
    if (asker->under_way == 0)
        asker->provider->type->close(asker->provider, on_closed, asker);
}

static void ask(struct asker *asker)
{
    struct provider *provider = asker->provider;
    while (asker->left > 0 && asker->under_way < CALLS_AT_ONCE && asker->rc == 0) {
        struct places_call *call;
        asker->rc = provider->type->ask(provider, &asker->question->query, on_answer, asker, &call);
        if (asker->rc == 0) {
            asker->left--;
            asker->under_way++;
        }
    }
}

static int run_asker(struct asker *asker, const char *path, struct herd_buf *error)
{
    uv_loop_t loop;
    if (uv_loop_init(&loop) < 0)
        return HERD_ENOMEM;
    struct places_options options = {
        .loop = &loop, .data_file = path, .calls_max = CALLS_AT_ONCE, .language = "en"};
    int rc = provider_local.open(&options, &asker->provider, error);
    if (rc == 0) {
        ask(asker);
        if (asker->under_way == 0)
            asker->provider->type->close(asker->provider, on_closed, asker);
        uv_run(&loop, UV_RUN_DEFAULT);
        rc = asker->rc;
    }
    int closed = uv_loop_close(&loop);
    assert(closed == 0);
    return rc;
}

static int print_answer(const char *path, const struct question *question, int64_t repeat,
                        struct herd_buf *error)
{
    int64_t times = repeat > 0 ? repeat : 1;
    struct asker asker = {.question = question, .left = times};
    uint64_t begin_ns = uv_hrtime();
    int rc = run_asker(&asker, path, error);
    double took_s = (double)(uv_hrtime() - begin_ns) / 1e9;
    if (rc == 0 && repeat > 0)
        printf("%" PRId64 " answers of %zu bytes in %.3f s: %.0f a second\n", times,
               asker.answer.len, took_s, (double)times / took_s);
    else if (repeat == 0 && (rc == 0 || rc == HERD_EIO))
        output_json(stdout, herd_buf_slice(&asker.answer));
    if (rc == HERD_EIO && error->len == 0)
        herd_buf_printf(error, "%s cannot be read: the answer's error_message says why", path);
    herd_buf_free(&asker.answer);
    return rc;
}

int command_near(const struct arguments *arguments)
{
    struct question question;
    int code = parse_question(arguments, &question);
    if (code != 0)
        return code;
    struct herd_buf path = {0}, error = {0};
    int rc = find_places_file(arguments, &path);
    if (rc == 0)
        rc = arguments->json || arguments->repeat > 0
                 ? print_answer(path.data, &question, arguments->repeat, &error)
                 : print_near(path.data, &question, &error);
    code = rc < 0 ? print_failure(rc, &error) : EXIT_DONE;
    herd_buf_free(&path);
    herd_buf_free(&error);
    return code;
}
