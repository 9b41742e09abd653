#include "durable/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <herd/err.h>

enum { FILE_MODE = 0600, PID_TEXT_MAX_BYTES = 24 };

/* Who has the folder writes its id after it has the lock, so there may be none yet. */
static int refuse(const char *folder, int fd, struct herd_buf *error)
{
    char text[PID_TEXT_MAX_BYTES] = "";
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    int digits = len > 0 ? (int)strspn(text, "0123456789") : 0;
    if (digits > 0)
        herd_buf_printf(error, "%s is in use by process %.*s: stop that one first", folder, digits,
                        text);
    else
        herd_buf_printf(error, "%s is in use by another process: stop that one first", folder);
    return HERD_EBUSY;
}

/* For people: without it the lock holds just as well, so a full disk does not matter here. */
static void write_pid(int fd)
{
    char text[PID_TEXT_MAX_BYTES];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)len, 0) < len)
        (void)!ftruncate(fd, 0);
}

static bool is_unwritable(int system_error)
{
    return system_error == ENOSPC || system_error == EDQUOT || system_error == EROFS ||
           system_error == EACCES;
}

const char lock_more_files[] =
    "raise this process' limit of open files (LimitNOFILE in a unit, ulimit -n elsewhere)";

/* At its limit of files, or where nobody can write, it does not matter whose the folder is. */
static void explain_open(const char *folder, const char *path, struct herd_buf *error)
{
    int reason = errno;
    herd_buf_printf(error, "%s cannot be opened: %s: ", path, strerror(reason));
    if (reason == EMFILE)
        herd_buf_append_text(error, lock_more_files);
    else if (reason == EROFS)
        herd_buf_printf(error, "the file system of %s is mounted read-only", folder);
    else
        herd_buf_printf(error, "the server's user has to own %s", folder);
}

static int take(const char *folder, const char *path, int *out_fd, struct herd_buf *error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (fd < 0) {
        int rc = is_unwritable(errno) ? HERD_EFULL : HERD_EIO;
        explain_open(folder, path, error);
        return rc;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        write_pid(fd);
        *out_fd = fd;
        return 0;
    }
    int rc = HERD_EIO;
    if (errno == EWOULDBLOCK)
        rc = refuse(folder, fd, error);
    else
        herd_buf_printf(error, "%s cannot be locked: %s: its file system has to have flock(2)",
                        path, strerror(errno));
    close(fd);
    return rc;
}

int lock_take(const char *folder, int *out_fd, struct herd_buf *error)
{
    struct herd_buf path = {0};
    int rc = herd_buf_printf(&path, "%s/lock", folder);
    if (rc == 0)
        rc = take(folder, path.data, out_fd, error);
    herd_buf_free(&path);
    return rc;
}

void lock_release(int fd)
{
    /* The file stays: were it removed, a process that has just opened it would lock a file that
     * nobody else finds. */
    (void)!ftruncate(fd, 0);
    close(fd);
}

bool lock_has_name(int fd, const char *path)
{
    struct stat own, named;
    return fstat(fd, &own) == 0 && lstat(path, &named) == 0 && own.st_ino == named.st_ino &&
           own.st_dev == named.st_dev;
}
