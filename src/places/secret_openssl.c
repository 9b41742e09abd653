/*
 * Records are decrypted into a buffer of OpenSSL's own, which is freed as it is. Nothing here is
 * linked with OpenSSL, libcurl is: so its function is looked up, as in secret_http2.c.
 */
#include "places/secret_openssl.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "places/secret.h"

typedef void *malloc_fn(size_t size, const char *file, int line);
typedef void *realloc_fn(void *block, size_t size, const char *file, int line);
typedef void free_fn(void *block, const char *file, int line);
typedef int set_fn(malloc_fn *on_malloc, realloc_fn *on_realloc, free_fn *on_free);

static void *on_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return secret_malloc(size);
}

static void on_free(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    secret_free(block);
}

static void *on_realloc(void *block, size_t size, const char *file, int line)
{
    if (size > 0)
        return secret_realloc(block, size);
    on_free(block, file, line);
    return NULL;
}

bool secret_openssl_begin(void)
{
    void *found = dlsym(RTLD_DEFAULT, "CRYPTO_set_mem_functions");
    set_fn *set = NULL;
    memcpy(&set, &found, sizeof set);
    return set != NULL && set(on_malloc, on_realloc, on_free) == 1;
}
