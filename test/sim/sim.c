#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

enum { AT_ONCE_MAX = 1000000 };

static const struct {
    const char *name, *text;
} checks[SIM_CHECKS] = {
#define SIM_CHECK_ROW(id, name, text) [id] = {name, text},
    SIM_CHECK_TABLE(SIM_CHECK_ROW)
#undef SIM_CHECK_ROW
};

const char *sim_check_name(enum sim_check check)
{
    return checks[check].name;
}

const char *sim_check_text(enum sim_check check)
{
    return checks[check].text;
}

void sim_init(struct sim *sim)
{
    *sim = (struct sim){.checks = (1u << SIM_CHECKS) - 1, .decimals = 6, .name_width = 9};
}

void sim_close(struct sim *sim)
{
    free(sim->heap);
    sim->heap = NULL;
    sim->count = sim->cap = 0;
}

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void sim_at(struct sim *sim, int64_t at_ns, sim_fn fn, void *owner, uint64_t arg)
{
    assert(at_ns >= sim->now_ns);
    if (sim->count == sim->cap) {
        sim->cap = sim->cap > 0 ? sim->cap * 2 : 256;
        sim->heap = sim_grow(sim->heap, sim->cap, sizeof(*sim->heap));
    }
    struct sim_event event = {at_ns, sim->order++, fn, owner, arg};
    size_t at = sim->count++;
    while (at > 0 && is_before(&event, &sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = event;
}

static struct sim_event take_first(struct sim *sim)
{
    struct sim_event first = sim->heap[0];
    struct sim_event last = sim->heap[--sim->count];
    size_t at = 0;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= sim->count)
            break;
        if (child + 1 < sim->count && is_before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!is_before(&sim->heap[child], &last))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return first;
}

void sim_run(struct sim *sim, int64_t until_ns)
{
    while (!sim->failed && sim->count > 0 && sim->heap[0].at_ns <= until_ns) {
        struct sim_event event = take_first(sim);
        sim->at_once = event.at_ns == sim->now_ns ? sim->at_once + 1 : 0;
        sim->now_ns = event.at_ns;
        if (sim->at_once > AT_ONCE_MAX)
            sim_fail(sim, SIM_LIVE, "time stands still: somebody does the same again and again");
        event.fn(event.owner, event.arg);
    }
    if (!sim->failed)
        sim->now_ns = until_ns;
}

void sim_fail(struct sim *sim, enum sim_check check, const char *format, ...)
{
    if (sim->failed || !(sim->checks & 1u << check))
        return;
    sim->failed = true;
    sim->failed_check = check;
    sim->failed_at_ns = sim->now_ns;
    va_list args;
    va_start(args, format);
    vsnprintf(sim->failure, sizeof(sim->failure), format, args);
    va_end(args);
    sim_trace(sim, "check", "!!", checks[check].name, "%s", sim->failure);
}

void sim_mix(struct sim *sim, uint64_t value)
{
    uint64_t hash = (sim->hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    sim->hash = hash ^ hash >> 29;
}

void sim_mix_bytes(struct sim *sim, const char *data, size_t len)
{
    uint64_t word;
    sim_mix(sim, len);
    for (; len >= sizeof(word); data += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        sim_mix(sim, word);
    }
    word = 0;
    memcpy(&word, data, len);
    sim_mix(sim, word);
}

void sim_trace(struct sim *sim, const char *from, const char *arrow, const char *to,
               const char *format, ...)
{
    if (sim->trace == NULL)
        return;
    fprintf(sim->trace, "%*.*f  %*s %s %-*s  ", sim->decimals + 4, sim->decimals,
            (double)sim->now_ns / (double)SIM_S, sim->name_width, from, arrow, sim->name_width, to);
    va_list args;
    va_start(args, format);
    vfprintf(sim->trace, format, args);
    va_end(args);
    fputc('\n', sim->trace);
}

void *sim_alloc(size_t count, size_t size)
{
    void *data = calloc(count > 0 ? count : 1, size);
    if (data == NULL)
        abort();
    return data;
}

void *sim_grow(void *data, size_t count, size_t size)
{
    if (count > SIZE_MAX / size)
        abort();
    data = realloc(data, count * size);
    if (data == NULL)
        abort();
    return data;
}
