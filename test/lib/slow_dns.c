/*
 * Preloaded into a server: names of .example, and SLOW_DNS_NAME, take SLOW_DNS_MS to resolve and as
 * long as the file SLOW_DNS_WHILE is there, and are this machine's; with SLOW_DNS_FAILS there is no
 * DNS for them at all.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static void sleep_ms(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        continue;
}

static void hang(void)
{
    const char *path = getenv("SLOW_DNS_WHILE");
    while (path != NULL && access(path, F_OK) == 0)
        sleep_ms(1);
}

static bool is_slow(const char *node)
{
    static const char domain[] = ".example";
    const char *name = getenv("SLOW_DNS_NAME");
    size_t len = node != NULL ? strlen(node) : 0;
    return (len >= sizeof domain && strcmp(node + len - (sizeof domain - 1), domain) == 0) ||
           (len > 0 && name != NULL && strcmp(node, name) == 0);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    getaddrinfo_fn *next;
    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!is_slow(node))
        return next(node, service, hints, out);
    const char *ms = getenv("SLOW_DNS_MS");
    sleep_ms(ms != NULL ? strtol(ms, NULL, 10) : 0);
    hang();
    if (getenv("SLOW_DNS_FAILS") != NULL)
        return EAI_AGAIN;
    return next("127.0.0.1", service, hints, out);
}
