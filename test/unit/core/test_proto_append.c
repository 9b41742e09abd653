/* Lines that are made: as the protocol has them, and as they are read again. */
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "check.h"
#include "core/rng.h"

#define EPOCH "00000000deadbeef"

static void each_kind_of_line(void **state)
{
    struct herd_buf out = {0};
    struct herd_slice name = herd_slice_of("Hill");
    (void)state;
    assert_int_equal(herd_append_hello(&out, name, 0xdeadbeef, 7, 0, ""), 0);
    assert_int_equal(herd_append_hello(&out, name, UINT64_MAX, UINT64_MAX, 300 * HERD_NS_PER_S, ""),
                     0);
    assert_int_equal(herd_append_position(&out, HERD_VERB_RESUME, 1, 2), 0);
    assert_int_equal(herd_append_position(&out, HERD_VERB_MARK, 0, 0), 0);
    assert_int_equal(herd_append_hello(&out, name, 1, 7, 0, HERD_CAPABILITY_PRUNE), 0);
    assert_int_equal(herd_append_mark(&out, HERD_VERB_MARK, 1, 2, 2), 0);
    assert_int_equal(herd_append_mark(&out, HERD_VERB_ACK, 1, 2, 3), 0);
    assert_int_equal(herd_append_range(&out, HERD_VERB_HELD, 4, 5), 0);
    assert_int_equal(herd_append_have(&out, 4, 5, herd_slice_of(" 0123abcd:a:1.5")), 0);
    assert_int_equal(herd_append_have(&out, 4, 5, herd_slice(NULL, 0)), 0);
    assert_int_equal(herd_append_resume(&out, 1, 2, NULL, 0), 0);
    assert_int_equal(herd_append_resume(&out, 1, 2, NULL, 0xdeadbeef), 0);
    assert_int_equal(herd_append_resume(&out, 1, 2, &(uint64_t){0xf00d}, 0xdeadbeef), 0);
    assert_int_equal(herd_append_ended(&out, 1500000000), 0);
    assert_int_equal(herd_append_invalid(&out, herd_slice("a\0b", 3)), 0);
    assert_int_equal(herd_append_invalid(&out, herd_slice(NULL, 0)), 0);
    static const char expected[] =
        "HELLO Hill 2 " EPOCH " 7 -\n"
        "HELLO Hill 2 ffffffffffffffff 18446744073709551615 300\n"
        "RESUME 0000000000000001 2\n"
        "MARK 0000000000000000 0\n"
        "HELLO Hill 2 0000000000000001 7 - prune\n"
        "MARK 0000000000000001 2\n"
        "ACK 0000000000000001 2 3\n"
        "HELD 4 5\n"
        "HAVE 4 5 0123abcd:a:1.5\n"
        "HAVE 4 5\n"
        "RESUME 0000000000000001 2\n"
        "RESUME 0000000000000001 2 recovered life=" EPOCH "\n"
        "RESUME 0000000000000001 2 of=000000000000f00d recovered life=" EPOCH "\n"
        "ENDED 1.500000000\n"
        "? a\0b\n"
        "? \n";
    CHECK_SLICE(("all"), herd_buf_slice(&out), herd_slice(expected, sizeof(expected) - 1));
    herd_buf_free(&out);
}

static void what_is_appended_parses_to_the_same(void **state)
{
    struct rng rng = {41};
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint64_t epoch = rng_next(&rng) >> rng_below(&rng, 64);
        uint64_t sequence = rng_next(&rng) >> rng_below(&rng, 64);
        int64_t skew_ns = (int64_t)rng_below(&rng, 86401) * HERD_NS_PER_S;
        struct herd_buf out = {0};
        struct herd_command command;
        assert_int_equal(herd_append_hello(&out, herd_slice_of("A"), epoch, sequence, skew_ns, ""),
                         0);
        CHECK_INT(("%d", i), herd_command_parse(herd_slice(out.data, out.len - 1), &command), 0);
        CHECK_TRUE(("%d", i), command.epoch == epoch && command.sequence == sequence &&
                                  command.max_skew_ns == skew_ns);
        out.len = 0;
        assert_int_equal(herd_append_position(&out, HERD_VERB_MARK, epoch, sequence), 0);
        CHECK_INT(("%d", i), herd_command_parse(herd_slice(out.data, out.len - 1), &command), 0);
        CHECK_TRUE(("%d", i), command.epoch == epoch && command.sequence == sequence);
        herd_buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_line),
        cmocka_unit_test(what_is_appended_parses_to_the_same),
    };
    return cmocka_run_group_tests_name("proto_append", tests, NULL, NULL);
}
