#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "base/config_mistakes.h"
#include "base/output.h"
#include "base/utf8.h"

void output_mistakes(const char *program, const char *path, int rc, const struct herd_buf *errors)
{
    if (errors->len > 0)
        fwrite(errors->data, 1, errors->len, stderr);
    if (rc != HERD_EINVAL)
        fprintf(stderr, "%s: %s: %s\n", program, path, herd_strerror(rc));
}

void output_no_server(const char *program, const struct config *config, const char *name)
{
    struct config_nearest nearest = {.name = herd_slice_of(name)};
    for (size_t i = 0; i < config->server_count; i++)
        config_nearest_try(&nearest, herd_slice_of(config->servers[i].name));
    fprintf(stderr, "%s: %s: no server \"%s\" in it%s; its servers are:", program, config->path,
            config_show(name, strlen(name)).text, config_nearest_hint(&nearest).text);
    for (size_t i = 0; i < config->server_count; i++)
        fprintf(stderr, " %s", config->servers[i].name);
    fputc('\n', stderr);
}

/* How many bytes its first character has; 0: it begins with what is no UTF-8. */
static size_t first_of(struct herd_slice text, bool *out_control)
{
    const unsigned char *at = (const unsigned char *)text.data;
    size_t len = utf8_length(at, text.len);
    *out_control = len > 0 && utf8_is_control(at, len);
    return len;
}

static struct herd_slice behind(struct herd_slice text, size_t len)
{
    return herd_slice(text.data + len, text.len - len);
}

void output_shown(FILE *to, struct herd_slice text)
{
    while (text.len > 0) {
        bool is_control;
        size_t len = first_of(text, &is_control);
        if (len == 0 || is_control)
            fputc('?', to);
        else
            fwrite(text.data, 1, len, to);
        text = behind(text, len > 0 ? len : 1);
    }
}

void output_shown_lines(FILE *to, struct herd_slice text)
{
    while (text.len > 0) {
        size_t len = 0;
        while (len < text.len && text.data[len] != '\n' && text.data[len] != '\t')
            len++;
        bool is_cr_lf = len > 0 && len < text.len && memcmp(text.data + len - 1, "\r\n", 2) == 0;
        output_shown(to, herd_slice(text.data, len - is_cr_lf));
        if (len < text.len)
            fputc(text.data[len++], to);
        text = behind(text, len);
    }
}

void output_json(FILE *to, struct herd_slice text)
{
    enum { DEL = 0x7f };
    while (text.len > 0) {
        bool is_control;
        size_t len = first_of(text, &is_control);
        if (len == 0)
            fputs("\\ufffd", to);
        else if (is_control && (unsigned char)text.data[0] >= DEL) /* C1's last byte is its code */
            fprintf(to, "\\u%04x", (unsigned)(unsigned char)text.data[len - 1]);
        else
            fwrite(text.data, 1, len, to);
        text = behind(text, len > 0 ? len : 1);
    }
}

int output_end(const char *program, int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    /* An earlier write may have failed and its errno be gone. */
    fprintf(stderr, "%s: stdout: %s\n", program,
            errno != 0 ? strerror(errno) : "not all could be written");
    return status == EXIT_SUCCESS ? EXIT_FAILURE : status;
}
