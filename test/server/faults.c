/* uv_try_write takes only half of what it is given, always, so that uv_write has work to do. What is
 * synced is not: a process that ends leaves what it has written to the kernel, and the disk under
 * the test is none of what is tested. */
#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

/* What is wrapped has no place to hand state through. */
static struct {
    enum fault fault;
    atomic_uint left; /* calls before the one that fails, and that one; 0: none does */
    bool *fired;
} armed;

const char *fault_name(enum fault fault)
{
    static const char *const names[] = {
#define FAULT_NAME(id, name) name,
        FAULT_TABLE(FAULT_NAME)
#undef FAULT_NAME
    };
    return names[fault];
}

void fault_arm(enum fault fault, unsigned nth, bool *out_fired)
{
    armed.fault = fault;
    armed.fired = out_fired;
    atomic_store(&armed.left, nth);
}

/* Instead of libc's, also for SQLite. */

int fsync(int fd)
{
    (void)fd;
    return 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

/* Threads allocate, too. */
static bool fails(enum fault fault)
{
    unsigned left = atomic_load(&armed.left);
    if (left == 0 || fault != armed.fault)
        return false;
    while (!atomic_compare_exchange_weak(&armed.left, &left, left - 1)) {
        if (left == 0)
            return false;
    }
    if (left > 1)
        return false;
    *armed.fired = true;
    return true;
}

static int fails_with(enum fault fault, int error)
{
    if (!fails(fault))
        return 0;
    errno = error;
    return -1;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
    return fails(FAULT_ALLOCATION) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(FAULT_ALLOCATION) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails(FAULT_ALLOCATION) ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails(FAULT_ALLOCATION) ? NULL : __real_strdup(text);
}

int __real_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __real_mkdir(const char *path, unsigned mode);
int __wrap_mkdir(const char *path, unsigned mode);
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
ssize_t __real_getrandom(void *out, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t size, unsigned flags);
int __real_signalfd(int fd, const sigset_t *set, int flags);
int __wrap_signalfd(int fd, const sigset_t *set, int flags);

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg)
{
    return fails(FAULT_THREAD) ? EAGAIN : __real_pthread_create(out, attributes, run, arg);
}

int __wrap_mkdir(const char *path, unsigned mode)
{
    return fails_with(FAULT_FOLDER, ENOSPC) < 0 ? -1 : __real_mkdir(path, mode);
}

int __wrap_flock(int fd, int operation)
{
    return fails_with(FAULT_LOCK, ENOLCK) < 0 ? -1 : __real_flock(fd, operation);
}

ssize_t __wrap_getrandom(void *out, size_t size, unsigned flags)
{
    return fails_with(FAULT_RANDOM, EINTR) < 0 ? -1 : __real_getrandom(out, size, flags);
}

int __wrap_signalfd(int fd, const sigset_t *set, int flags)
{
    return fails_with(FAULT_SIGNALFD, EMFILE) < 0 ? -1 : __real_signalfd(fd, set, flags);
}

int __real_uv_loop_init(uv_loop_t *loop);
int __wrap_uv_loop_init(uv_loop_t *loop);
int __real_uv_async_init(uv_loop_t *loop, uv_async_t *handle, uv_async_cb run);
int __wrap_uv_async_init(uv_loop_t *loop, uv_async_t *handle, uv_async_cb run);
int __real_uv_poll_init(uv_loop_t *loop, uv_poll_t *handle, int fd);
int __wrap_uv_poll_init(uv_loop_t *loop, uv_poll_t *handle, int fd);
int __real_uv_poll_start(uv_poll_t *handle, int events, uv_poll_cb run);
int __wrap_uv_poll_start(uv_poll_t *handle, int events, uv_poll_cb run);

int __wrap_uv_loop_init(uv_loop_t *loop)
{
    return fails(FAULT_LOOP) ? UV_EMFILE : __real_uv_loop_init(loop);
}

int __wrap_uv_async_init(uv_loop_t *loop, uv_async_t *handle, uv_async_cb run)
{
    return fails(FAULT_ASYNC) ? UV_EMFILE : __real_uv_async_init(loop, handle, run);
}

int __wrap_uv_poll_init(uv_loop_t *loop, uv_poll_t *handle, int fd)
{
    return fails(FAULT_POLL) ? UV_EPERM : __real_uv_poll_init(loop, handle, fd);
}

int __wrap_uv_poll_start(uv_poll_t *handle, int events, uv_poll_cb run)
{
    return fails(FAULT_POLL_START) ? UV_ENOMEM : __real_uv_poll_start(handle, events, run);
}

int __real_uv_tcp_init(uv_loop_t *loop, uv_tcp_t *tcp);
int __wrap_uv_tcp_init(uv_loop_t *loop, uv_tcp_t *tcp);
int __real_uv_tcp_bind(uv_tcp_t *tcp, const struct sockaddr *address, unsigned flags);
int __wrap_uv_tcp_bind(uv_tcp_t *tcp, const struct sockaddr *address, unsigned flags);
int __real_uv_listen(uv_stream_t *stream, int backlog, uv_connection_cb run);
int __wrap_uv_listen(uv_stream_t *stream, int backlog, uv_connection_cb run);
int __real_uv_accept(uv_stream_t *listener, uv_stream_t *stream);
int __wrap_uv_accept(uv_stream_t *listener, uv_stream_t *stream);
int __real_uv_tcp_connect(uv_connect_t *req, uv_tcp_t *tcp, const struct sockaddr *address,
                          uv_connect_cb run);
int __wrap_uv_tcp_connect(uv_connect_t *req, uv_tcp_t *tcp, const struct sockaddr *address,
                          uv_connect_cb run);
int __real_uv_tcp_nodelay(uv_tcp_t *tcp, int on);
int __wrap_uv_tcp_nodelay(uv_tcp_t *tcp, int on);
int __real_uv_tcp_keepalive(uv_tcp_t *tcp, int on, unsigned seconds);
int __wrap_uv_tcp_keepalive(uv_tcp_t *tcp, int on, unsigned seconds);
int __real_uv_send_buffer_size(uv_handle_t *handle, int *bytes);
int __wrap_uv_send_buffer_size(uv_handle_t *handle, int *bytes);
int __real_uv_pipe_init(uv_loop_t *loop, uv_pipe_t *pipe, int ipc);
int __wrap_uv_pipe_init(uv_loop_t *loop, uv_pipe_t *pipe, int ipc);
int __real_uv_pipe_bind(uv_pipe_t *pipe, const char *path);
int __wrap_uv_pipe_bind(uv_pipe_t *pipe, const char *path);

int __wrap_uv_tcp_init(uv_loop_t *loop, uv_tcp_t *tcp)
{
    return fails(FAULT_TCP) ? UV_EMFILE : __real_uv_tcp_init(loop, tcp);
}

int __wrap_uv_tcp_bind(uv_tcp_t *tcp, const struct sockaddr *address, unsigned flags)
{
    return fails(FAULT_BIND) ? UV_EADDRINUSE : __real_uv_tcp_bind(tcp, address, flags);
}

int __wrap_uv_listen(uv_stream_t *stream, int backlog, uv_connection_cb run)
{
    return fails(FAULT_LISTEN) ? UV_EADDRINUSE : __real_uv_listen(stream, backlog, run);
}

static void on_spare_closed(uv_handle_t *handle)
{
    free(handle);
}

/* libuv closes a connection that it could not give to the stream. */
static void drop(uv_stream_t *listener)
{
    union uv_any_handle *spare = __real_calloc(1, sizeof(*spare));
    if (listener->type == UV_TCP)
        __real_uv_tcp_init(listener->loop, &spare->tcp);
    else
        __real_uv_pipe_init(listener->loop, &spare->pipe, 0);
    __real_uv_accept(listener, &spare->stream);
    uv_close(&spare->handle, on_spare_closed);
}

int __wrap_uv_accept(uv_stream_t *listener, uv_stream_t *stream)
{
    if (!fails(FAULT_ACCEPT))
        return __real_uv_accept(listener, stream);
    drop(listener);
    return UV_ENOMEM;
}

int __wrap_uv_tcp_connect(uv_connect_t *req, uv_tcp_t *tcp, const struct sockaddr *address,
                          uv_connect_cb run)
{
    return fails(FAULT_CONNECT) ? UV_EMFILE : __real_uv_tcp_connect(req, tcp, address, run);
}

int __wrap_uv_tcp_nodelay(uv_tcp_t *tcp, int on)
{
    return fails(FAULT_NODELAY) ? UV_EINVAL : __real_uv_tcp_nodelay(tcp, on);
}

int __wrap_uv_tcp_keepalive(uv_tcp_t *tcp, int on, unsigned seconds)
{
    return fails(FAULT_KEEPALIVE) ? UV_EINVAL : __real_uv_tcp_keepalive(tcp, on, seconds);
}

int __wrap_uv_send_buffer_size(uv_handle_t *handle, int *bytes)
{
    return fails(FAULT_SEND_BUFFER) ? UV_ENOBUFS : __real_uv_send_buffer_size(handle, bytes);
}

int __wrap_uv_pipe_init(uv_loop_t *loop, uv_pipe_t *pipe, int ipc)
{
    return fails(FAULT_PIPE) ? UV_EMFILE : __real_uv_pipe_init(loop, pipe, ipc);
}

int __wrap_uv_pipe_bind(uv_pipe_t *pipe, const char *path)
{
    return fails(FAULT_PIPE_BIND) ? UV_EACCES : __real_uv_pipe_bind(pipe, path);
}

int __real_uv_tcp_getsockname(const uv_tcp_t *tcp, struct sockaddr *out, int *len);
int __wrap_uv_tcp_getsockname(const uv_tcp_t *tcp, struct sockaddr *out, int *len);
int __real_uv_fileno(const uv_handle_t *handle, uv_os_fd_t *out);
int __wrap_uv_fileno(const uv_handle_t *handle, uv_os_fd_t *out);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);
int __real_accept4(int fd, struct sockaddr *out, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *out, socklen_t *len, int flags);
int __real_uv_queue_work(uv_loop_t *loop, uv_work_t *req, uv_work_cb work, uv_after_work_cb done);
int __wrap_uv_queue_work(uv_loop_t *loop, uv_work_t *req, uv_work_cb work, uv_after_work_cb done);
int __real_uv_poll_init_socket(uv_loop_t *loop, uv_poll_t *handle, uv_os_sock_t fd);
int __wrap_uv_poll_init_socket(uv_loop_t *loop, uv_poll_t *handle, uv_os_sock_t fd);

int __wrap_uv_tcp_getsockname(const uv_tcp_t *tcp, struct sockaddr *out, int *len)
{
    return fails(FAULT_GETSOCKNAME) ? UV_ENOBUFS : __real_uv_tcp_getsockname(tcp, out, len);
}

int __wrap_uv_fileno(const uv_handle_t *handle, uv_os_fd_t *out)
{
    return fails(FAULT_FILENO) ? UV_EBADF : __real_uv_fileno(handle, out);
}

int __wrap_listen(int fd, int backlog)
{
    return fails_with(FAULT_LISTEN_SOCKET, EADDRINUSE) < 0 ? -1 : __real_listen(fd, backlog);
}

int __wrap_accept4(int fd, struct sockaddr *out, socklen_t *len, int flags)
{
    if (fails_with(FAULT_ACCEPT_FILES, EMFILE) < 0 || fails_with(FAULT_ACCEPT_SOCKET, ENOBUFS) < 0)
        return -1;
    return __real_accept4(fd, out, len, flags);
}

int __wrap_uv_queue_work(uv_loop_t *loop, uv_work_t *req, uv_work_cb work, uv_after_work_cb done)
{
    return fails(FAULT_WORK) ? UV_ENOMEM : __real_uv_queue_work(loop, req, work, done);
}

int __wrap_uv_poll_init_socket(uv_loop_t *loop, uv_poll_t *handle, uv_os_sock_t fd)
{
    return fails(FAULT_POLL_SOCKET) ? UV_EMFILE : __real_uv_poll_init_socket(loop, handle, fd);
}

int __real_uv_read_start(uv_stream_t *stream, uv_alloc_cb alloc, uv_read_cb read);
int __wrap_uv_read_start(uv_stream_t *stream, uv_alloc_cb alloc, uv_read_cb read);
int __real_uv_try_write(uv_stream_t *stream, const uv_buf_t bufs[], unsigned count);
int __wrap_uv_try_write(uv_stream_t *stream, const uv_buf_t bufs[], unsigned count);
int __real_uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t bufs[], unsigned count,
                    uv_write_cb run);
int __wrap_uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t bufs[], unsigned count,
                    uv_write_cb run);
int __real_uv_shutdown(uv_shutdown_t *req, uv_stream_t *stream, uv_shutdown_cb run);
int __wrap_uv_shutdown(uv_shutdown_t *req, uv_stream_t *stream, uv_shutdown_cb run);

int __wrap_uv_read_start(uv_stream_t *stream, uv_alloc_cb alloc, uv_read_cb read)
{
    return fails(FAULT_READ) ? UV_ENOTCONN : __real_uv_read_start(stream, alloc, read);
}

int __wrap_uv_try_write(uv_stream_t *stream, const uv_buf_t bufs[], unsigned count)
{
    if (fails(FAULT_TRY_WRITE))
        return UV_ENOBUFS;
    if (count != 1 || bufs[0].len < 2)
        return __real_uv_try_write(stream, bufs, count);
    uv_buf_t half = uv_buf_init(bufs[0].base, (unsigned)bufs[0].len / 2);
    return __real_uv_try_write(stream, &half, 1);
}

int __wrap_uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t bufs[], unsigned count,
                    uv_write_cb run)
{
    uv_os_fd_t fd;
    if (fails(FAULT_WRITE))
        return UV_ENOMEM;
    if (fails(FAULT_WRITE_LATER) && __real_uv_fileno((uv_handle_t *)stream, &fd) == 0)
        shutdown(fd, SHUT_WR);
    return __real_uv_write(req, stream, bufs, count, run);
}

int __wrap_uv_shutdown(uv_shutdown_t *req, uv_stream_t *stream, uv_shutdown_cb run)
{
    return fails(FAULT_SHUTDOWN) ? UV_ENOTCONN : __real_uv_shutdown(req, stream, run);
}
