#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <herd/err.h>

#include "caller.h"

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t deadline_ms)
{
    struct pollfd poller = {.fd = fd, .events = events};
    for (;;) {
        int64_t left_ms = deadline_ms - now_ms();
        int rc = poll(&poller, 1, left_ms > 0 ? (int)left_ms : 0);
        if (rc > 0)
            return 0;
        if (rc == 0)
            return HERD_ETIMEDOUT;
        if (errno != EINTR)
            return HERD_EIO;
    }
}

/* 0, or an errno. */
static int finish_connect(int fd, const struct sockaddr *address, socklen_t len,
                          int64_t deadline_ms)
{
    if (connect(fd, address, len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    if (wait_for(fd, POLLOUT, deadline_ms) < 0)
        return ETIMEDOUT;
    int error = 0;
    socklen_t size = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

static int send_all(int fd, struct herd_slice line, int64_t deadline_ms)
{
    while (line.len > 0) {
        ssize_t sent = send(fd, line.data, line.len, MSG_NOSIGNAL);
        if (sent > 0)
            line = herd_slice(line.data + sent, line.len - (size_t)sent);
        else if (errno != EAGAIN && errno != EINTR)
            return HERD_EIO;
        else if (wait_for(fd, POLLOUT, deadline_ms) < 0)
            return HERD_ETIMEDOUT;
    }
    return 0;
}

static bool is_whole(const struct herd_buf *answer, const char *end)
{
    bool is_at = answer->len > 2 && memcmp(answer->data, "AT ", 3) == 0;
    const char *mark = is_at ? end : "\n";
    size_t len = strlen(mark);
    return answer->len >= len && memcmp(answer->data + answer->len - len, mark, len) == 0;
}

static int receive(int fd, const char *end, int64_t deadline_ms, struct herd_buf *answer)
{
    char bytes[4096];
    while (!is_whole(answer, end)) {
        int rc = wait_for(fd, POLLIN, deadline_ms);
        if (rc < 0)
            return rc;
        ssize_t len = recv(fd, bytes, sizeof(bytes), 0);
        if (len == 0)
            return HERD_ECLOSED;
        if (len < 0 && errno != EAGAIN && errno != EINTR)
            return HERD_EIO;
        if (len > 0 && herd_buf_append(answer, bytes, (size_t)len) < 0)
            return HERD_ENOMEM;
        if (answer->len > CALL_ANSWER_MAX_BYTES)
            return HERD_ETOOLONG;
    }
    return 0;
}

static int converse(int fd, struct herd_slice line, const char *end, int64_t deadline_ms,
                    struct herd_buf *answer, struct herd_buf *error)
{
    int rc = send_all(fd, line, deadline_ms);
    if (rc == 0)
        rc = receive(fd, end, deadline_ms, answer);
    if (rc < 0)
        herd_buf_printf(error, "no whole answer: %s",
                        rc == HERD_EIO ? strerror(errno) : herd_strerror(rc));
    return rc;
}

int call_tcp(const struct config_address *address, struct herd_slice line, const char *end,
             int64_t timeout_ms, struct herd_buf *answer, struct herd_buf *error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int64_t deadline_ms = now_ms() + timeout_ms;
    struct addrinfo *addresses;
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)address->port);
    int rc = getaddrinfo(address->host, service, &hints, &addresses);
    if (rc != 0) {
        herd_buf_printf(error, "%s: %s", address->host, gai_strerror(rc));
        return HERD_EIO;
    }
    int failure = EADDRNOTAVAIL;
    rc = HERD_EIO;
    for (const struct addrinfo *at = addresses; at != NULL && failure != 0; at = at->ai_next) {
        int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        failure = fd < 0 ? errno : finish_connect(fd, at->ai_addr, at->ai_addrlen, deadline_ms);
        if (failure == 0)
            rc = converse(fd, line, end, deadline_ms, answer, error);
        if (fd >= 0)
            close(fd);
    }
    freeaddrinfo(addresses);
    if (failure != 0)
        herd_buf_printf(error, "%s:%s: %s", address->host, service, strerror(failure));
    return rc;
}

int call_unix(const char *path, struct herd_slice line, const char *end, int64_t timeout_ms,
              struct herd_buf *answer, struct herd_buf *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int64_t deadline_ms = now_ms() + timeout_ms;
    if (strlen(path) >= sizeof(address.sun_path)) {
        herd_buf_printf(error, "%s: longer than a socket's path may be", path);
        return HERD_EIO;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int failure = fd < 0 ? errno
                         : finish_connect(fd, (const struct sockaddr *)&address, sizeof(address),
                                          deadline_ms);
    int rc = HERD_EIO;
    if (failure == 0)
        rc = converse(fd, line, end, deadline_ms, answer, error);
    else
        herd_buf_printf(error, "%s: %s", path, strerror(failure));
    if (fd >= 0)
        close(fd);
    return rc;
}
