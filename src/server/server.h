/* server.h: one running server: the only place that knows all the rooms. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/config.h"
#include "base/log.h"

/*
 * Runs the server `name` of a configuration until SIGTERM or SIGINT. `config_path` is read again at
 * SIGHUP. Takes both config and log. Returns the exit status: 0 stopped as asked, 1 could not start
 * (a line on stderr and in the log says why).
 */
int server_run(struct config *take_config, const char *config_path, const char *name,
               struct log *take_log);

/* The log as the values say, for the server `name`. NULL after a line on stderr. */
struct log *server_open_log(const struct config_values *values, const char *name);

#endif
