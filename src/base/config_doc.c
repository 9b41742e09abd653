#include <inttypes.h>
#include <string.h>

#include <herd/err.h>

#include "base/config_table.h"

/* What may stand for the value, in a few words. */
static int write_allowed(const struct config_row *row, struct herd_buf *out)
{
    struct herd_slice word;
    const char *rest = row->unit;
    const char *separator = "";
    int rc = 0;
    switch (row->type) {
    case CONFIG_TYPE_INT:
        return herd_buf_printf(out, "%" PRId64 " to %" PRId64 " %s", row->min, row->max, row->unit);
    case CONFIG_TYPE_CHOICE:
        for (; rc == 0 && config_next_choice(&rest, &word); separator = ", ")
            rc = herd_buf_printf(out, "%s`%.*s`", separator, (int)word.len, word.data);
        return rc;
    case CONFIG_TYPE_BOOL:
        return herd_buf_append_text(out, "`true`, `false`");
    case CONFIG_TYPE_STRING:
        return herd_buf_printf(out, "text, %" PRId64 " to %" PRId64 " bytes", row->min, row->max);
    case CONFIG_TYPE_PATH:
        return herd_buf_append_text(out, "path");
    case CONFIG_TYPE_ADDRESS:
        return herd_buf_append_text(out, "address");
    case CONFIG_TYPE_LIST:
        return herd_buf_append_text(out, "list of names");
    }
    return 0;
}

static int write_row(const struct config_row *row, struct herd_buf *out)
{
    bool is_word = row->type == CONFIG_TYPE_INT || row->type == CONFIG_TYPE_BOOL;
    const char *quote = is_word ? "" : "\"";
    int rc = herd_buf_printf(out, "| `%s` | ", row->name);
    if (rc == 0)
        rc = write_allowed(row, out);
    if (rc == 0 && strcmp(row->section, "server") != 0)
        rc = herd_buf_printf(out, " | `%s%s%s`", quote, row->default_text, quote);
    if (rc == 0)
        rc = herd_buf_printf(out, " | %s |\n", row->text);
    return rc;
}

static int write_head(const char *section, struct herd_buf *out)
{
    if (strcmp(section, "server") == 0)
        return herd_buf_append_text(out, "\n### `server NAME { … }`\n\n"
                                         "| Key | Value | What it is |\n|---|---|---|\n");
    int rc = section[0] == '\0' ? herd_buf_append_text(out, "### At the top of the file\n\n")
                                : herd_buf_printf(out, "\n### `%s { … }`\n\n", section);
    if (rc == 0)
        rc = herd_buf_append_text(out,
                                  "| Key | Value | Default | What it is |\n|---|---|---|---|\n");
    return rc;
}

int config_write_markdown(struct herd_buf *out)
{
    const char *section = NULL;
    int rc = 0;
    for (size_t i = 0; i < CONFIG_KEY_COUNT && rc == 0; i++) {
        const struct config_row *row = &config_rows[i];
        if (section == NULL || strcmp(section, row->section) != 0)
            rc = write_head(row->section, out);
        section = row->section;
        if (rc == 0)
            rc = write_row(row, out);
    }
    return rc;
}
