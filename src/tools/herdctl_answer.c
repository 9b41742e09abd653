#include "herdctl_answer.h"

#include <stdio.h>
#include <string.h>

#include <herd/geo.h>
#include <herd/posix_time.h>

#include "base/config_mistakes.h"

struct herd_slice answer_first_line(struct herd_slice bytes)
{
    const char *lf = bytes.len > 0 ? memchr(bytes.data, '\n', bytes.len) : NULL;
    size_t len = lf != NULL ? (size_t)(lf - bytes.data) : bytes.len;
    if (len > 0 && bytes.data[len - 1] == '\r')
        len--;
    return herd_slice(bytes.data, len);
}

static bool begins(struct herd_slice text, const char *with)
{
    size_t len = strlen(with);
    return text.len >= len && memcmp(text.data, with, len) == 0;
}

bool answer_may_go_on(struct herd_slice bytes)
{
    return bytes.len == 0 || ((bytes.data[0] == 'A' || bytes.data[0] == '?') &&
                              memchr(bytes.data, '\n', bytes.len) == NULL);
}

bool answer_refuses(struct herd_slice line, struct herd_slice asked)
{
    if (!begins(line, "? "))
        return false;
    struct herd_slice said = herd_slice(line.data + 2, line.len - 2);
    size_t len = asked.len < HERD_LINE_MAX ? asked.len : HERD_LINE_MAX;
    return herd_slice_equal(said, herd_slice(asked.data, len));
}

/* Five fields of their forms behind AT, of the client that was asked about. */
static bool read_at(struct herd_slice line, struct herd_slice client,
                    struct herd_slice at[AT_FIELDS])
{
    struct herd_slice word;
    struct herd_location location;
    int64_t sent_ns;
    if (!begins(line, "AT "))
        return false;
    line = herd_slice(line.data + 3, line.len - 3);
    for (size_t i = 0; i < AT_FIELDS; i++) {
        if (!herd_next_word(&line, &at[i]))
            return false;
    }
    return !herd_next_word(&line, &word) && herd_time_diff_valid(at[1]) &&
           herd_slice_equal(at[2], client) && herd_location_parse(at[3], &location) == 0 &&
           herd_time_parse(at[4], &sent_ns) == 0;
}

enum answer_kind answer_read(struct herd_slice bytes, const struct herd_command *asked,
                             struct answer *out)
{
    *out = (struct answer){.first_line = answer_first_line(bytes)};
    if (answer_refuses(out->first_line, asked->line))
        return ANSWER_REFUSED;
    const char *lf = bytes.len > 0 ? memchr(bytes.data, '\n', bytes.len) : NULL;
    if (lf == NULL || !read_at(out->first_line, asked->record.client, out->at))
        return ANSWER_FOREIGN;
    out->rest = herd_slice(lf + 1, bytes.len - (size_t)(lf + 1 - bytes.data));
    return ANSWER_AT;
}

void answer_explain_refusal(const char *server, const struct herd_command *asked)
{
    struct config_shown client = config_show(asked->record.client.data, asked->record.client.len);
    struct config_shown line = config_show(asked->line.data, asked->line.len);
    fprintf(stderr, "herdctl: %s: ", server);
    if (asked->verb == HERD_VERB_IAMAT)
        fputs("the record is not safe in time (durability, safety_timeout_ms in herd.conf: send it "
              "again), or too long",
              stderr);
    else if (asked->has_after)
        fprintf(stderr, "no record of \"%s\" of that time or later has come in time", client.text);
    else
        fprintf(stderr, "no record of \"%s\"", client.text);
    fprintf(stderr, ": ? %s\n", line.text);
}
