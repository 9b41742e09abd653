/* Pruned links that are tried again, and origins that give way. */
#include "trio.h"

/* So many updates of Far, of which Jaquez brings the first copy. */
static void bring_news(struct trio *trio, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        trio_flood(trio, JAQUEZ, "a", ++trio->second, "Far");
}

/* So that nobody is said PING. */
static void hear_all(struct trio *trio)
{
    for (int who = 0; who < NEAR; who++)
        wire_say(trio->inbound[who], "PONG\n");
}

/* Who was told GRAFT; NEAR: nobody. */
static int take_graft(struct trio *trio)
{
    int found = NEAR;
    for (int who = 0; who < NEAR; who++) {
        struct herd_slice said = wire_take(trio->inbound[who]);
        if (said.len == 0)
            continue;
        CHECK_TEXT(("%s", trio_names[who]), said, "GRAFT Far\n");
        CHECK_INT(("none but %s", trio_names[who]), found, NEAR);
        found = who;
    }
    hear_all(trio);
    return found;
}

/* A second copy, and the answer to it. */
static void expect_answer(struct trio *trio, int who, const char *answer)
{
    bring_news(trio, 1);
    trio_flood(trio, who, "a", trio->second, "Far");
    EDGE_EXPECT(trio->inbound[who], "%s", answer);
}

static void pruned_links_are_tried_in_turn(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_grow_tree(&trio);
    bring_news(&trio, TRIAL_NEWS_MAX);
    driver_advance_ms(trio.driver, TRIAL_WAIT_MS);
    CHECK_INT(("too early"), take_graft(&trio), NEAR);
    int tried[2];
    for (int i = 0; i < 2; i++) {
        trio_pass_minutes(&trio, 2);
        for (int who = 0; who < NEAR; who++)
            wire_take(trio.inbound[who]); /* PING */
        bring_news(&trio, i == 0 ? 1 : TRIAL_NEWS_MAX);
        driver_advance_ms(trio.driver, TRIAL_WAIT_MS - 1);
        CHECK_INT(("what was held back is shown to be here first"), take_graft(&trio), NEAR);
        driver_advance_ms(trio.driver, 1);
        tried[i] = take_graft(&trio);
        assert_true(tried[i] == SMITH || tried[i] == CAMPBELL);
        driver_advance_ms(trio.driver, TRIAL_MS - 1);
        expect_answer(&trio, tried[i], "");
        driver_advance_ms(trio.driver, 1);
        expect_answer(&trio, tried[i], "PRUNE Far\n");
    }
    CHECK_INT(("both"), tried[0] + tried[1], SMITH + CAMPBELL);
    driver_free(trio.driver);
}

/* So much has come of an origin that one of its pruned links is to be tried. */
static void open_before_trial(struct trio *trio)
{
    trio_open(trio);
    trio_grow_tree(trio);
    trio_pass_minutes(trio, 2);
    bring_news(trio, TRIAL_NEWS_MAX);
}

/* Hours may pass, and any number of updates of others. */
static void origin_that_says_little_is_not_tried(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_grow_tree(&trio);
    bring_news(&trio, TRIAL_NEWS_MIN - 1);
    for (unsigned i = 0; i < 2 * TRIAL_NEWS_MAX; i++)
        trio_flood(&trio, JAQUEZ, "b", i, "Other");
    trio_pass_minutes(&trio, 60);
    CHECK_INT(("nobody"), take_graft(&trio), NEAR);
    driver_free(trio.driver);
}

static void faster_link_takes_its_place(void **state)
{
    (void)state;
    struct trio trio;
    open_before_trial(&trio);
    driver_advance_ms(trio.driver, TRIAL_WAIT_MS + TRIAL_MS);
    int faster = take_graft(&trio);
    assert_true(faster == SMITH || faster == CAMPBELL);
    trio_flood(&trio, faster, "a", ++trio.second, "Far");
    EDGE_EXPECT(trio.inbound[faster], "%s", "");
    trio_flood(&trio, JAQUEZ, "a", trio.second, "Far");
    EDGE_EXPECT(trio.inbound[JAQUEZ], "%s", "PRUNE Far\n");
    driver_free(trio.driver);
}

/* A trial that was planned does not outlive the connection, nor pruning itself. */
static void trial_ends_with_the_connection(void **state)
{
    (void)state;
    struct trio trio;
    open_before_trial(&trio);
    for (int who = SMITH; who < NEAR; who++) {
        wire_close(trio.inbound[who], "reset");
        trio.inbound[who] = trio_greet(&trio, who, " prune");
    }
    driver_advance_ms(trio.driver, TRIAL_WAIT_MS);
    CHECK_INT(("nobody"), take_graft(&trio), NEAR);
    driver_free(trio.driver);
}

/* As those of servers that are gone for good: what was pruned is taken back. */
static void pruned_origin_that_is_idle_gives_way(void **state)
{
    (void)state;
    struct trio trio;
    char origin[16];
    trio_open(&trio);
    trio_grow_tree(&trio);
    for (unsigned i = 1; i < PRUNE_ORIGINS_MAX; i++) {
        snprintf(origin, sizeof(origin), "S%u", i);
        trio_flood(&trio, JAQUEZ, origin, 1, origin);
        trio_flood(&trio, SMITH, origin, 1, origin);
        EDGE_EXPECT(trio.inbound[SMITH], "PRUNE S%u\n", i);
    }
    trio_pass_minutes(&trio, 9);
    bring_news(&trio, 1);
    trio_pass_minutes(&trio, 1);
    for (int i = 0; i < NEAR; i++)
        wire_take(trio.inbound[i]);
    trio_flood(&trio, JAQUEZ, "new", 1,
               "New"); /* all were heard of since they were looked at last */
    for (unsigned looked = 0; looked < PRUNE_ORIGINS_MAX; looked += PRUNE_LOOK_MAX)
        trio_flood(&trio, JAQUEZ, "new", 2 + looked, "New");
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "GRAFT S1\n");
    EDGE_EXPECT(trio.inbound[CAMPBELL], "%s", "");
    trio_flood(&trio, SMITH, "new", 1, "New");
    trio_flood(&trio, SMITH, "a", trio.second, "Far"); /* this one stays */
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "");
    driver_free(trio.driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pruned_links_are_tried_in_turn),
        cmocka_unit_test(origin_that_says_little_is_not_tried),
        cmocka_unit_test(faster_link_takes_its_place),
        cmocka_unit_test(trial_ends_with_the_connection),
        cmocka_unit_test(pruned_origin_that_is_idle_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
