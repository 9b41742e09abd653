/* fuzz.h: what the fuzz targets share: an input that is read piece by piece, and an end of the
 * program when a rule is broken. */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include <herd/buf.h>

/* The target itself, as libFuzzer calls it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes of the input that have not been used yet. */
struct fuzz_input {
    const uint8_t *at, *end;
};

/* The next byte or two; 0 when there are none. */
static inline unsigned fuzz_byte(struct fuzz_input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static inline unsigned fuzz_short(struct fuzz_input *input)
{
    unsigned high = fuzz_byte(input);
    return high << 8 | fuzz_byte(input);
}

/* The next bytes, as many as there are up to `len`. */
static inline struct herd_slice fuzz_bytes(struct fuzz_input *input, size_t len)
{
    size_t left = (size_t)(input->end - input->at);
    struct herd_slice bytes = herd_slice((const char *)input->at, len < left ? len : left);
    input->at += bytes.len;
    return bytes;
}

/* Ends the program, showing both, unless they are equal. */
void fuzz_expect(const char *what, struct herd_slice got, struct herd_slice expected);
/* Ends the program unless the condition holds. */
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_fail(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_fail(const char *what, const char *file, int line);

#endif
