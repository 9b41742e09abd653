/* thread_pool.h: libuv's threads, made at the start rather than at their first use. */
#ifndef SERVER_THREAD_POOL_H
#define SERVER_THREAD_POOL_H

#include <herd/buf.h>

/*
 * Makes libuv's threads. Where one of them cannot be had libuv aborts, and its first use may be as
 * late as the stop, with answers given whose records are not on disk yet. So as many threads are
 * tried first. 0, HERD_ENOMEM, or HERD_EIO with a sentence in `error`.
 */
int thread_pool_make(struct herd_buf *error);

#endif
