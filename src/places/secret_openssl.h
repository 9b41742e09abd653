/* secret_openssl.h: what OpenSSL decrypts may echo the key: its memory is secret.h's too. */
#ifndef PLACES_SECRET_OPENSSL_H
#define PLACES_SECRET_OPENSSL_H

#include <stdbool.h>

/* Before anything of OpenSSL's is used. False: it is not there, or has taken memory already. */
bool secret_openssl_begin(void);

#endif
