/* caller.h: one question to a server, one answer, with a time limit: what a command line tool needs
 * of the network. */
#ifndef TOOLS_CALLER_H
#define TOOLS_CALLER_H

#include <herd/buf.h>

enum { CALL_TIMEOUT_MS = 10000 };

/*
 * Sends `line` (with its LF) and appends what comes back until `end` stands at its end, or the
 * answer is an error (`? …` LF). 0, or HERD_EIO, HERD_ETIMEDOUT, HERD_ECLOSED with a sentence
 * appended to `error`.
 */
int call_tcp(const char *host, uint16_t port, struct herd_slice line, const char *end,
             struct herd_buf *answer, struct herd_buf *error);
int call_unix(const char *path, struct herd_slice line, const char *end, struct herd_buf *answer,
              struct herd_buf *error);

#endif
