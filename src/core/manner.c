/* What sort a neighbour is. The end of a connection is all that a plain one says of that. */
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/node.h"

enum {
    ONE_LINE_MIN_MS =
        1000, /* what a neighbour that takes one line a connection has for closing it */
    ONE_LINE_MAX_MS = 8000,
    BROKEN_MAX = 3, /* plain connections that broke off in a row: this is how it closes them */
    CLOSED_AT_ONCE_MAX = 2, /* plain connections closed in a row that are dialled again at once */
    HELLO_CLOSES_MAX = 6,   /* in a row, of one that has spoken; then it may have been replaced */
    IN_VAIN_MAX = 2,        /* connections that broke off after HELLO was said again */
};

bool link_has_word(struct herd_slice words, const char *wanted)
{
    struct herd_slice word;
    while (herd_next_word(&words, &word)) {
        if (herd_slice_equal(word, herd_slice_of(wanted)))
            return true;
    }
    return false;
}

static bool read_number(struct herd_slice text, unsigned base, uint64_t *out)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *digit = memchr(digits, text.data[i], base);
        if (digit == NULL || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, (uint64_t)(digit - digits), &value))
            return false;
    }
    *out = value;
    return text.len > 0;
}

bool link_word_number(struct herd_slice words, const char *name, unsigned base, uint64_t *out)
{
    struct herd_slice word;
    size_t len = strlen(name);
    while (herd_next_word(&words, &word)) {
        if (word.len > len && memcmp(word.data, name, len) == 0)
            return read_number(herd_slice(word.data + len, word.len - len), base, out);
    }
    return false;
}

void link_neighbour_speaks(struct link *link)
{
    link->conn.neighbour->speaks = true;
    link->conn.neighbour->has_spoken = true;
    link->doubtful = link->surely_plain = false;
    link->hello_closes = link->in_vain = 0;
    link->hello_again_ns = 0;
    link->one_line = false;
    link->began_anew = true;
}

void link_neighbour_is_plain(struct link *link)
{
    link->conn.neighbour->has_spoken = false;
    link->surely_plain = true;
    link->doubtful = false;
    link->hello_at_ns = INT64_MAX;
}

/* It takes one line a connection. Where it has closed only after more was sent, it needs longer. */
static void learn_one_line(struct link *link)
{
    if (link->one_line)
        return;
    link->one_line = true;
    link->one_line_ns *= 2;
    if (link->one_line_ns == 0)
        link->one_line_ns = ONE_LINE_MIN_MS * HERD_NS_PER_MS;
    if (link->one_line_ns > ONE_LINE_MAX_MS * HERD_NS_PER_MS)
        link->one_line_ns = ONE_LINE_MAX_MS * HERD_NS_PER_MS;
}

/*
 * What the end of a plain connection says of the neighbour; true: dial it at once. That it was sent
 * its one line and closed is its manner. Any other end may be its death, and however soon it can be
 * dialled again, it may have come back with nothing: it gets all records, its own words too.
 */
static bool learn_from_plain_close(struct link *link, bool closed, bool said_hello)
{
    link->broken = closed ? 0 : link->broken + 1;
    bool its_manner = closed || link->broken > BROKEN_MAX;
    if (its_manner && !said_hello && link->one_line && link->lines == 1) {
        link->attempts = 0;
        link->took_one = true;
        return true;
    }
    link->began_anew = true;
    if (link->lines > 0 || said_hello)
        learn_one_line(link);
    return closed && link->attempts++ < CLOSED_AT_ONCE_MAX;
}

/* A connection that breaks off says little, and one that has spoken may have met with mischance. But
 * one that closes when HELLO is said again is surely plain. */
static void learn_about_hello(struct link *link, bool closed)
{
    struct neighbour *neighbour = link->conn.neighbour;
    bool again = link->state == LINK_PLAIN && link->hello_again_ns > 0 && link->said_hello;
    link->in_vain += again;
    if ((again && (closed || link->in_vain >= IN_VAIN_MAX)) ||
        (closed && link->state == LINK_GREETING && !neighbour->has_spoken))
        link_neighbour_is_plain(link);
    else if (link->plain_next && !link->surely_plain)
        link->doubtful = !closed || neighbour->has_spoken;
}

bool link_learn_from_close(struct link *link)
{
    bool said_hello = !link->plain_next; /* at first */
    bool closed = link->conn.ended;
    bool closed_here = link->conn.aborted && !closed;
    bool closed_on_hello = link->state == LINK_GREETING && !closed_here;
    struct neighbour *neighbour = link->conn.neighbour;
    link->hello_closes += closed_on_hello;
    /* One that closes is another one where it could not be dialled a while ago. */
    if (link->hello_closes >= HELLO_CLOSES_MAX || (closed_on_hello && closed && !link->was_up))
        neighbour->speaks = false;
    /* One that has said HELLO itself did not close because it cannot answer one. */
    link->plain_next = neighbour->inbound == NULL && !neighbour->speaks &&
                       (closed_on_hello || link->state == LINK_PLAIN);
    learn_about_hello(link, closed);
    if (closed_here) {
        link->began_anew = true; /* this server closed it, and what it had read is lost */
        return false;
    }
    if (link->state == LINK_PLAIN)
        return learn_from_plain_close(link, closed, said_hello);
    return link->plain_next;
}
