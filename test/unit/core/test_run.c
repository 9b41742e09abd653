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
    size_t taken, shared;              /* times; of these, from what was not made just then */
    size_t shared_lines, pruned_lines; /* of these, by links that hold something back */
    bool is_shared;                    /* the last one */
    unsigned steps;                    /* before it, in its turn */
    unsigned steps_max;
} seen;

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
bool __real_run_reach(const struct link *link, unsigned *out);
void __real_run_cut(const struct link *link, unsigned at, const struct run_limits *limits,
                    struct run_part *out);

bool __wrap_run_reach(const struct link *link, unsigned *out)
{
    const struct run *run = &link->conn.node->run;
    uint64_t changes = run->changes;
    unsigned count = run->count;
    if (link->conn.node == seen.without || !__real_run_reach(link, out))
        return false;
    seen.taken++;
    seen.steps = link->steps;
    seen.is_shared = run->changes == changes && run->count == count;
    seen.shared += seen.is_shared;
    return true;
}

void __wrap_run_cut(const struct link *link, unsigned at, const struct run_limits *limits,
                    struct run_part *out)
{
    __real_run_cut(link, at, limits, out);
    seen.shared_lines += seen.is_shared ? out->lines : 0;
    seen.pruned_lines += seen.is_shared && link->held.pruned_count > 0 ? out->lines : 0;
    if (seen.steps + out->lines > seen.steps_max)
        seen.steps_max = seen.steps + out->lines;
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
    world->driver->answers_pings = true;
    world->client = driver_accept(world->driver);
    for (unsigned i = 0; i < LINKS; i++) {
        world->links[i] = driver_add_neighbour(world->driver, names[i]);
        world->inbound[i] = driver_accept(world->driver);
        wire_sayf(world->inbound[i], "HELLO %s 2 000000000000000%u 0 - ttl=%u%s\n", names[i], i + 1,
                  ends ? TTL_S : 0, prunes ? " prune" : "");
    }
}

struct answer {
    char text[64];
};

/* The neighbour has nothing. */
static struct answer resume_from_nothing(const struct world *world)
{
    struct answer answer;
    snprintf(answer.text, sizeof(answer.text), "RESUME %016" PRIx64 " 0\n",
             herd_node_epoch(node_of(world)));
    return answer;
}

static void resume(struct world *world, unsigned i, unsigned parts)
{
    uint64_t sequence = herd_store_sequence(herd_node_store(node_of(world)));
    wire_sayf(world->links[i], "RESUME %016" PRIx64 " %" PRIu64 "\n",
              herd_node_epoch(node_of(world)), sequence * parts / 4);
}

/* Links that were dialled come up, from anywhere; some so late that they are plain ones till then. */
static void attend(struct life *life, unsigned i)
{
    unsigned parts = any(life, 5);
    bool is_late = any(life, 3) == 0;
    for (unsigned w = 0; w < 2; w++) {
        struct world *world = &life->worlds[w];
        struct wire *link = world->links[i];
        const char *state = driver_link_state(world->driver, names[i]);
        bool waits = strcmp(state, "greeting") == 0 || strcmp(state, "plain") == 0;
        bool was_dialled = link->dialling;
        if (was_dialled)
            wire_dialled(link, NULL);
        if (i == LINKS - 1 && was_dialled)
            wire_say(link, "? HELLO Hill 2\n");
        else if (i < LINKS - 1 && (was_dialled || waits) && !is_late)
            resume(world, i, parts);
    }
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

/* Clients and neighbours speak all in one turn, so that their records are mixed in the list. */
static void tell_at_once(struct life *life)
{
    for (unsigned from = 0; from <= LINKS; from++) {
        make_lines(life, from, 1 + any(life, 20));
        for (unsigned w = 0; w < 2; w++) {
            struct world *world = &life->worlds[w];
            struct wire *wire = from == LINKS ? world->client : world->inbound[from];
            if (wire->open)
                herd_conn_receive(wire->conn, world->driver->now, life->text.data, life->text.len);
        }
    }
    for (unsigned w = 0; w < 2; w++) {
        driver_run(life->worlds[w].driver);
        wire_wrote(life->worlds[w].client, SIZE_MAX);
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
        tell_at_once(life);
        break;
    }
    for (i = 0; i < LINKS; i++) {
        attend(life, i);
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
    seen.taken = seen.shared = seen.pruned_lines = 0;
    for (unsigned i = 1; i <= LIVES; i++)
        live(i);
    print_message("%zu times from a run, %zu of them from one that was there; %zu lines of it by "
                  "links that hold others back\n",
                  seen.taken, seen.shared, seen.pruned_lines);
    assert_true(seen.taken > 10000 && seen.shared > 5000 && seen.pruned_lines > 1000);
}

enum { TEXT_LEN = 128, SHORTER_TEXT_LEN = TEXT_LEN - sizeof("FLOOD Hill ") };

/* A client's lines whose records have texts of `len` bytes. */
static void make_even_lines(struct life *life, unsigned first, unsigned count, size_t len)
{
    static const char record[] =
        "c +1+1 1700000000.000000000 1700000000.000000000 Hill +0.000000000";
    life->text.len = 0;
    for (unsigned i = first; i < first + count; i++)
        assert_int_equal(herd_buf_printf(&life->text, "IAMAT c%0*u +1+1 1700000000.000000000\n",
                                         (int)(len - strlen(record)), i),
                         0);
}

static void tell_even(struct life *life, unsigned first, unsigned count, size_t len)
{
    make_even_lines(life, first, count, len);
    for (unsigned w = 0; w < 2; w++) {
        struct wire *client = life->worlds[w].client;
        if (client == NULL)
            continue;
        wire_send(client, herd_buf_slice(&life->text));
        while (client->unwritten > 0) /* it is paused while its answers wait */
            wire_wrote(client, SIZE_MAX);
    }
}

/* Worlds with as many records and `links` links, which greet and are all answered at once. */
static void begin_even(struct life *life, unsigned worlds, unsigned records, size_t len)
{
    *life = (struct life){.rng = {1}};
    for (unsigned w = 0; w < worlds; w++)
        begin_world(life, &life->worlds[w], false, false);
    seen.without = worlds > 1 ? node_of(&life->worlds[1]) : NULL;
    seen.taken = seen.shared = seen.shared_lines = seen.steps_max = 0;
    tell_even(life, 0, records, len);
    for (unsigned w = 0; w < worlds; w++) {
        struct herd_record record;
        struct herd_slice first = herd_slice(life->text.data + 6, len - 65);
        assert_true(herd_store_find(herd_node_store(node_of(&life->worlds[w])), first, &record));
        assert_int_equal(herd_record_text_len(&record), len);
    }
}

static void say_at_once(struct world *world, unsigned links, const char *line)
{
    for (unsigned i = 0; i < links; i++)
        herd_conn_receive(world->links[i]->conn, world->driver->now, line, strlen(line));
    driver_run(world->driver);
}

static void answer_at_once(struct world *world, unsigned links, const char *answer)
{
    for (unsigned i = 0; i < links; i++) {
        wire_dialled(world->links[i], NULL);
        wire_wrote(world->links[i], SIZE_MAX);
    }
    say_at_once(world, links, answer);
}

/* All sockets take some of what was written. */
static void take_at_once(struct world *world)
{
    for (unsigned i = 0; i < LINKS; i++) {
        struct wire *link = world->links[i];
        size_t len = link->unwritten < 100000 ? link->unwritten : 100000;
        link->unwritten -= len;
        herd_conn_wrote(link->conn, world->driver->now, len);
        wire_answer_pings(link);
    }
    driver_run(world->driver);
}

static void end_even(struct life *life)
{
    seen.without = NULL;
    for (unsigned w = 0; w < 2; w++) {
        if (life->worlds[w].driver != NULL)
            driver_free(life->worlds[w].driver);
    }
    herd_buf_free(&life->text);
}

/* The last line that fits ends where the window does. */
static void a_window_that_is_full_to_the_byte(void **state)
{
    struct life life;
    (void)state;
    begin_even(&life, 2, 512, SHORTER_TEXT_LEN);
    for (unsigned w = 0; w < 2; w++)
        answer_at_once(&life.worlds[w], LINKS, "? HELLO Hill 2\n");
    tell_even(&life, 512, 2000, SHORTER_TEXT_LEN);
    assert_int_equal(life.worlds[0].links[0]->unwritten, LINK_PLAIN_BYTES);
    compare(&life, 0);
    assert_true(seen.shared > 0);
    end_even(&life);
}

/* The MARK of a catch-up comes behind the line with which the records have 256 KiB. */
static void a_catch_up_that_is_marked_to_the_byte(void **state)
{
    struct life life;
    (void)state;
    begin_even(&life, 2, 5000, TEXT_LEN);
    for (unsigned w = 0; w < 2; w++) {
        answer_at_once(&life.worlds[w], LINKS, resume_from_nothing(&life.worlds[w]).text);
    }
    for (unsigned i = 0; i < 20; i++) {
        compare(&life, i);
        for (unsigned w = 0; w < 2; w++)
            take_at_once(&life.worlds[w]);
    }
    assert_int_equal(conn_link(life.worlds[0].links[0]->conn)->marked, 4096);
    assert_true(seen.shared > 0);
    end_even(&life);
}

/* More than a run holds, to sockets that take all: what the first link has gone on with alone does
 * not cost the others what it made at first, and none goes beyond its turn. */
static void a_catch_up_of_all_shares_what_a_run_holds(void **state)
{
    enum { RECORDS = 20000 };
    struct life life;
    (void)state;
    begin_even(&life, 2, RECORDS, 80);
    for (unsigned w = 0; w < 2; w++) {
        life.worlds[w].driver->reports_writes = true;
        answer_at_once(&life.worlds[w], LINKS, resume_from_nothing(&life.worlds[w]).text);
    }
    compare(&life, 0);
    /* In the first turn none is up before it is its turn. */
    size_t turns = (RECORDS - 1) / LINK_STEPS_PER_TURN;
    assert_in_range(seen.shared_lines, turns * (LINKS - 1) * (RUN_LINES_MAX - RUN_STEP),
                    turns * (LINKS - 1) * (RUN_LINES_MAX + RUN_STEP));
    end_even(&life);
}

/* A link that answered late was a plain one till then, without MARKs: one follows the next line. */
static void a_mark_that_is_overdue(void **state)
{
    struct life life;
    (void)state;
    begin_even(&life, 2, 5000, TEXT_LEN);
    for (unsigned w = 0; w < 2; w++) {
        struct world *world = &life.worlds[w];
        for (unsigned i = 0; i < LINKS; i++)
            wire_close(world->inbound[i], "reset");
        answer_at_once(world, LINKS, "");
        driver_advance_ms(world->driver, 4000);
        assert_int_equal(conn_link(world->links[0]->conn)->state, LINK_PLAIN);
        const struct link *link = conn_link(world->links[0]->conn);
        while (link->unmarked_bytes <= LINK_WINDOW_BYTES)
            take_at_once(world);
        say_at_once(world, LINKS, resume_from_nothing(world).text);
        assert_true(link->state == LINK_UP && link->unmarked_bytes > LINK_WINDOW_BYTES);
        take_at_once(world);
        assert_true(link->marked > 0);
    }
    compare(&life, 0);
    assert_true(seen.shared > 0);
    end_even(&life);
}

/* What a link passes over counts in its turn, too: Jaquez's own words come before the run. */
static void a_turn_that_ends_within_a_run(void **state)
{
    /* As many lines of 140 bytes as a window takes. */
    enum { FULL = LINK_WINDOW_BYTES / 140 + 1 };
    struct life life;
    (void)state;
    begin_even(&life, 2, FULL, TEXT_LEN);
    for (unsigned w = 0; w < 2; w++) {
        answer_at_once(&life.worlds[w], LINKS, resume_from_nothing(&life.worlds[w]).text);
        assert_true(!link_has_room(conn_link(life.worlds[w].links[0]->conn)));
    }
    size_t before = herd_store_count(node_of(&life.worlds[0])->store);
    life.clients = CLIENTS_MAX * 10;
    for (unsigned i = 0; i < 20; i++)
        tell(&life, 0, LINES_MAX);
    size_t theirs = herd_store_count(node_of(&life.worlds[0])->store) - before;
    assert_in_range(theirs, LINK_STEPS_PER_TURN - 1500, LINK_STEPS_PER_TURN - 500);
    tell_even(&life, FULL, 2000, TEXT_LEN);
    for (unsigned w = 0; w < 2; w++) {
        life.worlds[w].driver->reports_writes = true;
        node_of(&life.worlds[w])->link_next = 0; /* Jaquez first, to where no run is yet */
        take_at_once(&life.worlds[w]);
    }
    compare(&life, 0);
    assert_int_equal(seen.steps_max, LINK_STEPS_PER_TURN);
    assert_true(seen.shared > 0);
    end_even(&life);
}

static void one_record_is_made_once(void **state)
{
    struct life life;
    (void)state;
    begin_even(&life, 1, 100, TEXT_LEN);
    struct world *world = &life.worlds[0];
    answer_at_once(world, LINKS, "? HELLO Hill 2\n");
    for (unsigned i = 0; i < 10; i++) {
        size_t before = seen.shared_lines;
        tell_even(&life, 100 + i, 1, TEXT_LEN);
        assert_int_equal(node_of(world)->run.count, 1);
        assert_int_equal(seen.shared_lines, before + LINKS - 1);
        for (unsigned k = 0; k < LINKS; k++)
            wire_wrote(world->links[k], SIZE_MAX);
    }
    end_even(&life);
}

/* A line is copied twice by the link that makes it for others: not where there is none. */
static void nothing_is_made_for_nobody(void **state)
{
    struct life life;
    (void)state;
    begin_even(&life, 1, 100, TEXT_LEN);
    struct world *world = &life.worlds[0];
    const struct run *run = &node_of(world)->run;
    answer_at_once(world, 1, "? HELLO Hill 2\n");
    tell_even(&life, 100, 300, TEXT_LEN);
    assert_int_equal(run->text.cap, 0); /* one is up */
    answer_at_once(&(struct world){.driver = world->driver, .links = {world->links[1]}}, 1,
                   "? HELLO Hill 2\n");
    tell_even(&life, 400, 3000, TEXT_LEN);
    assert_true(run->count > 0 && run->text.cap > 0);
    size_t taken = seen.taken;
    wire_wrote(world->links[0], SIZE_MAX); /* the other one's window is full, and stays so */
    for (unsigned i = 0; i < 10; i++) {
        tell_even(&life, 3400 + 100 * i, 100, TEXT_LEN);
        wire_wrote(world->links[0], SIZE_MAX);
    }
    uint64_t sent = conn_link(world->links[0]->conn)->sent;
    assert_int_equal(sent, 4400);
    assert_in_range(seen.taken, taken, taken + 1);
    end_even(&life);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_link_says_the_same_as_alone),
        cmocka_unit_test(a_window_that_is_full_to_the_byte),
        cmocka_unit_test(a_catch_up_that_is_marked_to_the_byte),
        cmocka_unit_test(a_catch_up_of_all_shares_what_a_run_holds),
        cmocka_unit_test(a_mark_that_is_overdue),
        cmocka_unit_test(a_turn_that_ends_within_a_run),
        cmocka_unit_test(one_record_is_made_once),
        cmocka_unit_test(nothing_is_made_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
