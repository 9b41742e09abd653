/* herdctl_answer.h: what a server has answered: whether it speaks this protocol at all, what its AT
 * line says, and why it may have refused a line. */
#ifndef TOOLS_HERDCTL_ANSWER_H
#define TOOLS_HERDCTL_ANSWER_H

#include <stdbool.h>

#include <herd/proto.h>

enum { AT_FIELDS = 5 };

enum answer_kind {
    ANSWER_AT,
    ANSWER_REFUSED, /* `? ` and the line */
    ANSWER_FOREIGN  /* of somebody who does not speak this protocol */
};

/* All borrowed from the answer. */
struct answer {
    struct herd_slice first_line;    /* without its end */
    struct herd_slice at[AT_FIELDS]; /* server, time_diff, client, location, time_sent */
    struct herd_slice rest;          /* behind the first line */
};

/* Whether `line`, without its LF, is `? ` and what was asked, as far as a line goes. */
bool answer_refuses(struct herd_slice line, struct herd_slice asked);

/* Takes apart what came back to `asked`, an IAMAT or a WHATSAT. */
enum answer_kind answer_read(struct herd_slice bytes, const struct herd_command *asked,
                             struct answer *out);

/* Whether more bytes might yet make an answer of them: not even a line is whole, and what there
 * is of it may be the beginning of one. */
bool answer_may_go_on(struct herd_slice bytes);

/* The first line of `bytes`, without LF, CR LF. */
struct herd_slice answer_first_line(struct herd_slice bytes);

/* On stderr, why `server` may have refused `asked`, whose words were right. */
void answer_explain_refusal(const char *server, const struct herd_command *asked);

#endif
