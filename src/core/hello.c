/*
 * HELLO: who dials says what it is and how it counts; who listens compares, and answers with what it
 * holds of that.
 *
 *   epoch   another one: the neighbour began empty, and nothing of what it has marked holds
 *   life    another one of the same epoch: it was read from disk. Where the disk was put back from a
 *           copy, sequences that are marked here may mean other records now. RESUME says in which
 *           life the mark was made, and the dialler, which knows its lives, what it is worth (lives.c)
 */
#include <stdio.h>

#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/node.h"

int hello_append(const struct herd_node *node, struct herd_buf *out)
{
    const struct herd_node_options *options = &node->options;
    char words[128], life[64] = "";
    if (node->life.id != 0)
        snprintf(life, sizeof(life), " " HERD_WORD_LIFE "%016llx " HERD_WORD_FROM "%llu",
                 (unsigned long long)node->life.id, (unsigned long long)node->life.from);
    snprintf(words, sizeof(words), "%s" HERD_WORD_TTL "%lld%s",
             options->prune ? HERD_CAPABILITY_PRUNE " " : "",
             (long long)(options->record_ttl_ns / HERD_NS_PER_S), life);
    return herd_append_hello(out, herd_slice_of(node->name), node->epoch,
                             herd_store_sequence(node->store), options->max_skew_ns, words);
}

enum {
    TOLD_AGAIN_MS = 10000,
    GREETED_TOLD = 8, /* in that time: a neighbour that is restarted a few times */
    TURNED_AWAY_TOLD = 1
};

/* Whoever reaches the port can say HELLO in any name as often as it likes: the log must not grow by
 * that. */
static bool may_tell(struct told *told, struct herd_now now, unsigned most)
{
    if (now.mono_ns >= told->since_ns + TOLD_AGAIN_MS * HERD_NS_PER_MS) {
        told->since_ns = now.mono_ns;
        told->lines = 0;
    }
    if (told->lines == most) {
        told->untold++;
        return false;
    }
    told->lines++;
    return true;
}

static void tell_refusal(struct neighbour *neighbour, struct herd_now now, const char *why)
{
    struct told *told = &neighbour->turned_away;
    if (!may_tell(told, now, TURNED_AWAY_TOLD))
        return;
    node_notice(neighbour->link.conn.node, HERD_NOTICE_HELLO_REFUSED, neighbour->name, 0,
                told->untold + 1, "%s", why);
    told->untold = 0;
}

/* Of a stranger, who has read our answer, nothing is told: it is no mistake of this configuration. */
static int refuse(struct herd_conn *conn, struct herd_now now, struct herd_slice server,
                  const char *why)
{
    struct neighbour *neighbour = node_neighbour(conn->node, server);
    conn->node->stats.hello_refused++;
    if (neighbour != NULL)
        tell_refusal(neighbour, now, why);
    conn_close(conn);
    return herd_buf_printf(conn_output(conn), "%s %s\n", herd_verb_name(HERD_VERB_REFUSE), why);
}

/* As in herd.conf: whole seconds, or, which only a stranger says, with what is behind them. */
static const char *seconds(int64_t ns, char *out, size_t size)
{
    long long whole_s = (long long)(ns / HERD_NS_PER_S), rest_ns = (long long)(ns % HERD_NS_PER_S);
    if (rest_ns == 0)
        snprintf(out, size, "%lld", whole_s);
    else
        snprintf(out, size, "%lld.%09lld", whole_s, rest_ns);
    return out;
}

enum { WHY_BYTES = 160, SECONDS_BYTES = 32 };

/* Why a server cannot be a neighbour, in `why`; false: it can. Both ends tell it, so it is said who
 * has which value. */
static bool find_mismatch(const struct herd_node *node, const struct herd_command *command,
                          char why[WHY_BYTES])
{
    const struct herd_node_options *mine = &node->options;
    char my_skew[SECONDS_BYTES], your_skew[SECONDS_BYTES];
    uint64_t my_ttl_s = (uint64_t)(mine->record_ttl_ns / HERD_NS_PER_S), ttl_s;
    if (!link_word_number(command->rest, HERD_WORD_TTL, 10, &ttl_s))
        ttl_s = my_ttl_s;
    if (herd_slice_equal(command->server, herd_slice_of(node->name)))
        snprintf(why, WHY_BYTES, "this is my own name");
    else if (command->max_skew_ns != mine->max_skew_ns)
        snprintf(why, WHY_BYTES,
                 "max_skew_s differs (mine is %s, yours %s); it must be the same in the whole herd",
                 seconds(mine->max_skew_ns, my_skew, sizeof(my_skew)),
                 seconds(command->max_skew_ns, your_skew, sizeof(your_skew)));
    else if (ttl_s != my_ttl_s)
        snprintf(why, WHY_BYTES,
                 "record_ttl_s differs (mine is %llu, yours %llu); it must be the same in the "
                 "whole herd",
                 (unsigned long long)my_ttl_s, (unsigned long long)ttl_s);
    else
        return false;
    return true;
}

/* The neighbour counts anew (another epoch, or the same one from further back): nothing of what it
 * marked holds. */
static void begin_anew(struct herd_node *node, struct neighbour *neighbour, uint64_t epoch)
{
    link_neighbour_reborn(&neighbour->link);
    neighbour->source = node_new_source(node); /* what it told before it may have lost */
    node->persist.marks_changed |= neighbour->mark.sequence > 0;
    neighbour->mark = (struct herd_mark){.epoch = epoch};
    neighbour->sound = UINT64_MAX;
    neighbour->recovered = false; /* it sends all it has anyway */
}

/* What the neighbour says of its life; all 0: nothing. */
static struct herd_life present_life(const struct herd_command *command)
{
    struct herd_life life;
    if (!link_word_number(command->rest, HERD_WORD_LIFE, 16, &life.id) ||
        !link_word_number(command->rest, HERD_WORD_FROM, 10, &life.from) || life.from == 0)
        life = (struct herd_life){0};
    return life;
}

static void meet(struct herd_node *node, struct herd_now now, struct neighbour *neighbour,
                 const struct herd_command *command)
{
    struct herd_life life = present_life(command);
    struct herd_mark *mark = &neighbour->mark;
    bool same_epoch = mark->epoch == command->epoch;
    ended_forget_doubt(neighbour, now);
    if (same_epoch && neighbour->life.id != life.id)
        link_neighbour_restarted(&neighbour->link);
    if (same_epoch && mark->life != life.id) {
        uint64_t shared = lives_shared(mark, &life);
        if (shared > neighbour->sound)
            shared = neighbour->sound;
        node->persist.marks_changed |= shared != mark->sequence;
        mark->sequence = shared;
    }
    if (!same_epoch || mark->sequence > command->sequence)
        begin_anew(node, neighbour, command->epoch);
    neighbour->life = life;
}

/* Only the dialler knows which of its lives came of which. One that does not tell its own asks for
 * none. */
static int append_resume(const struct neighbour *neighbour, uint64_t epoch, uint64_t recovered_life,
                         struct herd_buf *out)
{
    const struct herd_mark *mark = &neighbour->mark;
    bool is_former = neighbour->life.id != 0 && mark->life != neighbour->life.id;
    return herd_append_resume(out, epoch, mark->sequence,
                              is_former && mark->sequence > 0 ? &mark->life : NULL, recovered_life);
}

/* From now on the neighbour's connection is this one; an older one has been given up by it, or will
 * be. */
static void take_inbound(struct herd_conn *conn, struct neighbour *neighbour)
{
    if (conn->neighbour != NULL) {
        prune_on_inbound_lost(conn->neighbour);
        conn->neighbour->inbound = NULL;
    }
    if (neighbour->inbound != NULL) {
        prune_on_inbound_lost(neighbour);
        neighbour->inbound->neighbour = NULL;
        conn_abort(neighbour->inbound);
    }
    conn->neighbour = neighbour;
    conn->known = true;
    neighbour->inbound = conn;
}

int hello_take(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    struct herd_node *node = conn->node;
    char why[WHY_BYTES];
    if (find_mismatch(node, command, why))
        return refuse(conn, now, command->server, why);
    struct herd_buf *out = conn_output(conn);
    struct neighbour *neighbour = node_neighbour(node, command->server);
    if (neighbour == NULL) {
        conn->stranger = true;
        return herd_append_position(out, HERD_VERB_RESUME, command->epoch, 0);
    }
    take_inbound(conn, neighbour);
    neighbour->prunes = node->options.prune && link_has_word(command->rest, HERD_CAPABILITY_PRUNE);
    neighbour->inbound_since_ns = neighbour->inbound_heard_ns = now.mono_ns;
    neighbour->inbound_pinged_ns = INT64_MAX;
    meet(node, now, neighbour, command);
    if (may_tell(&neighbour->greeted, now, GREETED_TOLD))
        node_notice(node, HERD_NOTICE_HELLO, neighbour->name, command->epoch,
                    neighbour->mark.sequence, "%s", "");
    link_redial(&neighbour->link, now);
    link_neighbour_greeted(&neighbour->link, now);
    reconcile_init(&neighbour->reconcile);
    acks_forget(neighbour);
    neighbour->refused_ns = 0;
    return append_resume(neighbour, command->epoch, neighbour->recovered ? node->life.id : 0, out);
}
