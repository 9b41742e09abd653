/* json_print.h: a tool's answer for programs, whole or not at all. */
#ifndef TOOLS_JSON_PRINT_H
#define TOOLS_JSON_PRINT_H

#include <jansson.h>

/* On stdout, with an LF. `take_value` NULL is one that there was no memory for. 0, or HERD_ENOMEM with
 * a line of `program` on stderr. */
int json_print(const char *program, json_t *take_value, size_t flags);

#endif
