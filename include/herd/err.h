/* err.h: the results every function of herd may give: 0 or more is success, negative is one of
 * these. */
#ifndef HERD_ERR_H
#define HERD_ERR_H

/* One row an error: name, value, what a person reads. */
#define HERD_ERROR_TABLE(X)                                                                        \
    X(HERD_ENOMEM, -1, "out of memory")                                                            \
    X(HERD_EINVAL, -2, "invalid value")                                                            \
    X(HERD_ESYNTAX, -3, "not of the expected form")                                                \
    X(HERD_ERANGE, -4, "value out of range")                                                       \
    X(HERD_ETOOLONG, -5, "too long")                                                               \
    X(HERD_ENOTFOUND, -6, "not found")                                                             \
    X(HERD_EEXISTS, -7, "already there")                                                           \
    X(HERD_EBUSY, -8, "busy")                                                                      \
    X(HERD_EFULL, -9, "full")                                                                      \
    X(HERD_EIO, -10, "input/output error")                                                         \
    X(HERD_EPROTO, -11, "protocol error")                                                          \
    X(HERD_ETIMEDOUT, -12, "timed out")                                                            \
    X(HERD_ECANCELED, -13, "cancelled")                                                            \
    X(HERD_ECLOSED, -14, "closed")

enum herd_error {
#define HERD_ERROR_ENUM(name, value, text) name = (value),
    HERD_ERROR_TABLE(HERD_ERROR_ENUM)
#undef HERD_ERROR_ENUM
        HERD_OK = 0
};

/* What `error` means, in English, without a full stop; never NULL, static. */
const char *herd_strerror(int error);

#endif
