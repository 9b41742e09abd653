#include <assert.h>
#include <stdio.h>

#include <herd/proto.h>

#include "records.h"

void record_of(const char *text, struct text_record *out)
{
    struct herd_command command;
    int len = snprintf(out->text, sizeof(out->text), "FLOOD x %s", text);
    assert(len > 0 && (size_t)len < sizeof(out->text));
    int rc = herd_command_parse(herd_slice(out->text, (size_t)len), &command);
    assert(rc == 0 && command.verb == HERD_VERB_FLOOD);
    out->record = command.record;
}

static const char *pick(struct rng *rng, const char *const *choices, size_t count)
{
    return choices[rng_below(rng, count)];
}

#define PICK(rng, choices) pick(rng, choices, sizeof(choices) / sizeof((choices)[0]))

void record_random(struct rng *rng, const char *client, struct text_record *out)
{
    static const char *const locations[] = {"+1+1", "+1.0+1.0", "-1+1", "+1+1/"};
    static const char *const sents[] = {"1", "1.0", "01", "1.5", "2", "2.000000000", "9"};
    static const char *const receiveds[] = {"1.000000000", "1", "2.000000000", "2.0"};
    static const char *const origins[] = {"A", "B", "AB"};
    static const char *const diffs[] = {"+0.0", "-0.0", "+0.000000000"};
    char text[256];
    snprintf(text, sizeof(text), "%s %s %s %s %s %s", client, PICK(rng, locations),
             PICK(rng, sents), PICK(rng, receiveds), PICK(rng, origins), PICK(rng, diffs));
    record_of(text, out);
}
