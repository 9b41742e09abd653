#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/program.h"

void program_begin(const char *program)
{
    static const int modes[] = {
        [STDIN_FILENO] = O_RDONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_RDWR};
    signal(SIGXFSZ, SIG_IGN);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        /* The lowest one that is free, which is this one. */
        if (open("/dev/null", modes[fd]) == fd)
            continue;
        fprintf(stderr, "%s: /dev/null, for a standard descriptor that is closed: %s\n", program,
                strerror(errno));
        exit(EXIT_FAILURE);
    }
}
