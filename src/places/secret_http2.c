/*
 * libcurl gives nghttp2 its sessions without an allocator, so nghttp2 keeps headers (the key is
 * one) in plain memory. libcurl calls nghttp2_session_client_new2; this file has a function of that
 * name, which the dynamic linker finds first because it is the program's, and which makes the same
 * session with the allocator of secret.h. Where that is not so (libcurl linked in, or one that
 * calls another function) secret_http2_works says no, and there is no HTTP/2.
 */
#include "places/secret_http2.h"

#ifdef HERD_HAVE_NGHTTP2

#include <dlfcn.h>
#include <stdint.h>

#include <nghttp2/nghttp2.h>

#include "places/secret.h"

static void *on_malloc(size_t size, void *arg)
{
    (void)arg;
    return secret_malloc(size);
}

static void on_free(void *block, void *arg)
{
    (void)arg;
    secret_free(block);
}

static void *on_calloc(size_t count, size_t size, void *arg)
{
    (void)arg;
    return secret_calloc(count, size);
}

static void *on_realloc(void *block, size_t size, void *arg)
{
    (void)arg;
    return secret_realloc(block, size);
}

int nghttp2_session_client_new2(nghttp2_session **session_ptr,
                                const nghttp2_session_callbacks *callbacks, void *user_data,
                                const nghttp2_option *option)
{
    nghttp2_mem mem = {NULL, on_malloc, on_free, on_calloc, on_realloc};
    return nghttp2_session_client_new3(session_ptr, callbacks, user_data, option, &mem);
}

/* The linker's answer is the one libcurl's calls get, too. */
bool secret_http2_works(void)
{
    void *found = dlsym(RTLD_DEFAULT, "nghttp2_session_client_new2");
    return found != NULL && (uintptr_t)found == (uintptr_t)nghttp2_session_client_new2;
}

#else

bool secret_http2_works(void)
{
    return false;
}

#endif
