#include <herd/err.h>

const char *herd_strerror(int error)
{
    switch (error) {
#define HERD_ERROR_TEXT(name, value, text)                                                         \
    case name:                                                                                     \
        return text;
        HERD_ERROR_TABLE(HERD_ERROR_TEXT)
#undef HERD_ERROR_TEXT
    default:
        return error >= 0 ? "success" : "unknown error";
    }
}
