#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

_Noreturn void fuzz_fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

static void show(const char *what, struct herd_slice bytes)
{
    fprintf(stderr, "%s, %zu bytes:\n", what, bytes.len);
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        if (c == '\n' || (c >= ' ' && c < 0x7f))
            fputc(c, stderr);
        else
            fprintf(stderr, "\\x%02x", c);
    }
    fputc('\n', stderr);
}

void fuzz_expect(const char *what, struct herd_slice got, struct herd_slice expected)
{
    if (herd_slice_equal(got, expected))
        return;
    show("got", got);
    show("expected", expected);
    fprintf(stderr, "%s differs\n", what);
    abort();
}
