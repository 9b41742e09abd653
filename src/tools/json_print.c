#include "json_print.h"

#include <stdio.h>

#include <herd/buf.h>
#include <herd/err.h>

#include "base/output.h"

struct sink {
    struct herd_buf text;
    int rc; /* jansson does not look at all that it is told */
};

static int take(const char *bytes, size_t len, void *arg)
{
    struct sink *sink = arg;
    if (sink->rc == 0)
        sink->rc = herd_buf_append(&sink->text, bytes, len);
    return sink->rc;
}

int json_print(const char *program, json_t *take_value, size_t flags)
{
    struct sink sink = {.rc = 0};
    int rc = json_dump_callback(take_value, take, &sink, flags);
    json_decref(take_value);
    if (rc == 0 && sink.rc == 0)
        rc = herd_buf_append(&sink.text, "\n", 1);
    if (rc == 0 && sink.rc == 0)
        output_json(stdout, herd_buf_slice(&sink.text));
    else
        fprintf(stderr, "%s: %s\n", program, herd_strerror(HERD_ENOMEM));
    herd_buf_free(&sink.text);
    return rc == 0 && sink.rc == 0 ? 0 : HERD_ENOMEM;
}
