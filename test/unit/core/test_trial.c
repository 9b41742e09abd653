/* Pruned links that are tried again, and origins that give way. */
#include "trio.h"

/* So many updates of Far, of which Jaquez brings the first copy; how many lines that is on each
 * link. */
static void bring_news(struct trio *trio, unsigned count, unsigned lines[NEAR])
{
    memset(lines, 0, NEAR * sizeof(*lines));
    for (unsigned i = 0; i < count; i++) {
        trio_flood(trio, JAQUEZ, "a", ++trio->second, "Far");
        for (int who = 0; who < NEAR; who++)
            lines[who] += wire_take(trio->links[who]).len > 0;
    }
}

/* The others have told this server, too. */
static void open_pruned(struct trio *trio)
{
    trio_open(trio);
    trio_grow_tree(trio);
    for (int who = SMITH; who < NEAR; who++)
        wire_say(trio->links[who], "PRUNE Far\n");
}

static void pass_minutes(struct trio *trio, int minutes)
{
    trio_pass_minutes(trio, minutes);
    for (int who = 0; who < NEAR; who++)
        wire_take(trio->links[who]); /* PING, HAVE */
}

/* A trial, and how many news it took, of TRIAL_NEWS_MAX. */
static unsigned bring_news_until_trial(struct trio *trio, unsigned lines[NEAR])
{
    unsigned news = 0;
    do
        bring_news(trio, 1, lines);
    while (++news <= TRIAL_NEWS_MAX && lines[SMITH] + lines[CAMPBELL] == 0);
    CHECK_INT(("to one"), lines[SMITH] + lines[CAMPBELL], 1);
    return news;
}

static void pruned_links_are_tried_in_turn(void **state)
{
    (void)state;
    struct trio trio;
    unsigned lines[NEAR];
    open_pruned(&trio);
    wire_say(trio.links[JAQUEZ], "PRUNE Far\n"); /* it needs them from nobody: no turn is its own */
    int last = NEAR;
    for (int minute = 0; minute < 2; minute++) {
        bring_news(&trio, 3 * TRIAL_NEWS_MAX, lines);
        CHECK_INT(("too early"), lines[SMITH] + lines[CAMPBELL], 0);
        pass_minutes(&trio, 1);
    }
    for (int i = 0; i < 4; i++) {
        unsigned news = bring_news_until_trial(&trio, lines);
        CHECK_INT(("not where it came from"), lines[JAQUEZ], 0);
        int tried = lines[SMITH] > 0 ? SMITH : CAMPBELL;
        CHECK_INT(("each in turn"), tried != last, 1);
        CHECK_INT(("not too often"), i == 0 || news >= TRIAL_NEWS_MIN, 1);
        last = tried;
        pass_minutes(&trio, 2);
    }
    driver_free(trio.driver);
}

/* Hours may pass, and any number of updates of others. */
static void origin_that_says_little_is_not_tried(void **state)
{
    (void)state;
    struct trio trio;
    unsigned lines[NEAR];
    open_pruned(&trio);
    for (unsigned i = 0; i < 2 * TRIAL_NEWS_MAX; i++)
        trio_flood(&trio, JAQUEZ, "b", i, "Other");
    trio_pass_minutes(&trio, 60);
    for (int who = 0; who < NEAR; who++)
        wire_take(trio.links[who]);
    bring_news(&trio, TRIAL_NEWS_MIN - 1, lines);
    CHECK_INT(("nobody"), lines[SMITH] + lines[CAMPBELL], 0);
    driver_free(trio.driver);
}

#define FAR_FLOOD(second) "FLOOD Hill a +1+1 " second " 1700000000.000000000 Far +1.000000000\n"

/* Behind this server, it may be the fastest way as well. */
static void news_of_another_way_go_over_all_links(void **state)
{
    (void)state;
    struct trio trio;
    open_pruned(&trio);
    trio_flood(&trio, CAMPBELL, "a", 2, "Far");
    EDGE_EXPECT(trio.inbound[CAMPBELL], "%s", "GRAFT Far\n");
    EDGE_EXPECT(trio.links[SMITH], "%s", FAR_FLOOD("2"));
    EDGE_EXPECT(trio.links[JAQUEZ], "FASTER Far\n%s", FAR_FLOOD("2"));
    trio_flood(&trio, SMITH, "a", 2, "Far"); /* slower, as it was */
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "");
    trio_flood(&trio, JAQUEZ, "a", 2, "Far");
    EDGE_EXPECT(trio.inbound[JAQUEZ], "%s", "PRUNE Far\n");
    trio_flood(&trio, CAMPBELL, "a", 3, "Far"); /* the way is known */
    EDGE_EXPECT(trio.links[SMITH], "%s", "");
    EDGE_EXPECT(trio.links[JAQUEZ], "%s", FAR_FLOOD("3"));
    driver_free(trio.driver);
}

static void faster_makes_the_next_news_go_over_all_links(void **state)
{
    (void)state;
    struct trio trio;
    open_pruned(&trio);
    wire_say(trio.links[JAQUEZ], "PRUNE Far\n");
    wire_say(trio.inbound[SMITH], "FASTER Far\n"); /* not the parent */
    wire_say(trio.inbound[JAQUEZ], "FASTER Unknown Hill\n");
    trio_flood(&trio, JAQUEZ, "a", 2, "Far");
    EDGE_EXPECT(trio.links[SMITH], "%s", "");
    wire_say(trio.links[CAMPBELL], "GRAFT Far\n");
    wire_take(trio.links[CAMPBELL]);
    wire_say(trio.inbound[JAQUEZ], "FASTER Far\n");
    trio_flood(&trio, JAQUEZ, "a", 3, "Far");
    EDGE_EXPECT(trio.links[SMITH], "%s", FAR_FLOOD("3"));
    EDGE_EXPECT(trio.links[CAMPBELL], "FASTER Far\n%s", FAR_FLOOD("3"));
    EDGE_EXPECT(trio.links[JAQUEZ], "%s", "");
    trio_flood(&trio, JAQUEZ, "a", 4, "Far");
    EDGE_EXPECT(trio.links[SMITH], "%s", "");
    EDGE_EXPECT(trio.links[CAMPBELL], "%s", FAR_FLOOD("4"));
    driver_free(trio.driver);
}

/* Where the fastest way is another one each time, as where all is chance, that is no flood again. */
static void changes_of_the_way_are_raced_a_few_times(void **state)
{
    (void)state;
    struct trio trio;
    open_pruned(&trio);
    for (unsigned i = 0; i < 2 * TRIAL_RACES_MAX; i++) {
        trio_flood(&trio, i % 2 == 0 ? CAMPBELL : JAQUEZ, "a", 2 + i, "Far");
        CHECK_INT(("change %u", i), wire_take(trio.links[SMITH]).len > 0, i < TRIAL_RACES_MAX);
        struct herd_slice got = wire_take(trio.links[JAQUEZ]);
        bool is_told = memmem(got.data, got.len, "FASTER", 6) != NULL;
        CHECK_INT(("not to who brings it, change %u", i), is_told,
                  i % 2 == 0 && i < TRIAL_RACES_MAX);
    }
    driver_free(trio.driver);
}

/* It brings what has waited for it, and so does another one: each record comes from whom it may. That
 * is followed up a few times, for it may be an update that has just been made; and takes nothing of
 * what is saved up for other changes of the way. */
static void catch_ups_use_up_no_races(void **state)
{
    (void)state;
    struct trio trio;
    unsigned second = 1, raced = 0;
    open_pruned(&trio);
    for (int round = 0; round < 2; round++) {
        for (int who = SMITH; who < NEAR; who++) {
            trio.inbound[who] = trio_greet(&trio, who, " prune");
            wire_say(trio.links[who], "PRUNE Far\n");
        }
        for (int who = SMITH; who < NEAR; who++)
            wire_take(trio.links[who]); /* LOST */
        raced = 0;
        for (unsigned i = 0; i < 4 * TRIAL_RACES_MAX; i++) {
            int from = i % 2 == 0 ? CAMPBELL : SMITH;
            trio_flood(&trio, from, "a", ++second, "Far");
            raced += wire_take(trio.links[SMITH + CAMPBELL - from]).len > 0;
        }
        CHECK_INT(("round %d", round), raced, TRIAL_RACES_MAX);
        pass_minutes(&trio, 2);
    }
    for (unsigned i = 0; i < 2 * TRIAL_RACES_MAX; i++) {
        trio_flood(&trio, i % 2 == 0 ? JAQUEZ : CAMPBELL, "a", ++second, "Far");
        CHECK_INT(("change %u", i), wire_take(trio.links[SMITH]).len > 0, i < TRIAL_RACES_MAX);
    }
    driver_free(trio.driver);
}

/* How many changes of the way are raced now, until no more are. */
static unsigned count_races(struct trio *trio)
{
    unsigned races = 0;
    for (unsigned i = 0; i < 4 * TRIAL_RACES_MAX; i++) {
        trio_flood(trio, i % 2 == 0 ? CAMPBELL : JAQUEZ, "a", ++trio->second, "Far");
        races += wire_take(trio->links[SMITH]).len > 0;
    }
    return races;
}

static void each_trial_saves_up_a_race(void **state)
{
    (void)state;
    struct trio trio;
    unsigned lines[NEAR];
    open_pruned(&trio);
    CHECK_INT(("at first"), count_races(&trio), TRIAL_RACES_MAX);
    for (unsigned trials = 1; trials <= TRIAL_RACES_MAX + 1; trials++) {
        for (unsigned i = 0; i < trials; i++) {
            pass_minutes(&trio, 2);
            bring_news_until_trial(&trio, lines);
        }
        unsigned most = trials < TRIAL_RACES_MAX ? trials : TRIAL_RACES_MAX;
        CHECK_INT(("%u trials", trials), count_races(&trio), most);
    }
    driver_free(trio.driver);
}

/* Of those in one read the last one is, which cannot have been replaced. */
static void the_last_of_many_news_is_raced(void **state)
{
    static const char far[] = "FLOOD Campbell %s +1+1 2 1700000000.000000000 Far +1.000000000\n";
    (void)state;
    struct trio trio;
    char lines[3][128];
    open_pruned(&trio);
    for (unsigned i = 0; i < COUNT_OF(lines); i++)
        snprintf(lines[i], sizeof(lines[i]), far, i == 0 ? "x" : i == 1 ? "y" : "z");
    wire_sayf(trio.inbound[CAMPBELL], "%s%s%s", lines[0], lines[1], lines[2]);
    EDGE_EXPECT(trio.links[SMITH], "%s",
                "FLOOD Hill z +1+1 2 1700000000.000000000 Far +1.000000000\n");
    driver_free(trio.driver);
}

/* One of those in a turn may be a trial, to one of the links: that the way has changed as well is
 * followed up on all of them. */
static void a_change_in_the_turn_of_a_trial_is_raced(void **state)
{
    static const char far[] = "FLOOD Jaquez %s +1+1 %u 1700000000.000000000 Far +1.000000000\n";
    (void)state;
    struct trio trio;
    unsigned lines[NEAR];
    char first[128], last[128];
    open_pruned(&trio);
    pass_minutes(&trio, 2);
    unsigned news = bring_news_until_trial(&trio, lines);
    driver_free(trio.driver);
    open_pruned(&trio); /* the same again, up to there */
    pass_minutes(&trio, 2);
    bring_news(&trio, news - 1, lines);
    snprintf(first, sizeof(first), far, "x", trio.second + 1);
    snprintf(last, sizeof(last), far, "y", trio.second + 1);
    wire_sayf(trio.inbound[JAQUEZ], "%sFASTER Far\n%s", first, last);
    for (int who = SMITH; who < NEAR; who++) {
        struct herd_slice got = wire_take(trio.links[who]);
        CHECK_TRUE(("%.*s", (int)got.len, got.data),
                   memmem(got.data, got.len, "FLOOD Hill y ", 13) != NULL);
    }
    driver_free(trio.driver);
}

/* What it brings may have waited for it, and so for another one to bring it: a catch-up. */
static void young_connection_proves_nothing(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio.inbound[SMITH] = trio_greet(&trio, SMITH, " prune");
    trio_flood(&trio, JAQUEZ, "a", 1, "Far");
    trio_flood(&trio, SMITH, "a", 1, "Far");
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "");
    trio_flood(&trio, SMITH, "b", 1, "Other");
    trio_flood(&trio, JAQUEZ, "b", 1, "Other");
    EDGE_EXPECT(trio.inbound[JAQUEZ], "%s", "");
    driver_advance_ms(trio.driver, PRUNE_YOUNG_MS - 1);
    wire_take(trio.inbound[SMITH]); /* PING */
    trio_flood(&trio, SMITH, "a", 1, "Far");
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "");
    driver_advance_ms(trio.driver, 1);
    wire_take(trio.inbound[SMITH]);
    trio_flood(&trio, SMITH, "a", 1, "Far");
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "PRUNE Far\n");
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
    trio_flood(&trio, JAQUEZ, "a", ++trio.second, "Far");
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
        cmocka_unit_test(news_of_another_way_go_over_all_links),
        cmocka_unit_test(faster_makes_the_next_news_go_over_all_links),
        cmocka_unit_test(changes_of_the_way_are_raced_a_few_times),
        cmocka_unit_test(catch_ups_use_up_no_races),
        cmocka_unit_test(each_trial_saves_up_a_race),
        cmocka_unit_test(the_last_of_many_news_is_raced),
        cmocka_unit_test(a_change_in_the_turn_of_a_trial_is_raced),
        cmocka_unit_test(young_connection_proves_nothing),
        cmocka_unit_test(pruned_origin_that_is_idle_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
