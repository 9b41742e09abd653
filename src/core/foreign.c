/* Lines of other protocols, whose speakers have come to the wrong port. */
#include <ctype.h>

#include <herd/proto.h>

/* `Name: value` of HTTP (RFC 9110, 5.1), whose names are letters, digits and hyphens here. */
static bool is_header(struct herd_slice line)
{
    size_t len = 0;
    while (len < line.len && (isalnum((unsigned char)line.data[len]) || line.data[len] == '-'))
        len++;
    return len > 0 && len < line.len && line.data[len] == ':' &&
           isalpha((unsigned char)line.data[0]);
}

bool herd_line_is_foreign(struct herd_slice line)
{
    static const char *const beginnings[] = {"GET ",       "POST ",   "PUT ",     "HEAD ",
                                             "DELETE ",    "PATCH ",  "OPTIONS ", "CONNECT ",
                                             "PRI * HTTP", "\x16\x03"};
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        size_t len = strlen(beginnings[i]);
        if (line.len >= len && memcmp(line.data, beginnings[i], len) == 0)
            return true;
    }
    return is_header(line) || herd_slice_equal(line, herd_slice_of("SM")); /* HTTP/2's preface */
}
