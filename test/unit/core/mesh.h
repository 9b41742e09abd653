/* mesh.h: a few nodes that talk to each other over wires in memory, in virtual time, and a count of
 * what they say. */
#ifndef TEST_MESH_H
#define TEST_MESH_H

#include <herd/node.h>
#include <herd/proto.h>

enum {
    MESH_NODES_MAX = 3,
    MESH_LATENCY_MS = 50, /* one way */
    MESH_WALL_S = 1700000000
};

struct mesh_traffic {
    uint64_t lines, bytes;
    int64_t first_ns, last_ns; /* when such lines were sent, mono_ns; 0: none was */
};

struct mesh {
    struct herd_node *nodes[MESH_NODES_MAX];
    size_t count;
    struct herd_now now;
    bool is_cut;       /* nothing can be dialled */
    bool loses_floods; /* every FLOOD is lost on its way, and nobody is told */
    size_t longest;    /* line, without its LF */
    struct mesh_traffic traffic[HERD_VERB_COUNT];
    uint64_t link_bytes[MESH_NODES_MAX]
                       [HERD_VERB_COUNT]; /* on the links that a node has dialled, both
                                                             ways */
    struct mesh_end *ends;                /* all there ever were */
    struct mesh_packet *packets;
    struct herd_buf answers; /* to mesh_say */
};

struct mesh *mesh_new(void);
/* Nodes in a row, each with the same `records` records and all of each other's marks. */
struct mesh *mesh_new_row(size_t count, unsigned records);
void mesh_free(struct mesh *mesh);
/* A node; the options' seed and name tell it from others. */
struct herd_node *mesh_add(struct mesh *mesh, const struct herd_node_options *options);
/* An edge, both ways. */
void mesh_join(struct mesh *mesh, struct herd_node *a, struct herd_node *b);

/* A client's lines, in one go; they have been taken and answered at the return, and it is gone. */
void mesh_say(struct mesh *mesh, struct herd_node *node, struct herd_slice lines);
void mesh_run_ms(struct mesh *mesh, int64_t ms);
/* Until all stores are equal: the milliseconds that took, or -1. */
int64_t mesh_run_to_equal(struct mesh *mesh, int64_t ms_max);
/* All connections break, and none is made until mesh_heal. */
void mesh_cut(struct mesh *mesh);
void mesh_heal(struct mesh *mesh);

bool mesh_is_equal(const struct mesh *mesh);
void mesh_forget_traffic(struct mesh *mesh);
/* Of several verbs, up to HERD_VERB_NONE; of all links, or of those that a node has dialled. */
uint64_t mesh_bytes(const struct mesh *mesh, const enum herd_verb *verbs);
uint64_t mesh_link_bytes(const struct mesh *mesh, size_t dialler, const enum herd_verb *verbs);
/* `DIGEST 3/120 TREE …`: lines/bytes of each verb there was. */
void mesh_describe(const struct mesh *mesh, char *out, size_t size);

#endif
