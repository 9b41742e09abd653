/* faults.h: makes calls of libuv and of the system fail, and allocations. Linked with --wrap of all
 * of them; see CMakeLists.txt. */
#ifndef TEST_FAULTS_H
#define TEST_FAULTS_H

#include <stdbool.h>

/*
 * What can be made to fail. Not uv_timer_start and its like, which fail for wrong arguments alone;
 * nor what libuv allocates itself, which ends the process. The last ones, from FAULT_OF_PROVIDER
 * on, a server comes to that has a places provider to call.
 */
#define FAULT_TABLE(X)                                                                             \
    X(ALLOCATION, "allocation")                                                                    \
    X(THREAD, "pthread_create")                                                                    \
    X(FOLDER, "mkdir")                                                                             \
    X(LOCK, "flock")                                                                               \
    X(RANDOM, "getrandom")                                                                         \
    X(SIGNALFD, "signalfd")                                                                        \
    X(LOOP, "uv_loop_init")                                                                        \
    X(ASYNC, "uv_async_init")                                                                      \
    X(POLL, "uv_poll_init")                                                                        \
    X(POLL_START, "uv_poll_start")                                                                 \
    X(TCP, "uv_tcp_init")                                                                          \
    X(BIND, "uv_tcp_bind")                                                                         \
    X(LISTEN, "uv_listen")                                                                         \
    X(ACCEPT, "uv_accept")                                                                         \
    X(CONNECT, "uv_tcp_connect")                                                                   \
    X(NODELAY, "uv_tcp_nodelay")                                                                   \
    X(KEEPALIVE, "uv_tcp_keepalive")                                                               \
    X(SEND_BUFFER, "uv_send_buffer_size")                                                          \
    X(READ, "uv_read_start")                                                                       \
    X(TRY_WRITE, "uv_try_write")                                                                   \
    X(WRITE, "uv_write")                                                                           \
    X(WRITE_LATER, "what uv_write has begun")                                                      \
    X(SHUTDOWN, "uv_shutdown")                                                                     \
    X(PIPE, "uv_pipe_init")                                                                        \
    X(PIPE_BIND, "uv_pipe_bind")                                                                   \
    X(GETSOCKNAME, "uv_tcp_getsockname")                                                           \
    X(FILENO, "uv_fileno")                                                                         \
    X(LISTEN_SOCKET, "listen")                                                                     \
    X(ACCEPT_FILES, "accept4 (no file)")                                                           \
    X(ACCEPT_SOCKET, "accept4 (no buffer)")                                                        \
    X(WORK, "uv_queue_work")                                                                       \
    X(POLL_SOCKET, "uv_poll_init_socket")

enum fault {
#define FAULT_ENUM(id, name) FAULT_##id,
    FAULT_TABLE(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_COUNT,
    FAULT_OF_PROVIDER = FAULT_WORK
};

const char *fault_name(enum fault fault);

/* From now on the `nth` such call of this process fails (1: the next); *out_fired, which another
 * process may look at, says when it has. */
void fault_arm(enum fault fault, unsigned nth, bool *out_fired);

#endif
