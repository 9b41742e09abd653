/* What is said to a server and what must come back: of herd, and of what it is compared with. */
#include <math.h>
#include <string.h>

#include <jansson.h>

#include <herd/geo.h>

#include "herd_bench.h"
#include "herd_bench_places.h"

enum {
    LINE_MAX_BYTES = 4096,
    AREA_UDEG = 10000, /* a client moves within ± 0.01 degrees of its place */
    DECIMALS = 1000000,
    DIFF_DIGITS_MAX = 9 + 9,
    SLACK_M = 1 /* a result may be so much farther away than asked for: its decimals are rounded */
};

/* SplitMix64 (Steele, Lea, Flood 2014): also where a client lives. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint32_t maker_next_client(struct maker *maker, unsigned target)
{
    const struct bench_options *options = maker->options;
    uint64_t share = (uint64_t)options->clients / options->target_count;
    uint64_t at = maker->made_for[target]++;
    maker->made++;
    if (options->sequential)
        at %= share;
    else
        at = (mix(maker->random++) >> 32) * share >> 32;
    return (uint32_t)(at * options->target_count + target);
}

static char *put_digits(char *at, uint64_t value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + width;
}

static char *put_text(char *at, const char *text)
{
    size_t len = strlen(text);
    memcpy(at, text, len);
    return at + len;
}

static char *put_client(const struct bench_options *options, char *at, uint32_t client)
{
    return put_digits(put_text(at, options->prefix), client, BENCH_CLIENT_DIGITS);
}

/* Where a client is at a moment, which no other request has: near the place it lives at. So an
 * answer's location is known from its client and time. */
static void locate(uint32_t client, uint64_t moment, int32_t *lat, int32_t *lon)
{
    uint64_t home = mix(client);
    uint64_t step = mix(moment);
    *lat = (int32_t)(home % 120000000) - 60000000 + (int32_t)(step % (2 * AREA_UDEG)) - AREA_UDEG;
    *lon = (int32_t)((home >> 32) % 340000000) - 170000000 +
           (int32_t)((step >> 32) % (2 * AREA_UDEG)) - AREA_UDEG;
}

static char *put_degrees(char *at, int32_t udeg, int width, bool plus)
{
    uint32_t size = udeg < 0 ? (uint32_t)-udeg : (uint32_t)udeg;
    if (udeg < 0)
        *at++ = '-';
    else if (plus)
        *at++ = '+';
    at = put_digits(at, size / DECIMALS, width);
    *at++ = '.';
    return put_digits(at, size % DECIMALS, 6);
}

static char *put_location(char *at, uint32_t client, int64_t sent_ns)
{
    int32_t lat, lon;
    locate(client, (uint64_t)sent_ns, &lat, &lon);
    return put_degrees(put_degrees(at, lat, 2, true), lon, 3, true);
}

static char *put_time(char *at, int64_t ns)
{
    at = put_digits(at, (uint64_t)(ns / HERD_NS_PER_S), 10);
    *at++ = '.';
    return put_digits(at, (uint64_t)(ns % HERD_NS_PER_S), 9);
}

static int64_t next_time(struct maker *maker)
{
    int64_t now_ns = bench_wall_ns();
    maker->last_ns = now_ns > maker->last_ns ? now_ns : maker->last_ns + 1;
    return maker->last_ns;
}

/* `<client> <location> <time_sent>` */
static char *put_record(const struct bench_options *options, char *at, uint32_t client,
                        int64_t sent_ns)
{
    at = put_text(put_client(options, at, client), " ");
    at = put_text(put_location(at, client, sent_ns), " ");
    return put_time(at, sent_ns);
}

bool speech_said(const struct bench_options *options, uint32_t client,
                 const struct herd_record *record)
{
    char right[BENCH_ECHO_MAX], *at;
    if (record->sent_ns < 0)
        return false;
    const char *end = put_record(options, right, client, record->sent_ns);
    if ((size_t)(end - right) != record->client.len + record->location.len + record->sent.len + 2)
        return false;
    at = right;
    const struct herd_slice fields[] = {record->client, record->location, record->sent};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (memcmp(at, fields[i].data, fields[i].len) != 0)
            return false;
        at += fields[i].len + 1;
    }
    return true;
}

/* ---- herd: IAMAT and WHATSAT ---------------------------------------------------------------- */

static uint64_t radius_m(const struct bench_options *options)
{
    return (uint64_t)(options->radius_km * 1000 + 0.5);
}

static char *put_radius(char *at, uint64_t metres)
{
    at = put_digits(at, metres / 1000, 2);
    return metres % 1000 == 0 ? at : put_digits(put_text(at, "."), metres % 1000, 3);
}

static size_t say_whatsat(struct maker *maker, struct request *request, char *out)
{
    char *id = put_text(out, "WHATSAT ");
    char *at = put_client(maker->options, id, request->client);
    request->is_question = 1;
    request->sent_ns = maker->acked[request->client].sent_ns;
    request->echo_len = (uint8_t)(at - id);
    memcpy(request->echo, id, request->echo_len);
    *at++ = ' ';
    at = put_radius(at, radius_m(maker->options));
    *at++ = ' ';
    at = put_digits(at, (uint64_t)maker->options->count, 2);
    *at++ = '\n';
    return (size_t)(at - out);
}

static bool asks_now(struct maker *maker, uint32_t client)
{
    double share = maker->options->whatsat_share;
    if (share <= 0 || (double)(mix(~maker->made) >> 11) * 0x1p-53 >= share)
        return false;
    return maker->options->known || maker->acked[client].sent_ns > 0;
}

static size_t say_iamat(struct maker *maker, struct request *request, char *out)
{
    char *echo = put_text(out, "IAMAT ");
    request->is_question = 0;
    request->sent_ns = next_time(maker);
    char *at = put_record(maker->options, echo, request->client, request->sent_ns);
    request->echo_len = (uint8_t)(at - echo);
    memcpy(request->echo, echo, request->echo_len);
    *at++ = '\n';
    return (size_t)(at - out);
}

static size_t say_herd(struct maker *maker, struct request *request, char *out)
{
    return asks_now(maker, request->client) ? say_whatsat(maker, request, out)
                                            : say_iamat(maker, request, out);
}

/* `<server> `, the same one each time. What stands behind it, or NULL. */
static const char *check_name(struct peer_name *name, const char *at, const char *end)
{
    if (name->len == 0) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        if (space == NULL || space == at || space - at > BENCH_NAME_MAX)
            return NULL;
        name->len = (uint8_t)(space - at);
        memcpy(name->text, at, name->len);
    }
    if (end - at <= name->len || memcmp(at, name->text, name->len) != 0 || at[name->len] != ' ')
        return NULL;
    return at + name->len + 1;
}

/* Digits from `at` on, at most `max`, as a number. What stands behind them. */
static const char *take_digits(const char *at, const char *end, int max, uint64_t *out)
{
    uint64_t value = 0;
    for (; at < end && max > 0 && *at >= '0' && *at <= '9'; at++, max--)
        value = value * 10 + (uint64_t)(*at - '0');
    *out = value;
    return at;
}

/* `±digits.9digits`, written in the one way there is: no zeros before it, and 0 is `+0`. What stands
 * behind it, or NULL. */
static const char *take_diff(const char *at, const char *end, int64_t *out_ns)
{
    uint64_t whole, part;
    if (at == end || (*at != '+' && *at != '-'))
        return NULL;
    const char *dot = take_digits(at + 1, end, DIFF_DIGITS_MAX - HERD_TIME_DECIMALS, &whole);
    if (dot == at + 1 || dot == end || *dot != '.' || (at[1] == '0' && dot > at + 2))
        return NULL;
    const char *behind = take_digits(dot + 1, end, HERD_TIME_DECIMALS, &part);
    int64_t ns = (int64_t)whole * HERD_NS_PER_S + (int64_t)part;
    if (behind - dot != 1 + HERD_TIME_DECIMALS || (*at == '-' && ns == 0))
        return NULL;
    *out_ns = *at == '-' ? -ns : ns;
    return behind;
}

/* The same with a space behind it, and what stands behind that. */
static const char *check_diff(const char *at, const char *end, int64_t *out_ns)
{
    const char *space = take_diff(at, end, out_ns);
    return space != NULL && space < end && *space == ' ' ? space + 1 : NULL;
}

/* `AT <server> <time_diff> ` of a line up to `end`. What stands behind it, or NULL. */
static const char *check_at(struct peer_name *name, const char *line, const char *end,
                            int64_t *out_diff_ns)
{
    if (end - line < 3 || memcmp(line, "AT ", 3) != 0)
        return NULL;
    const char *at = check_name(name, line + 3, end);
    return at != NULL ? check_diff(at, end, out_diff_ns) : NULL;
}

/* Whether `ns` is over by herd-bench's clock, which is only read when it may not be. */
static bool is_over(struct maker *maker, int64_t ns)
{
    if (ns > maker->over_ns)
        maker->over_ns = bench_wall_ns();
    return ns <= maker->over_ns;
}

/* What was sent at `sent_ns` was received after that, and before now. */
static bool is_received(struct maker *maker, int64_t sent_ns, int64_t diff_ns)
{
    int64_t skew_ns = (int64_t)(maker->options->skew_s * 1e9);
    return diff_ns + skew_ns > 0 && is_over(maker, sent_ns + diff_ns - skew_ns);
}

bool speech_received(struct maker *maker, const struct herd_record *record, int64_t *out_diff_ns)
{
    char right[HERD_TIME_TEXT_MAX + 1];
    const char *end = record->diff.data + record->diff.len;
    if (take_diff(record->diff.data, end, out_diff_ns) != end || record->received_ns < 0 ||
        record->received_ns - record->sent_ns != *out_diff_ns)
        return false;
    size_t len = (size_t)(put_time(right, record->received_ns) - right);
    return herd_slice_equal(record->received, herd_slice(right, len)) &&
           is_received(maker, record->sent_ns, *out_diff_ns);
}

/* `<client> <location> <time_sent>` as it was sent: of the client asked for, not older than what
 * this server had confirmed before, not newer than what was sent last (`known`: by whom else, until
 * now), and with the place that the client was at then. */
static bool check_record(struct maker *maker, const struct request *request, const char *at,
                         const char *end, int64_t *out_sent_ns)
{
    char right[BENCH_ECHO_MAX];
    int64_t sent_ns;
    const char *space = memrchr(at, ' ', (size_t)(end - at));
    if (space == NULL ||
        herd_time_parse(herd_slice(space + 1, (size_t)(end - space - 1)), &sent_ns) != 0 ||
        sent_ns < request->sent_ns || sent_ns < 0)
        return false;
    if (sent_ns > maker->last_ns && !(maker->options->known && is_over(maker, sent_ns)))
        return false;
    *out_sent_ns = sent_ns;
    size_t len = (size_t)(put_record(maker->options, right, request->client, sent_ns) - right);
    return (size_t)(end - at) == len && memcmp(at, right, len) == 0;
}

/* The AT line of a WHATSAT: a record as it was sent, and its time_diff, which is the one that its
 * IAMAT was answered with where that was the last one answered. */
static bool check_held(struct maker *maker, const struct request *request, struct peer_name *name,
                       const char *line, const char *end, int64_t *out_sent_ns)
{
    const struct acked *acked = &maker->acked[request->client];
    int64_t diff_ns;
    const char *at = check_at(name, line, end, &diff_ns);
    if (at == NULL || !check_record(maker, request, at, end, out_sent_ns) ||
        !is_received(maker, *out_sent_ns, diff_ns))
        return false;
    return *out_sent_ns != acked->sent_ns || diff_ns == acked->diff_ns;
}

/* An object with a place in it that is within the radius. */
static bool check_result(const json_t *result, struct herd_location centre, double radius)
{
    const json_t *location = json_object_get(json_object_get(result, "geometry"), "location");
    const json_t *lat = json_object_get(location, "lat"), *lng = json_object_get(location, "lng");
    if (!json_is_number(lat) || !json_is_number(lng))
        return false;
    struct herd_location place = {json_number_value(lat), json_number_value(lng)};
    return fabs(place.latitude) <= 90 && fabs(place.longitude) <= 180 &&
           herd_geo_distance_m(centre, place) <= radius;
}

/* At most as many results as were asked for, all of them near where the client was. */
static bool check_results(const struct bench_options *options, const json_t *results,
                          struct herd_location centre)
{
    size_t count = json_array_size(results);
    if (!json_is_array(results) || (double)count > options->count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!check_result(json_array_get(results, i), centre, (double)radius_m(options) + SLACK_M))
            return false;
    return true;
}

/* OK with results, ZERO_RESULTS without. Where none were asked for there are none to tell by. */
static bool check_status(const struct bench_options *options, const char *status, size_t count)
{
    bool is_ok = status != NULL && strcmp(status, "OK") == 0;
    bool is_zero = status != NULL && strcmp(status, "ZERO_RESULTS") == 0;
    return options->count == 0 ? is_ok || is_zero : count > 0 ? is_ok : is_zero;
}

/* One JSON object: attributions, a status and the places near where the client was. */
static bool check_json(const struct bench_options *options, struct herd_location centre,
                       struct herd_slice text)
{
    json_t *object = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *results = json_object_get(object, "results");
    bool right = json_is_array(json_object_get(object, "html_attributions")) &&
                 check_status(options, json_string_value(json_object_get(object, "status")),
                              json_array_size(results)) &&
                 check_results(options, results, centre);
    json_decref(object);
    return right;
}

/* A JSON object that may be the places around where `client` was at `sent_ns`, and is all that the
 * servers' file has there, where that is known. `text` has the empty line behind it. */
static bool check_around(const struct maker *maker, uint32_t client, int64_t sent_ns,
                         struct herd_slice text)
{
    const struct bench_options *options = maker->options;
    char location[BENCH_ECHO_MAX];
    struct herd_location centre;
    size_t len = (size_t)(put_location(location, client, sent_ns) - location);
    return herd_location_parse(herd_slice(location, len), &centre) == 0 &&
           check_json(options, centre, text) &&
           (maker->places == NULL ||
            bench_places_right(maker->places, centre, (double)radius_m(options),
                               (size_t)options->count, text));
}

/* The AT line, one JSON object, a blank line. */
static long check_places(struct maker *maker, const struct request *request, struct peer_name *name,
                         const char *data, const char *lf, size_t len)
{
    int64_t sent_ns;
    if (!check_held(maker, request, name, data, lf, &sent_ns))
        return SPEECH_WRONG;
    const char *json = lf + 1;
    size_t left = len - (size_t)(json - data);
    const char *end = memmem(json, left, "\n\n", 2);
    if (left > 0 && json[0] != '{')
        return SPEECH_WRONG;
    if (end == NULL)
        return left < BENCH_PLACES_MAX ? SPEECH_MORE : SPEECH_WRONG;
    end += 2;
    return check_around(maker, request->client, sent_ns, herd_slice(json, (size_t)(end - json)))
               ? end - data
               : SPEECH_WRONG;
}

/* `AT <server> <time_diff> ` and what the IAMAT has said. */
static bool check_iamat(struct request *request, struct peer_name *name, const char *data,
                        const char *lf)
{
    const char *at = check_at(name, data, lf, &request->diff_ns);
    return at != NULL && lf - at == request->echo_len &&
           memcmp(at, request->echo, request->echo_len) == 0;
}

static long check_herd(struct maker *maker, struct request *request, struct peer_name *name,
                       const char *data, size_t len)
{
    const char *lf = memchr(data, '\n', len);
    if (lf == NULL)
        return len < LINE_MAX_BYTES ? SPEECH_MORE : SPEECH_WRONG;
    if (request->is_question)
        return check_places(maker, request, name, data, lf, len);
    return check_iamat(request, name, data, lf) &&
                   is_received(maker, request->sent_ns, request->diff_ns)
               ? lf + 1 - data
               : SPEECH_WRONG;
}

/* ---- The baseline, which reads no clock ------------------------------------------------------ */

static long check_bare(struct maker *maker, struct request *request, struct peer_name *name,
                       const char *data, size_t len)
{
    (void)maker;
    const char *lf = memchr(data, '\n', len);
    if (lf == NULL)
        return len < LINE_MAX_BYTES ? SPEECH_MORE : SPEECH_WRONG;
    return check_iamat(request, name, data, lf) && request->diff_ns == 0 ? lf + 1 - data
                                                                         : SPEECH_WRONG;
}

/* ---- Redis: GEOADD of a moving position ------------------------------------------------------ */

static char *put_bulk(char *at, const char *text, size_t len)
{
    *at++ = '$';
    at = put_digits(at, len, len < 10 ? 1 : 2);
    at = put_text(at, "\r\n");
    memcpy(at, text, len);
    return put_text(at + len, "\r\n");
}

static size_t say_redis(struct maker *maker, struct request *request, char *out)
{
    char lat_text[16], lon_text[16], id[BENCH_ECHO_MAX];
    int32_t lat, lon;
    locate(request->client, maker->made, &lat, &lon);
    char *at = put_text(out, "*5\r\n$6\r\nGEOADD\r\n$4\r\nherd\r\n");
    at = put_bulk(at, lon_text, (size_t)(put_degrees(lon_text, lon, 3, false) - lon_text));
    at = put_bulk(at, lat_text, (size_t)(put_degrees(lat_text, lat, 2, false) - lat_text));
    at = put_bulk(at, id, (size_t)(put_client(maker->options, id, request->client) - id));
    return (size_t)(at - out);
}

/* `:1` for a new member, `:0` for one that has moved. */
static long check_redis(struct maker *maker, struct request *request, struct peer_name *name,
                        const char *data, size_t len)
{
    (void)maker;
    (void)request;
    (void)name;
    if (len < 4)
        return len == 0 || data[0] == ':' ? SPEECH_MORE : SPEECH_WRONG;
    bool right =
        data[0] == ':' && (data[1] == '0' || data[1] == '1') && data[2] == '\r' && data[3] == '\n';
    return right ? 4 : SPEECH_WRONG;
}

/* ---- memcached: set of the same text --------------------------------------------------------- */

static size_t say_memcached(struct maker *maker, struct request *request, char *out)
{
    char value[BENCH_ECHO_MAX];
    int64_t sent_ns = next_time(maker);
    char *end = put_text(put_location(value, request->client, sent_ns), " ");
    end = put_time(end, sent_ns);
    size_t len = (size_t)(end - value);
    char *at = put_client(maker->options, put_text(out, "set "), request->client);
    at = put_digits(put_text(at, " 0 0 "), len, 2);
    at = put_text(at, "\r\n");
    memcpy(at, value, len);
    return (size_t)(put_text(at + len, "\r\n") - out);
}

static long check_memcached(struct maker *maker, struct request *request, struct peer_name *name,
                            const char *data, size_t len)
{
    static const char stored[] = "STORED\r\n";
    const size_t stored_len = sizeof(stored) - 1;
    (void)maker;
    (void)request;
    (void)name;
    if (memcmp(data, stored, len < stored_len ? len : stored_len) != 0)
        return SPEECH_WRONG;
    return len < stored_len ? SPEECH_MORE : (long)stored_len;
}

static const struct speech speeches[] = {
    {"herd", "IAMAT and WHATSAT of herd", say_herd, check_herd},
    {"bare", "IAMAT of bare-server, whose time_diff is always 0", say_iamat, check_bare},
    {"redis", "GEOADD herd <longitude> <latitude> <client>", say_redis, check_redis},
    {"memcached", "set <client> to its location and time", say_memcached, check_memcached},
};

const struct speech *speech_at(unsigned i)
{
    return i < sizeof(speeches) / sizeof(speeches[0]) ? &speeches[i] : NULL;
}

const struct speech *speech_find(const char *name)
{
    for (unsigned i = 0; speech_at(i) != NULL; i++)
        if (strcmp(speeches[i].name, name) == 0)
            return &speeches[i];
    return NULL;
}
