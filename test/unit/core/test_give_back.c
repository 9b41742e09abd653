/* What a node keeps for the next requests goes once a crowd is gone, whatever that has said; and what
 * a load needs stays. Allocations are counted. */
#include "check.h"
#include "driver.h"
#include "shortage.h"

enum { MEMBERS = 60, LINES = 16, CLIENTS = 8, ROUNDS = 8, LONG_BYTES = 3000, WAIT_MS = 1000 };

/* Of what a crowd of MEMBERS has, this is little: what is made once, and stays. */
enum { ALLOCATIONS_ONCE = 24 };

struct scene {
    struct driver *driver;
    struct wire *members[MEMBERS];
    bool is_writing; /* a batch for the disk is under way */
};

static void on_persist(void *arg, const struct herd_batch *batch)
{
    struct scene *scene = arg;
    (void)batch;
    scene->is_writing = true;
}

static void write_all(struct scene *scene)
{
    while (scene->is_writing) {
        scene->is_writing = false;
        herd_node_persisted(scene->driver->node, scene->driver->now, 0);
        driver_run(scene->driver);
    }
}

static void answer_all(struct scene *scene)
{
    while (scene->driver->ask_count > 0)
        driver_answer(scene->driver, 0);
}

/* What each member says in a round, and how all of them come to their answers. */

static void say_many(struct scene *scene, const char *line)
{
    struct herd_buf lines = {0};
    for (int k = 0; k < LINES; k++)
        assert_int_equal(herd_buf_append_text(&lines, line), 0);
    for (int i = 0; i < MEMBERS; i++)
        wire_send(scene->members[i], herd_buf_slice(&lines));
    herd_buf_free(&lines);
}

static void ask(struct scene *scene)
{
    say_many(scene, "WHATSAT client0 10 5\n");
    answer_all(scene);
}

static void ask_and_be_wrong(struct scene *scene)
{
    say_many(scene, "WHATSAT client0 10 5\nwhat is this\n");
    answer_all(scene);
}

static void wait_in_vain(struct scene *scene)
{
    say_many(scene, "WHATSAT client0 10 5 AFTER 1800000000 WAIT 1000\n");
    driver_advance_ms(scene->driver, WAIT_MS + 1);
}

static void update(struct scene *scene)
{
    say_many(scene, "IAMAT client1 +34.068930-118.445127 1700000000\n");
    write_all(scene);
    driver_advance_ms(scene->driver, WAIT_MS);
    write_all(scene);
}

static void say_half_and_half(struct scene *scene)
{
    static char blanks[LONG_BYTES];
    memset(blanks, ' ', sizeof(blanks));
    for (int i = 0; i < MEMBERS; i++) {
        wire_say(scene->members[i], "WHATSAT client0");
        wire_send(scene->members[i], herd_slice(blanks, sizeof(blanks)));
    }
    for (int i = 0; i < MEMBERS; i++)
        wire_say(scene->members[i], "10 5\n");
    answer_all(scene);
}

static void leave_with_halves(struct scene *scene)
{
    for (int i = 0; i < MEMBERS; i++) {
        wire_say(scene->members[i], "WHATSAT client0 10 5\nWHATSAT clie");
        wire_close(scene->members[i], "gone");
    }
    answer_all(scene);
    for (int i = 0; i < MEMBERS; i++)
        scene->members[i] = driver_accept(scene->driver);
}

static const struct crowd {
    const char *name;
    void (*say)(struct scene *scene);
    enum herd_durability durability;
} crowds[] = {
    {"WHATSAT", ask, HERD_DURABILITY_NONE},
    {"WHATSAT and what is wrong", ask_and_be_wrong, HERD_DURABILITY_NONE},
    {"AFTER, in vain", wait_in_vain, HERD_DURABILITY_NONE},
    {"IAMAT", update, HERD_DURABILITY_NONE},
    {"IAMAT that wait for the disk", update, HERD_DURABILITY_COMMIT},
    {"long lines in two parts", say_half_and_half, HERD_DURABILITY_NONE},
    {"members that leave", leave_with_halves, HERD_DURABILITY_NONE},
};

static void open_scene(struct scene *scene, enum herd_durability durability)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = durability;
    options.has_disk = durability == HERD_DURABILITY_COMMIT;
    options.record_ttl_ns = 3600 * HERD_NS_PER_S;
    *scene = (struct scene){.driver = driver_new_with(&options)};
    scene->driver->answers_places = false;
    scene->driver->on_persist = on_persist;
    scene->driver->on_persist_arg = scene;
    for (int i = 0; i < MEMBERS; i++)
        scene->members[i] = driver_accept(scene->driver);
    for (int i = 0; i < CLIENTS; i++)
        wire_sayf(scene->members[0], "IAMAT client%d +34.068930-118.445127 1699999999\n", i);
    driver_advance_ms(scene->driver, WAIT_MS);
    write_all(scene);
}

/* Two looks: what was needed up to the first one may be needed again until the next. */
static size_t give_all_back(struct scene *scene, size_t *freed)
{
    size_t kept = 0;
    for (int i = 0; i < 2; i++) {
        kept = 0;
        *freed += herd_node_give_back(scene->driver->node, &kept);
    }
    return kept;
}

static void a_crowd_leaves_nothing_behind(void **state)
{
    (void)state;
    for (size_t c = 0; c < COUNT_OF(crowds); c++) {
        const struct crowd *crowd = &crowds[c];
        struct scene scene;
        size_t freed = 0, kept = 0;
        open_scene(&scene, crowd->durability);
        CHECK_INT(("%s", crowd->name), give_all_back(&scene, &freed), 0);
        long first = shortage_live();
        for (int round = 0; round < ROUNDS; round++) {
            crowd->say(&scene);
            herd_node_give_back(scene.driver->node, &kept);
            CHECK_TRUE(("%s: nothing was kept", crowd->name), kept > 0);
            freed = 0;
            CHECK_INT(("%s: kept", crowd->name), give_all_back(&scene, &freed), 0);
            CHECK_TRUE(("%s: %zu freed of %zu", crowd->name, freed, kept),
                       freed > kept - kept / 8 && freed < kept + kept / 8);
            CHECK_TRUE(("%s: %ld, then %ld", crowd->name, first, shortage_live()),
                       shortage_live() <= first + ALLOCATIONS_ONCE);
            kept = 0;
        }
        driver_free(scene.driver);
    }
}

/* Not kept for the next requests at all, so it counts at once: of a line that has come whole, and of
 * one whose client has gone. */
static void halves_of_lines_count_as_freed(void **state)
{
    static char blanks[LONG_BYTES];
    struct scene scene;
    size_t freed = 0, kept = 0;
    (void)state;
    memset(blanks, ' ', sizeof(blanks));
    open_scene(&scene, HERD_DURABILITY_NONE);
    for (int is_gone = 0; is_gone < 2; is_gone++) {
        give_all_back(&scene, &freed);
        wire_send(scene.members[is_gone], herd_slice(blanks, sizeof(blanks)));
        CHECK_INT(("it has a half"), herd_node_give_back(scene.driver->node, &kept), 0);
        if (is_gone)
            wire_close(scene.members[is_gone], "gone");
        else
            wire_say(scene.members[is_gone], "PING\n");
        freed = herd_node_give_back(scene.driver->node, &kept);
        CHECK_TRUE(("gone: %d, %zu bytes", is_gone, freed),
                   freed >= LONG_BYTES && freed < 3 * LONG_BYTES);
    }
    driver_free(scene.driver);
}

/* Of a load that goes on, without or with a look between any two rounds. */
static size_t count_allocations(const struct crowd *crowd, bool looks)
{
    struct scene scene;
    size_t before = 0, kept = 0;
    open_scene(&scene, crowd->durability);
    for (int round = 0; round < 2 * ROUNDS; round++) {
        if (round == ROUNDS) {
            shortage_begin(SIZE_MAX, false);
            before = shortage_left();
        }
        crowd->say(&scene);
        if (looks)
            herd_node_give_back(scene.driver->node, &kept);
    }
    size_t allocations = before - shortage_left();
    shortage_end();
    driver_free(scene.driver);
    return allocations;
}

static void what_a_load_needs_stays(void **state)
{
    (void)state;
    for (size_t c = 0; c < COUNT_OF(crowds); c++)
        CHECK_INT(("%s: in %d rounds", crowds[c].name, ROUNDS), count_allocations(&crowds[c], true),
                  count_allocations(&crowds[c], false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_leaves_nothing_behind),
        cmocka_unit_test(halves_of_lines_count_as_freed),
        cmocka_unit_test(what_a_load_needs_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
