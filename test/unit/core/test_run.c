/*
 * Lines that links share (core/run.h). Two nodes live the same life, one of them without runs: each
 * link has to say the same in both, byte by byte, and to count alike. That one makes its lines one by
 * one is a matter of this program: run_reach is wrapped in it, and finds nothing there.
 */
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/node.h"
#include "core/rng.h"
#include "edge.h"

enum {
    LINKS = 5, /* the last one is plain */
    CLIENTS_MAX = 4000,
    LIVES = 40,
    STEPS = 150,
    LINES_MAX = 400, /* of one go */
    TTL_S = 20
};

static const char *const names[LINKS] = {"Jaquez", "Smith", "Campbell", "Singh", "Plain"};

/* What has been seen of runs. */
static struct {
    const struct herd_node *without;
    size_t taken, shared; /* of a run; of one that was not made for it just now */
} seen;

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
bool __real_run_reach(const struct link *link, unsigned *out);

bool __wrap_run_reach(const struct link *link, unsigned *out)
{
    const struct run *run = &link->conn.node->run;
    uint64_t changes = run->changes;
    unsigned count = run->count;
    if (link->conn.node == seen.without || !__real_run_reach(link, out))
        return false;
    seen.taken++;
    seen.shared += run->changes == changes && run->count == count;
    return true;
}

#ifdef STALE_RUNS
/* The planted bug: a run is kept whatever happens to its records. */
uint64_t __wrap_store_changes(const struct herd_store *store);
uint64_t __wrap_store_changes(const struct herd_store *store)
{
    (void)store;
    return 0;
}
#endif

struct world {
    struct driver *driver;
    struct wire *links[LINKS], *inbound[LINKS], *client;
};

/* One life: what happens, to both worlds alike. */
struct life {
    struct rng rng;
    struct world worlds[2];
    unsigned clients, second;
    unsigned padding; /* bytes of a client's id at most, besides its number */
    struct herd_buf text;
};

static unsigned any(struct life *life, unsigned below)
{
    return (unsigned)rng_below(&life->rng, below);
}

static struct herd_node *node_of(const struct world *world)
{
    return world->driver->node;
}

static void begin_world(struct life *life, struct world *world, bool prunes, bool ends)
{
    struct herd_node_options options = driver_options("Hill");
    options.prune = prunes;
    options.record_ttl_ns = ends ? TTL_S * HERD_NS_PER_S : 0;
    options.turn_lines_client = options.turn_lines_link = LINES_MAX;
    options.seed = life->rng.state;
    world->driver = driver_new_with(&options);
    world->driver->reports_writes = false;
    world->client = driver_accept(world->driver);
    for (unsigned i = 0; i < LINKS; i++) {
        world->links[i] = driver_add_neighbour(world->driver, names[i]);
        world->inbound[i] = driver_accept(world->driver);
        wire_sayf(world->inbound[i], "HELLO %s 2 000000000000000%u 0 - ttl=%u%s\n", names[i], i + 1,
                  ends ? TTL_S : 0, prunes ? " prune" : "");
    }
}

/* Links that were dialled come up, from anywhere. */
static void attend(struct life *life, struct world *world, unsigned i, unsigned parts)
{
    struct wire *link = world->links[i];
    uint64_t sequence = herd_store_sequence(herd_node_store(node_of(world)));
    (void)life;
    if (!link->dialling)
        return;
    wire_dialled(link, NULL);
    if (i == LINKS - 1)
        wire_say(link, "? HELLO Hill 2\n");
    else
        wire_sayf(link, "RESUME %016" PRIx64 " %" PRIu64 "\n", herd_node_epoch(node_of(world)),
                  sequence * parts / 4);
}

/* The same for both: `count` lines of a client or of neighbour `from` (LINKS: a client). */
static void make_lines(struct life *life, unsigned from, unsigned count)
{
    life->text.len = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned padding = life->padding > 0 ? any(life, life->padding) : 0;
        unsigned client = any(life, life->clients);
        long long now_s = life->worlds[0].driver->now.wall_ns / HERD_NS_PER_S;
        int rc =
            from == LINKS
                ? herd_buf_printf(&life->text, "IAMAT c%u%0*u +1+1 %lld.%06u\n", client,
                                  client % 7 == 0 ? (int)padding + 1 : 1, 0, now_s, life->second++)
                : herd_buf_printf(&life->text,
                                  "FLOOD %s c%u%0*u +1+1 %lld.%06u %lld.000000000 %s +0.0\n",
                                  names[from], client, client % 7 == 0 ? (int)padding + 1 : 1, 0,
                                  now_s, life->second++, now_s - any(life, TTL_S), names[from]);
        assert_int_equal(rc, 0);
    }
}

static void tell(struct life *life, unsigned from, unsigned count)
{
    make_lines(life, from, count);
    for (unsigned w = 0; w < 2; w++) {
        struct world *world = &life->worlds[w];
        struct wire *wire = from == LINKS ? world->client : world->inbound[from];
        wire_send(wire, herd_buf_slice(&life->text));
        wire_wrote(wire, SIZE_MAX);
    }
}

static void pass_time(struct life *life, int64_t ms)
{
    for (unsigned w = 0; w < 2; w++) {
        struct driver *driver = life->worlds[w].driver;
        driver->now.wall_ns += ms * HERD_NS_PER_MS;
        driver_advance_ms(driver, ms);
    }
}

static void say(struct life *life, unsigned i, const char *text)
{
    for (unsigned w = 0; w < 2; w++)
        wire_say(life->worlds[w].links[i], text);
}

static void take_writes(struct life *life, unsigned i, size_t len)
{
    for (unsigned w = 0; w < 2; w++)
        wire_wrote(life->worlds[w].links[i], len);
}

static void lose(struct life *life, unsigned i)
{
    for (unsigned w = 0; w < 2; w++)
        wire_close(life->worlds[w].links[i], "reset");
}

static void step(struct life *life)
{
    unsigned i = any(life, LINKS);
    char line[64];
    switch (any(life, 12)) {
    case 0:
    case 1:
    case 2:
        tell(life, LINKS, 1 + any(life, LINES_MAX));
        break;
    case 3:
    case 4:
        tell(life, i, 1 + any(life, LINES_MAX / 4));
        break;
    case 5:
        tell(life, LINKS, 1 + any(life, 6));
        break;
    case 6:
        pass_time(life, any(life, 250));
        break;
    case 7:
        pass_time(life, any(life, 4) == 0 ? any(life, 6000) : 1);
        break;
    case 8:
        if (any(life, 3) == 0)
            lose(life, i);
        break;
    case 9:
        snprintf(line, sizeof(line), "%s %s\n", any(life, 3) > 0 ? "GRAFT" : "PRUNE",
                 names[any(life, LINKS)]);
        say(life, i, line);
        break;
    case 10:
        snprintf(line, sizeof(line), "WANT c%u0\n", any(life, life->clients));
        say(life, i, line);
        break;
    default:
        break;
    }
    for (i = 0; i < LINKS; i++) {
        unsigned parts = any(life, 5);
        for (unsigned w = 0; w < 2; w++)
            attend(life, &life->worlds[w], i, parts);
        if (any(life, 4) > 0)
            take_writes(life, i, any(life, 2) > 0 ? SIZE_MAX : any(life, 100000));
    }
}

static void compare_links(const struct life *life, unsigned i, unsigned number)
{
    struct wire *const *a = life->worlds[0].links, *const *b = life->worlds[1].links;
    const struct link *one = conn_link(a[i]->conn), *two = conn_link(b[i]->conn);
    CHECK_INT(("%s, step %u: bytes", names[i], number), a[i]->got.len, b[i]->got.len);
    CHECK_SLICE(("%s, step %u", names[i], number), wire_take(a[i]), wire_take(b[i]));
    CHECK_INT(("%s, step %u", names[i], number), one->state, two->state);
    CHECK_INT(("%s, step %u", names[i], number), one->lines, two->lines);
    CHECK_INT(("%s, step %u", names[i], number), one->sent, two->sent);
    CHECK_INT(("%s, step %u", names[i], number), one->unmarked, two->unmarked);
    CHECK_INT(("%s, step %u", names[i], number), one->unmarked_bytes, two->unmarked_bytes);
    CHECK_INT(("%s, step %u", names[i], number), one->marked, two->marked);
    CHECK_INT(("%s, step %u", names[i], number), one->passed, two->passed);
    CHECK_INT(("%s, step %u", names[i], number), one->steps, two->steps);
    CHECK_INT(("%s, step %u", names[i], number), one->catches_up, two->catches_up);
    CHECK_INT(("%s, step %u", names[i], number), one->oldest_ns, two->oldest_ns);
    CHECK_INT(("%s, step %u", names[i], number), one->clean_mark_count, two->clean_mark_count);
    CHECK_INT(("%s, step %u", names[i], number),
              herd_cursor_sequence(node_of(&life->worlds[0])->store, one->cursor),
              herd_cursor_sequence(node_of(&life->worlds[1])->store, two->cursor));
}

static void compare(const struct life *life, unsigned number)
{
    for (unsigned i = 0; i < LINKS; i++)
        compare_links(life, i, number);
    const struct herd_node_stats *one = herd_node_stats(node_of(&life->worlds[0]));
    const struct herd_node_stats *two = herd_node_stats(node_of(&life->worlds[1]));
    CHECK_INT(("step %u", number), one->floods_sent, two->floods_sent);
    CHECK_INT(("step %u", number), one->floods_held_back, two->floods_held_back);
    const struct run *run = &node_of(&life->worlds[0])->run;
    CHECK_TRUE(("step %u: %zu bytes", number, run->text.cap), run->text.cap <= RUN_BYTES_MAX);
    CHECK_TRUE(("step %u: %u lines", number, run->cap), run->cap <= RUN_LINES_MAX);
}

static void live(unsigned number)
{
    struct life life = {.rng = {number}};
    life.clients = number % 3 == 0 ? 40 : number % 3 == 1 ? 600 : CLIENTS_MAX;
    life.padding = number % 4 == 0 ? 900 : 0;
    for (unsigned w = 0; w < 2; w++)
        begin_world(&life, &life.worlds[w], number % 5 == 4, number % 2 == 1);
    seen.without = node_of(&life.worlds[1]);
    for (unsigned i = 0; i < STEPS; i++) {
        step(&life);
        compare(&life, i);
    }
    seen.without = NULL;
    for (unsigned w = 0; w < 2; w++)
        driver_free(life.worlds[w].driver);
    herd_buf_free(&life.text);
}

static void each_link_says_the_same_as_alone(void **state)
{
    (void)state;
    seen.taken = seen.shared = 0;
    for (unsigned i = 1; i <= LIVES; i++)
        live(i);
    print_message("%zu times from a run, %zu of them from one that was there\n", seen.taken,
                  seen.shared);
    assert_true(seen.taken > 10000 && seen.shared > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_link_says_the_same_as_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
