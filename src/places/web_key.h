/* web_key.h: the provider's API key: where it is read from, and that it gets out nowhere. */
#ifndef PLACES_WEB_KEY_H
#define PLACES_WEB_KEY_H

#include <stddef.h>

#include <herd/buf.h>

enum {
    WEB_KEY_MAX = 256,            /* bytes of a key; Google's have 39 */
    WEB_KEY_FILE_MAX_BYTES = 1024 /* of its file, with white space around the key */
};

/* Printable ASCII without spaces, terminated. The only copy: pass it by pointer. */
struct web_key {
    size_t len;
    char text[WEB_KEY_MAX + 1];
};

/*
 * Reads the key from the file `path`, or, when that is "", from `places.key` in `credentials_dir`
 * ($CREDENTIALS_DIRECTORY of systemd; NULL = none). It has to be a regular file that only its owner
 * may read; below credentials_dir its group may too, which is how systemd's access list for the
 * service's user shows in the mode. 0, or with a sentence appended to `error`: HERD_ENOTFOUND (no
 * key is set), HERD_EINVAL (not a key), HERD_EIO; `out` is then wiped.
 */
int web_key_read(const char *path, const char *credentials_dir, struct web_key *out,
                 struct herd_buf *error);

/* Overwrites each occurrence of the key in `text` with stars: a provider's message may echo it. */
void web_key_hide(const struct web_key *key, char *text);

void web_key_wipe(struct web_key *key);

#endif
