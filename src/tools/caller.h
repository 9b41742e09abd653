/* caller.h: one question to a server, one answer, with a time limit: what a command line tool needs
 * of the network. */
#ifndef TOOLS_CALLER_H
#define TOOLS_CALLER_H

#include <herd/buf.h>

#include "base/config.h"

enum { CALL_TIMEOUT_MS = 10000, CALL_ANSWER_MAX_BYTES = 16 << 20 };

/*
 * Sends `line` (with its LF) and appends what comes back until `end` stands at its end, or LF where
 * it does not begin as an `AT` line does: nothing follows an error then, nor what somebody says who
 * does not speak this protocol. All of it takes at most `timeout_ms`, but for the look-up of a name.
 * 0, or with a sentence appended to `error`: HERD_EIO (also: nobody there), and when somebody is,
 * HERD_ETIMEDOUT, HERD_ECLOSED, HERD_ENOMEM, or HERD_ETOOLONG beyond CALL_ANSWER_MAX_BYTES. What
 * came until then is in `answer` all the same. For any thread.
 */
int call_tcp(const struct config_address *address, struct herd_slice line, const char *end,
             int64_t timeout_ms, struct herd_buf *answer, struct herd_buf *error);
int call_unix(const char *path, struct herd_slice line, const char *end, int64_t timeout_ms,
              struct herd_buf *answer, struct herd_buf *error);

#endif
