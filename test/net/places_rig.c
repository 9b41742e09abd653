#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "places_rig.h"

static void on_done(void *arg, struct places_answer *take_answer)
{
    struct asker *asker = arg;
    struct herd_buf out = {0};
    json_error_t error;
    assert_false(asker->in_ask);
    asker->done++;
    asker->status = places_answer_status(take_answer);
    assert_int_equal(places_answer_render(take_answer, PLACES_RESULTS_MAX, &out), 0);
    places_answer_unref(take_answer);
    assert_true(out.len > 2 && memcmp(out.data + out.len - 2, "\n\n", 2) == 0);
    assert_true(memmem(out.data, out.len - 2, "\n\n", 2) == NULL);
    assert_null(memmem(out.data, out.len, STANDIN_KEY, strlen(STANDIN_KEY)));
    asker->answer = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, &error);
    if (asker->answer == NULL)
        fail_msg("%s in:\n%.*s", error.text, (int)out.len, out.data);
    herd_buf_free(&out);
}

struct places_options options_of(struct fixture *fixture, int64_t total_timeout_ms)
{
    return (struct places_options){
        .loop = &fixture->loop,
        .base_url = fixture->standin.origin,
        .key_file = fixture->key_file,
        .ca_file = "",
        .data_file = "",
        .price_class = "pro",
        .field_mask = "",
        .language = "en",
        .connect_timeout_ms = total_timeout_ms,
        .total_timeout_ms = total_timeout_ms,
        .calls_max = CALLS_MAX,
        .body_max_bytes = 1 << 20,
        .json_depth_max = 32,
    };
}

void open_with(struct fixture *fixture, const struct provider_type *type,
               const struct places_options *options)
{
    struct herd_buf error = {0};
    fixture->closed = 0;
    fixture->fds = testing_count_fds();
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    int rc = type->open(options, &fixture->provider, &error);
    if (rc < 0)
        fail_msg("%d: %.*s", rc, (int)error.len, error.data);
    assert_ptr_equal(fixture->provider->type, type);
    assert_int_equal(error.len, 0);
}

void open_provider(struct fixture *fixture, const struct provider_type *type,
                   int64_t total_timeout_ms)
{
    const struct places_options options = options_of(fixture, total_timeout_ms);
    open_with(fixture, type, &options);
}

static void on_closed(void *arg)
{
    struct fixture *fixture = arg;
    fixture->closed++;
}

void close_provider(struct fixture *fixture)
{
    fixture->provider->type->close(fixture->provider, on_closed, fixture);
    assert_int_equal(fixture->closed, 0);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    assert_int_equal(testing_count_fds(), fixture->fds);
}

int try_ask(struct fixture *fixture, struct asker *asker, const struct places_query *query)
{
    asker->in_ask = true;
    int rc = fixture->provider->type->ask(fixture->provider, query, on_done, asker, &asker->call);
    asker->in_ask = false;
    return rc;
}

void ask(struct fixture *fixture, struct asker *asker, const struct places_query *query)
{
    assert_int_equal(try_ask(fixture, asker, query), 0);
    assert_ptr_equal(asker->call->provider, fixture->provider);
}

void run_until_done(struct fixture *fixture, const struct asker *asker)
{
    while (asker->done == 0) {
        bool is_alive = uv_run(&fixture->loop, UV_RUN_ONCE) != 0;
        assert_true(is_alive || asker->done > 0);
    }
}

json_t *ask_once(struct fixture *fixture, const struct provider_type *type,
                 const struct places_query *query, int64_t total_timeout_ms)
{
    struct asker asker = {0};
    open_provider(fixture, type, total_timeout_ms);
    uint64_t start_ns = uv_hrtime();
    ask(fixture, &asker, query);
    run_until_done(fixture, &asker);
    assert_true(uv_hrtime() - start_ns < (uint64_t)(total_timeout_ms + SLACK_MS) * 1000000);
    close_provider(fixture);
    assert_int_equal(asker.done, 1);
    return asker.answer;
}

const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

void assert_answer(const json_t *answer, const char *status, size_t count, const char *message_part)
{
    assert_string_equal(text_of(answer, "status"), status);
    assert_int_equal(json_array_size(json_object_get(answer, "results")), count);
    assert_true(json_is_array(json_object_get(answer, "html_attributions")));
    assert_contains(text_of(answer, "error_message"), message_part);
    bool is_error = strcmp(status, "OK") != 0 && strcmp(status, "ZERO_RESULTS") != 0;
    assert_true((json_object_get(answer, "error_message") != NULL) == is_error);
}

/* libuv keeps a pipe of its own from the first loop on: it is no leak of ours. */
int places_rig_setup(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    fixture->folder = testing_make_folder();
    fixture->key_file = standin_key_file(fixture->folder);
    standin_start(&fixture->standin, NULL, NULL);
    *state = fixture;
    return 0;
}

int places_rig_teardown(void **state)
{
    struct fixture *fixture = *state;
    standin_stop(&fixture->standin);
    free(fixture->key_file);
    testing_remove_folder(fixture->folder);
    free(fixture);
    return 0;
}
