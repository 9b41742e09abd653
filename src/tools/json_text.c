#include "json_text.h"

#include "base/utf8.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

json_t *json_text(struct herd_slice bytes)
{
    struct herd_buf text = {0};
    int rc = 0;
    size_t step;
    for (size_t at = 0; at < bytes.len && rc == 0; at += step) {
        size_t len = utf8_length((const unsigned char *)bytes.data + at, bytes.len - at);
        step = len > 0 ? len : 1;
        rc = len > 0 ? herd_buf_append(&text, bytes.data + at, len)
                     : herd_buf_append_text(&text, replacement);
    }
    json_t *string = rc == 0 ? json_stringn(text.len > 0 ? text.data : "", text.len) : NULL;
    herd_buf_free(&text);
    return string;
}
