/* What servers say when they meet: HELLO and RESUME. And ENDED. */
#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

int herd_append_hello(struct herd_buf *out, struct herd_slice server, uint64_t epoch,
                      uint64_t sequence, int64_t max_skew_ns, const char *capabilities)
{
    int rc = herd_buf_printf(out, "HELLO %.*s %d %016llx %llu ", (int)server.len, server.data,
                             HERD_PROTOCOL_VERSION, (unsigned long long)epoch,
                             (unsigned long long)sequence);
    if (rc == 0 && max_skew_ns == 0)
        rc = herd_buf_append_text(out, "-");
    else if (rc == 0)
        rc = herd_buf_printf(out, "%lld", (long long)(max_skew_ns / HERD_NS_PER_S));
    if (rc < 0)
        return rc;
    return herd_buf_printf(out, "%s%s\n", capabilities[0] != '\0' ? " " : "", capabilities);
}

int herd_append_resume(struct herd_buf *out, uint64_t epoch, uint64_t sequence,
                       const uint64_t *of_life, uint64_t recovered_life)
{
    int rc = herd_buf_printf(out, "%s %016llx %llu", herd_verb_name(HERD_VERB_RESUME),
                             (unsigned long long)epoch, (unsigned long long)sequence);
    if (rc == 0 && of_life != NULL)
        rc = herd_buf_printf(out, " " HERD_WORD_OF "%016llx", (unsigned long long)*of_life);
    if (rc == 0 && recovered_life != 0)
        rc = herd_buf_printf(out, " " HERD_WORD_RECOVERED " " HERD_WORD_LIFE "%016llx",
                             (unsigned long long)recovered_life);
    return rc < 0 ? rc : herd_buf_append(out, "\n", 1);
}

int herd_append_ended(struct herd_buf *out, int64_t received_ns)
{
    char time[HERD_TIME_TEXT_MAX];
    size_t len = herd_time_format(received_ns, time);
    return herd_buf_printf(out, "%s %.*s\n", herd_verb_name(HERD_VERB_ENDED), (int)len, time);
}
