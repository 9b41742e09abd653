#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "base/config_mistakes.h"
#include "base/utf8.h"

void config_mistake_va(struct config_mistakes *mistakes, int line, const char *format, va_list args)
{
    if (mistakes->count++ >= CONFIG_MISTAKES_MAX)
        return;
    struct config_mistake *mistake = &mistakes->kept[mistakes->count - 1];
    char *text = NULL;
    int len = vasprintf(&text, format, args);
    mistake->line = line;
    if (len < 0 || herd_buf_append(&mistake->text, text, (size_t)len) < 0)
        mistakes->out_of_memory = true;
    if (len >= 0)
        free(text);
}

void config_mistake(struct config_mistakes *mistakes, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    config_mistake_va(mistakes, line, format, args);
    va_end(args);
}

/* Insertion: keeps the order of those of one line, and there are few. */
static void sort_by_line(struct config_mistake *kept, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct config_mistake moved = kept[i];
        size_t at = i;
        for (; at > 0 && kept[at - 1].line > moved.line; at--)
            kept[at] = kept[at - 1];
        kept[at] = moved;
    }
}

int config_mistakes_write(struct config_mistakes *mistakes, const char *path, struct herd_buf *out)
{
    size_t kept = mistakes->count;
    if (kept > CONFIG_MISTAKES_MAX)
        kept = CONFIG_MISTAKES_MAX;
    sort_by_line(mistakes->kept, kept);
    int rc = mistakes->out_of_memory ? HERD_ENOMEM : 0;
    for (size_t i = 0; i < kept && rc == 0; i++) {
        const struct config_mistake *mistake = &mistakes->kept[i];
        rc = herd_buf_append_text(out, path);
        if (rc == 0 && mistake->line > 0)
            rc = herd_buf_printf(out, ":%d", mistake->line);
        if (rc == 0)
            rc = herd_buf_append_text(out, ": ");
        if (rc == 0)
            rc = herd_buf_append_slice(out, herd_buf_slice(&mistake->text));
        if (rc == 0)
            rc = herd_buf_append_text(out, "\n");
    }
    if (rc == 0 && mistakes->count > kept)
        rc = herd_buf_printf(out, "%s: and %zu more\n", path, mistakes->count - kept);
    return rc;
}

void config_mistakes_free(struct config_mistakes *mistakes)
{
    for (size_t i = 0; i < CONFIG_MISTAKES_MAX; i++)
        herd_buf_free(&mistakes->kept[i].text);
    *mistakes = (struct config_mistakes){0};
}

struct config_shown config_show(const char *bytes, size_t len)
{
    enum { SHOWN_MAX_BYTES = 72 };
    struct config_shown shown;
    size_t at = 0, used = 0, step;
    for (; at < len; at += step) { /* of none, `bytes` may be NULL */
        const unsigned char *first = (const unsigned char *)bytes + at;
        size_t known = utf8_length(first, len - at);
        bool is_shown = known > 0 && !utf8_is_control(first, known);
        step = known > 0 ? known : 1;
        size_t width = is_shown ? known : 1;
        if (used + width > SHOWN_MAX_BYTES)
            break;
        memcpy(shown.text + used, is_shown ? (const char *)first : "?", width);
        used += width;
    }
    snprintf(shown.text + used, sizeof shown.text - used, "%s", at < len ? "..." : "");
    return shown;
}

enum { NAME_MAX_BYTES = 64 };

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/*
 * Edits that make one name of the other: a letter more, less, another, or two exchanged (optimal
 * string alignment). The case does not count. Names are at most NAME_MAX_BYTES long.
 */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][NAME_MAX_BYTES + 1];
    assert(a_len <= NAME_MAX_BYTES && b_len <= NAME_MAX_BYTES);
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        const size_t *before_last = rows[(i + 1) % 3];
        const size_t *last = rows[(i + 2) % 3];
        size_t *row = rows[i % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            int from = tolower((unsigned char)a[i - 1]);
            int to = tolower((unsigned char)b[j - 1]);
            row[j] = min3(last[j] + 1, row[j - 1] + 1, last[j - 1] + (from != to));
            if (i > 1 && j > 1 && from == tolower((unsigned char)b[j - 2]) &&
                to == tolower((unsigned char)a[i - 2]) && before_last[j - 2] + 1 < row[j])
                row[j] = before_last[j - 2] + 1;
        }
    }
    return rows[a_len % 3][b_len];
}

void config_nearest_try(struct config_nearest *nearest, struct herd_slice candidate)
{
    struct herd_slice name = nearest->name;
    if (name.len > NAME_MAX_BYTES || candidate.len > NAME_MAX_BYTES)
        return;
    size_t distance = edit_distance(name.data, name.len, candidate.data, candidate.len);
    if (distance > 1 + name.len / 4 ||
        (nearest->best.len > 0 && distance >= nearest->best_distance))
        return;
    nearest->best = candidate;
    nearest->best_distance = distance;
}

struct config_hint config_nearest_hint(const struct config_nearest *nearest)
{
    struct config_hint hint = {""};
    if (nearest->best.len > 0)
        snprintf(hint.text, sizeof hint.text, " (did you mean \"%.*s\"?)", (int)nearest->best.len,
                 nearest->best.data);
    return hint;
}
