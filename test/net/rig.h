/* rig.h: nodes with real sockets in one loop, and blocking clients in threads of the test. */
#ifndef TEST_NET_RIG_H
#define TEST_NET_RIG_H

#include <uv.h>

#include "net/net.h"

struct rig_server {
    struct herd_node *node;
    struct net *net;
    struct metrics metrics;
    uint16_t port;
    char name[16];
    int stopped;
};

struct rig {
    uv_loop_t loop;
    struct log *log;
    struct rig_server servers[8];
    int count;
};

void rig_init(struct rig *rig);
/* A server that listens on a port of the kernel's choice; WHATSAT is answered with {} at once. */
struct rig_server *rig_add(struct rig *rig, const char *name);
/* An edge, both ways. */
void rig_join(struct rig_server *a, struct rig_server *b);
/* Runs the loop until the condition holds; fails the test after two minutes. */
void rig_run_until(struct rig *rig, bool (*condition)(void *arg), void *arg);
/* At the end of a turn, behind the server's own hook: it has more to do, and nothing is sure to wake
 * the loop for it. A test whose own timers wake the loop would not notice. */
bool rig_sleeps_early(const struct rig_server *server);
/* Stops all servers, closes the loop, asserts that nothing was left on it. */
void rig_close(struct rig *rig);

/* A blocking TCP connection to a port of this machine. */
int rig_connect(uint16_t port);
/* A socket, a connection that take about twice so many bytes until they are read from. */
int rig_small_socket(int bytes);
int rig_connect_small(uint16_t port, int bytes);
/* What a server's connections keep unread, of those that come from now on; as above. */
void rig_receive_buffer(const struct rig_server *server, int bytes);
/* Who closes is not given up because the test takes long. */
void rig_give_time(struct rig_server *server);
/* Waits for what the kernel does, or other threads; the loop does not run. Fails after two minutes. */
void rig_wait(bool (*is_done)(void *arg), void *arg);
/* Returns when the other end's kernel has all that was sent, and the end of it: where that is
 * carried by another processor, or later, it is not there when `send` returns. */
void rig_arrived(int fd);

#endif
