/*
 * bare-server PORT: the least that a libuv server can do with IAMAT lines, to divide by.
 *
 * It splits what it reads into lines and answers each `IAMAT <rest>` with
 * `AT Bare +0.000000000 <rest>`. It checks nothing, keeps nothing and reads no clock. One read and
 * one write per connection and turn of the loop; answers are built in one buffer for all
 * connections. `--wrong KIND` makes it answer wrongly, to see that herd-bench finds it.
 */
#include <assert.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

enum { INPUT_BYTES = 65536, LINE_MAX_BYTES = 4096, BACKLOG = 1024, WRONG_AFTER = 100 };

static const char verb[] = "IAMAT ", answer[] = "AT Bare +0.000000000 ";

enum { VERB_LEN = sizeof(verb) - 1, ANSWER_LEN = sizeof(answer) - 1 };

struct bare {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_signal_t signals[2];
    const char *wrong; /* NULL: right answers only */
    uint64_t answered;
    char input[LINE_MAX_BYTES + INPUT_BYTES]; /* half a line of before, then what was read */
    char output[(LINE_MAX_BYTES + INPUT_BYTES) / VERB_LEN * ANSWER_LEN];
};

struct caller {
    uv_tcp_t tcp; /* must be first */
    struct bare *bare;
    size_t kept;
    char half[LINE_MAX_BYTES];
};

struct rest {
    uv_write_t req;
    char bytes[];
};

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void close_caller(struct caller *caller)
{
    if (!uv_is_closing((uv_handle_t *)&caller->tcp))
        uv_close((uv_handle_t *)&caller->tcp, on_closed);
}

static void on_written(uv_write_t *req, int status)
{
    (void)status;
    free(req->data);
}

static void write_rest(struct caller *caller, const char *data, size_t len)
{
    struct rest *rest = malloc(sizeof(*rest) + len);
    assert(rest != NULL);
    rest->req.data = rest;
    memcpy(rest->bytes, data, len);
    uv_buf_t buf = uv_buf_init(rest->bytes, (unsigned)len);
    if (uv_write(&rest->req, (uv_stream_t *)&caller->tcp, &buf, 1, on_written) < 0)
        free(rest);
}

static void write_answers(struct caller *caller, size_t len)
{
    uv_buf_t buf = uv_buf_init(caller->bare->output, (unsigned)len);
    int sent = uv_try_write((uv_stream_t *)&caller->tcp, &buf, 1);
    if (sent < 0 && sent != UV_EAGAIN)
        close_caller(caller);
    else if (sent < (int)len)
        write_rest(caller, buf.base + (sent > 0 ? sent : 0), len - (size_t)(sent > 0 ? sent : 0));
}

/* ---- Planted faults -------------------------------------------------------------------------- */

static char *swap_last_two(char *begin, char *end)
{
    char *last = memrchr(begin, '\n', (size_t)(end - begin) - 1);
    char *one = last != NULL ? memrchr(begin, '\n', (size_t)(last - begin)) : NULL;
    char *first = one != NULL ? one + 1 : begin;
    char line[LINE_MAX_BYTES];
    size_t first_len = last != NULL ? (size_t)(last + 1 - first) : 0;
    size_t last_len = last != NULL ? (size_t)(end - last - 1) : 0;
    if (first_len == 0 || first_len > sizeof(line))
        return end;
    memcpy(line, first, first_len);
    memmove(first, last + 1, last_len);
    memcpy(first + last_len, line, first_len);
    return end;
}

/* Spoils the answers in [begin, end). Their new end. */
static char *spoil(const char *wrong, char *begin, char *end)
{
    if (strcmp(wrong, "order") == 0)
        return swap_last_two(begin, end);
    if (strcmp(wrong, "echo") == 0)
        end[-2] = end[-2] == '0' ? '1' : '0';
    else if (strcmp(wrong, "diff") == 0)
        begin[ANSWER_LEN - 2] = '1';
    else if (strcmp(wrong, "shape") == 0)
        begin[ANSWER_LEN - 2] = 'x';
    else if (strcmp(wrong, "name") == 0)
        begin[3] = 'b';
    else if (strcmp(wrong, "extra") == 0)
        end = (char *)memcpy(end, "AT\n", 3) + 3;
    return strcmp(wrong, "missing") == 0 ? begin : end;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

/* Answers the whole lines of [at, end); the bytes used. */
static size_t answer_lines(struct caller *caller, const char *at, const char *end)
{
    struct bare *bare = caller->bare;
    const char *begin = at, *lf;
    char *out = bare->output;
    while (at < end && (lf = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        size_t rest = (size_t)(lf + 1 - at);
        if (rest > VERB_LEN && memcmp(at, verb, VERB_LEN) == 0) {
            memcpy(out, answer, ANSWER_LEN);
            memcpy(out + ANSWER_LEN, at + VERB_LEN, rest - VERB_LEN);
            out += ANSWER_LEN + rest - VERB_LEN;
            bare->answered++;
        }
        at = lf + 1;
    }
    if (bare->wrong != NULL && bare->answered > WRONG_AFTER && out > bare->output)
        out = spoil(bare->wrong, bare->output, out);
    if (out > bare->output)
        write_answers(caller, (size_t)(out - bare->output));
    return (size_t)(at - begin);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct caller *caller = (struct caller *)handle;
    (void)suggested;
    *buf = uv_buf_init(caller->bare->input + LINE_MAX_BYTES, INPUT_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct caller *caller = (struct caller *)stream;
    if (len < 0) {
        close_caller(caller);
        return;
    }
    char *at = buf->base - caller->kept, *end = buf->base + len;
    memcpy(at, caller->half, caller->kept);
    at += answer_lines(caller, at, end);
    caller->kept = (size_t)(end - at);
    if (caller->kept <= sizeof(caller->half))
        memcpy(caller->half, at, caller->kept);
    else
        close_caller(caller);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct caller *caller = status == 0 ? calloc(1, sizeof(*caller)) : NULL;
    if (caller == NULL)
        return;
    caller->bare = listener->data;
    uv_tcp_init(listener->loop, &caller->tcp);
    if (uv_accept(listener, (uv_stream_t *)&caller->tcp) < 0 ||
        uv_tcp_nodelay(&caller->tcp, 1) < 0 ||
        uv_read_start((uv_stream_t *)&caller->tcp, on_alloc, on_read) < 0)
        close_caller(caller);
}

static void on_handle(uv_handle_t *handle, void *arg)
{
    struct bare *bare = arg;
    bool own = handle == (uv_handle_t *)&bare->listener ||
               handle == (uv_handle_t *)&bare->signals[0] ||
               handle == (uv_handle_t *)&bare->signals[1];
    if (!uv_is_closing(handle))
        uv_close(handle, own ? NULL : on_closed);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    uv_walk(handle->loop, on_handle, handle->data);
}

static int start(struct bare *bare, int port)
{
    struct sockaddr_in address;
    static const int stops[] = {SIGTERM, SIGINT};
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&bare->loop);
    for (size_t i = 0; i < 2; i++) {
        uv_signal_init(&bare->loop, &bare->signals[i]);
        bare->signals[i].data = bare;
        uv_signal_start(&bare->signals[i], on_signal, stops[i]);
    }
    uv_tcp_init(&bare->loop, &bare->listener);
    bare->listener.data = bare;
    uv_ip4_addr("127.0.0.1", port, &address);
    int rc = uv_tcp_bind(&bare->listener, (const struct sockaddr *)&address, 0);
    return rc < 0 ? rc : uv_listen((uv_stream_t *)&bare->listener, BACKLOG, on_connection);
}

int main(int argc, char **argv)
{
    bool wrong = argc == 4 && strcmp(argv[2], "--wrong") == 0;
    int port = argc >= 2 ? atoi(argv[1]) : 0;
    if (port < 1 || port > 65535 || (argc != 2 && !wrong)) {
        fputs("usage: bare-server PORT [--wrong diff|echo|extra|missing|name|order|shape]\n",
              stderr);
        return 2;
    }
    struct bare *bare = calloc(1, sizeof(*bare));
    if (bare == NULL)
        return 1;
    bare->wrong = wrong ? argv[3] : NULL;
    int rc = start(bare, port);
    if (rc < 0)
        fprintf(stderr, "bare-server: port %d: %s\n", port, uv_strerror(rc));
    else
        uv_run(&bare->loop, UV_RUN_DEFAULT);
    if (rc == 0)
        assert(uv_loop_close(&bare->loop) == 0);
    free(bare);
    return rc < 0 ? 1 : 0;
}
