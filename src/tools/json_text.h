/* json_text.h: bytes from elsewhere as a JSON string. */
#ifndef TOOLS_JSON_TEXT_H
#define TOOLS_JSON_TEXT_H

#include <jansson.h>

#include <herd/buf.h>

/* Bytes that are no UTF-8 become U+FFFD, one each. NULL without memory. */
json_t *json_text(struct herd_slice bytes);

#endif
