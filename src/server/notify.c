#include "server/room.h"

#ifdef HERD_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

void notify_systemd(const char *state)
{
    sd_notify(0, state);
}
#else
void notify_systemd(const char *state)
{
    (void)state;
}
#endif
