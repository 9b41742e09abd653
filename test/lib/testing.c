#include <arpa/inet.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "testing.h"

void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no \"%s\" in:\n%s", part, text);
}

char *testing_make_folder(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = testing_path(parent != NULL ? parent : "/tmp", "herd-test-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static int on_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

void testing_remove_folder(char *take_path)
{
    assert_int_equal(nftw(take_path, on_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(take_path);
}

char *testing_path(const char *folder, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

char *testing_read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        fail_msg("cannot open %s", path);
    struct herd_buf bytes = {0};
    size_t len;
    do {
        assert_int_equal(herd_buf_reserve(&bytes, BUFSIZ), 0);
        len = fread(bytes.data + bytes.len, 1, BUFSIZ, file);
        bytes.len += len;
    } while (len > 0);
    fclose(file);
    return testing_take_text(&bytes);
}

void testing_write_file(const char *path, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* Both have SO_REUSEADDR, as libuv's listeners have, and this one does not listen: then both may be
 * bound (socket(7)). */
int testing_reserve_port(uint16_t *out_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *out_port = ntohs(address.sin_port);
    return fd;
}

char *testing_take_text(struct herd_buf *buf)
{
    assert_int_equal(herd_buf_append(buf, "", 1), 0);
    char *text = buf->data;
    *buf = (struct herd_buf){0};
    return text;
}

int testing_setup_folder(void **state)
{
    *state = testing_make_folder();
    return 0;
}

int testing_teardown_folder(void **state)
{
    testing_remove_folder(*state);
    return 0;
}
