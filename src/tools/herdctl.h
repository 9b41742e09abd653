/* herdctl.h: what the commands of herdctl share. */
#ifndef TOOLS_HERDCTL_H
#define TOOLS_HERDCTL_H

#include "base/config.h"

enum { EXIT_ANSWER = 1, EXIT_USAGE = 2 };

struct context {
    const struct config *config;
    bool json;
    const char *after; /* of --after, or NULL */
};

/* A command: its words after the name. The exit status. */
int ctl_status(const struct context *context, int argc, char **argv);

#endif
