#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <herd/err.h>

#include "places/web_key.h"

static const char white_space[] = " \t\r\n\v\f";

static bool is_below(const char *path, const char *dir)
{
    size_t len = dir != NULL ? strlen(dir) : 0;
    return len > 0 && strncmp(path, dir, len) == 0 && path[len] == '/';
}

/* 0, or a negative HERD_E… with what is wrong with the file. */
static int check_file(int fd, const char *path, bool is_credential, struct herd_buf *error)
{
    struct stat stat;
    if (fstat(fd, &stat) < 0) {
        herd_buf_printf(error, "key_file %s: %s", path, strerror(errno));
        return HERD_EIO;
    }
    if (!S_ISREG(stat.st_mode)) {
        herd_buf_printf(error, "key_file %s: not a regular file", path);
        return HERD_EINVAL;
    }
    mode_t forbidden = is_credential ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    if (stat.st_mode & forbidden) {
        herd_buf_printf(error,
                        "key_file %s: its mode %04o lets others at the key; only its owner may "
                        "read it: chmod 600 %s",
                        path, (unsigned)(stat.st_mode & 07777), path);
        return HERD_EINVAL;
    }
    return 0;
}

/* Bytes read, at most `size`, or -1 with errno. */
static ssize_t read_up_to(int fd, char *data, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t got = read(fd, data + len, size - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        len += (size_t)got;
    }
    return (ssize_t)len;
}

static struct herd_slice trim(struct herd_slice text)
{
    while (text.len > 0 && memchr(white_space, text.data[0], sizeof white_space - 1) != NULL)
        text = herd_slice(text.data + 1, text.len - 1);
    while (text.len > 0 &&
           memchr(white_space, text.data[text.len - 1], sizeof white_space - 1) != NULL)
        text.len--;
    return text;
}

/* What keeps `text` from being a key, or NULL. */
static const char *why_no_key(struct herd_slice text)
{
    if (text.len == 0)
        return "it is empty; it should hold the key and nothing else";
    if (text.len > WEB_KEY_MAX)
        return "too long; it should hold the key and nothing else";
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return "a key has only printable ASCII characters and no space; it should hold the "
                   "key and nothing else";
    }
    return NULL;
}

static int take_key(int fd, const char *path, struct web_key *out, struct herd_buf *error)
{
    char data[WEB_KEY_FILE_MAX_BYTES + 1];
    ssize_t len = read_up_to(fd, data, sizeof data);
    int rc = 0;
    if (len < 0) {
        herd_buf_printf(error, "key_file %s: %s", path, strerror(errno));
        rc = HERD_EIO;
    } else {
        struct herd_slice text = trim(herd_slice(data, (size_t)len));
        const char *why = len == sizeof data ? "too large; it should hold the key and nothing else"
                                             : why_no_key(text);
        if (why != NULL) {
            herd_buf_printf(error, "key_file %s: %s", path, why);
            rc = HERD_EINVAL;
        } else {
            memcpy(out->text, text.data, text.len);
            out->len = text.len;
        }
    }
    explicit_bzero(data, sizeof data);
    return rc;
}

static int no_key(struct herd_buf *error)
{
    herd_buf_append_text(error, "no API key: set places { key_file = \"…\" } to a file that holds "
                                "it (mode 0600), or give the service a systemd credential "
                                "`places.key`");
    return HERD_ENOTFOUND;
}

static int read_file(const char *path, bool is_credential, struct web_key *out,
                     struct herd_buf *error)
{
    /* O_NONBLOCK: a FIFO put there must not hold up the start; it is refused below. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        herd_buf_printf(error, "key_file %s: %s", path, strerror(errno));
        return HERD_EIO;
    }
    int rc = check_file(fd, path, is_credential, error);
    if (rc == 0)
        rc = take_key(fd, path, out, error);
    close(fd);
    return rc;
}

int web_key_read(const char *path, const char *credentials_dir, struct web_key *out,
                 struct herd_buf *error)
{
    web_key_wipe(out);
    if (path[0] != '\0')
        return read_file(path, is_below(path, credentials_dir), out, error);
    if (credentials_dir == NULL || credentials_dir[0] == '\0')
        return no_key(error);
    struct herd_buf credential = {0};
    int rc = herd_buf_printf(&credential, "%s/places.key", credentials_dir);
    if (rc == 0 && access(credential.data, F_OK) < 0 && errno == ENOENT)
        rc = no_key(error);
    if (rc == 0)
        rc = read_file(credential.data, true, out, error);
    herd_buf_free(&credential);
    return rc;
}

void web_key_hide(const struct web_key *key, char *text)
{
    if (key->len == 0)
        return;
    for (char *echo = text; (echo = strstr(echo, key->text)) != NULL; echo += key->len)
        memset(echo, '*', key->len);
}

void web_key_wipe(struct web_key *key)
{
    explicit_bzero(key, sizeof *key);
}
