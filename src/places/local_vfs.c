/* Methods of version 1: no shared memory, so no WAL; no mmap, as a file that is cut short would be
 * a SIGBUS, not an error. */
#include "places/local_vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

/* SQLite's lock bytes (https://www.sqlite.org/src/doc/trunk/src/os.h), which stand in no page. */
enum {
    PENDING_BYTE = 0x40000000,
    RESERVED_BYTE = PENDING_BYTE + 1,
    SHARED_FIRST = PENDING_BYTE + 2,
    SHARED_SIZE = 510
};

enum { SECTOR_BYTES = 4096, DAY_S = 24 * 60 * 60, US_PER_S = 1000000, NS_PER_S = 1000000000 };

static const double epoch_julian_day = 2440587.5;

struct file {
    sqlite3_file base;
    int fd;
    bool is_locked;
};

/* ---- Files ---------------------------------------------------------------------------------- */

static int close_file(sqlite3_file *base)
{
    close(((struct file *)base)->fd);
    return SQLITE_OK;
}

static int read_file(sqlite3_file *base, void *out, int len, sqlite3_int64 at)
{
    const struct file *file = (struct file *)base;
    char *next = out;
    size_t left = (size_t)len;
    while (left > 0) {
        ssize_t got = pread(file->fd, next, left, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return SQLITE_IOERR_READ;
        if (got == 0) {
            memset(next, 0, left); /* SQLite relies on it */
            return SQLITE_IOERR_SHORT_READ;
        }
        next += got;
        left -= (size_t)got;
        at += got;
    }
    return SQLITE_OK;
}

static int write_nothing(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 at)
{
    (void)base, (void)bytes, (void)len, (void)at;
    return SQLITE_READONLY;
}

static int truncate_nothing(sqlite3_file *base, sqlite3_int64 size)
{
    (void)base, (void)size;
    return SQLITE_READONLY;
}

static int sync_nothing(sqlite3_file *base, int flags)
{
    (void)base, (void)flags;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *out)
{
    struct stat status;
    if (fstat(((struct file *)base)->fd, &status) < 0)
        return SQLITE_IOERR_FSTAT;
    *out = status.st_size;
    return SQLITE_OK;
}

/* Of the open file, not of the process: they need no count of who else in it has the file open, and
 * no mutex for that; and to close another descriptor of it does not end them. */
static int set_lock(const struct file *file, short type, off_t from, off_t len)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = from, .l_len = len};
    if (fcntl(file->fd, F_OFD_SETLK, &lock) == 0)
        return SQLITE_OK;
    bool may_pass = errno == EAGAIN || errno == EACCES || errno == EINTR || errno == ENOLCK ||
                    errno == ETIMEDOUT;
    return may_pass ? SQLITE_BUSY : SQLITE_IOERR_RDLOCK;
}

/* Whoever waits for the readers to leave holds the pending byte: no new one comes. */
static int lock_file(sqlite3_file *base, int level)
{
    struct file *file = (struct file *)base;
    if (level > SQLITE_LOCK_SHARED)
        return SQLITE_READONLY;
    if (level < SQLITE_LOCK_SHARED || file->is_locked)
        return SQLITE_OK;
    int rc = set_lock(file, F_RDLCK, PENDING_BYTE, 1);
    if (rc != SQLITE_OK)
        return rc;
    rc = set_lock(file, F_RDLCK, SHARED_FIRST, SHARED_SIZE);
    int rc_pending = set_lock(file, F_UNLCK, PENDING_BYTE, 1);
    file->is_locked = rc == SQLITE_OK;
    return rc != SQLITE_OK ? rc : rc_pending;
}

static int unlock_file(sqlite3_file *base, int level)
{
    struct file *file = (struct file *)base;
    if (level > SQLITE_LOCK_NONE || !file->is_locked)
        return SQLITE_OK;
    file->is_locked = false;
    return set_lock(file, F_UNLCK, PENDING_BYTE, SHARED_FIRST + SHARED_SIZE - PENDING_BYTE);
}

/* Whether somebody is writing: a journal beside the file is then no remains of a crash. */
static int check_reserved(sqlite3_file *base, int *out)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = RESERVED_BYTE, .l_len = 1};
    if (fcntl(((struct file *)base)->fd, F_OFD_GETLK, &lock) < 0)
        return SQLITE_IOERR_CHECKRESERVEDLOCK;
    *out = lock.l_type != F_UNLCK;
    return SQLITE_OK;
}

static int control(sqlite3_file *base, int what, void *arg)
{
    (void)base, (void)what, (void)arg;
    return SQLITE_NOTFOUND;
}

static int sector_size(sqlite3_file *base)
{
    (void)base;
    return SECTOR_BYTES;
}

static int characteristics(sqlite3_file *base)
{
    (void)base;
    return 0;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_nothing,
    .xTruncate = truncate_nothing,
    .xSync = sync_nothing,
    .xFileSize = file_size,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_reserved,
    .xFileControl = control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
};

/* ---- The file system ------------------------------------------------------------------------ */

/* A file without a name would be one to sort in, which no question of ours needs. */
static int open_file(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                     int *out_flags)
{
    struct file *file = (struct file *)base;
    (void)vfs;
    *file = (struct file){.fd = -1};
    if (path == NULL || (flags & SQLITE_OPEN_READONLY) == 0)
        return SQLITE_CANTOPEN;
    do /* nobody may ever write into a pipe */
        file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0)
        return SQLITE_CANTOPEN;
    file->base.pMethods = &methods; /* from here on SQLite closes it */
    if (out_flags != NULL)
        *out_flags = flags;
    return SQLITE_OK;
}

static int delete_nothing(sqlite3_vfs *vfs, const char *path, int is_synced)
{
    (void)vfs, (void)path, (void)is_synced;
    return SQLITE_READONLY;
}

/* SQLite asks whether a journal or a log is there: an empty one counts as none. */
static int access_file(sqlite3_vfs *vfs, const char *path, int how, int *out)
{
    struct stat status;
    (void)vfs;
    *out = stat(path, &status) == 0 && how == SQLITE_ACCESS_EXISTS &&
           (!S_ISREG(status.st_mode) || status.st_size > 0);
    return SQLITE_OK;
}

/* Without symbolic links: a journal lies beside the file itself. What is not there is said by the
 * call that opens it. */
static int full_path(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
    char *real = realpath(path, NULL);
    const char *found = real != NULL ? real : path;
    size_t len = strlen(found);
    (void)vfs;
    if (len < (size_t)size)
        memcpy(out, found, len + 1);
    free(real);
    return len < (size_t)size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int last_error(sqlite3_vfs *vfs, int size, char *out)
{
    (void)vfs, (void)size, (void)out;
    return errno;
}

static int randomness(sqlite3_vfs *vfs, int len, char *out)
{
    (void)vfs;
    return (int)getrandom(out, (size_t)len, 0);
}

/* Between two tries of a lock. */
static int sleep_a_while(sqlite3_vfs *vfs, int us)
{
    const struct timespec time = {us / US_PER_S, us % US_PER_S * (NS_PER_S / US_PER_S)};
    (void)vfs;
    nanosleep(&time, NULL);
    return us;
}

/* A Julian day. */
static int current_time(sqlite3_vfs *vfs, double *out)
{
    struct timespec now;
    (void)vfs;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = epoch_julian_day + ((double)now.tv_sec + (double)now.tv_nsec / NS_PER_S) / DAY_S;
    return SQLITE_OK;
}

const char *local_vfs(void)
{
    /* Constant but for SQLite's own link to the next VFS, which it guards. */
    static sqlite3_vfs vfs = {
        .iVersion = 1,
        .szOsFile = sizeof(struct file),
        .mxPathname = PATH_MAX,
        .zName = "herd-places",
        .xOpen = open_file,
        .xDelete = delete_nothing,
        .xAccess = access_file,
        .xFullPathname = full_path,
        .xRandomness = randomness,
        .xSleep = sleep_a_while,
        .xCurrentTime = current_time,
        .xGetLastError = last_error,
    };
    return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? vfs.zName : NULL;
}
