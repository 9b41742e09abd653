#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "testing.h"

enum { FILES_MAX = 4, CHANGES_MAX = 1 << 16 };

/* A write, or a truncation. */
struct change {
    enum { WRITE, TRUNCATE } kind;
    int64_t at;
    size_t len;
    char *bytes;
};

/* What is certain of a file, and what is not, in order. */
struct platter {
    char path[512];
    char *bytes;
    size_t len;
    struct change changes[CHANGES_MAX];
    size_t change_count;
};

struct file {
    sqlite3_file base;
    struct platter *platter; /* NULL: its contents do not matter after a power loss */
    sqlite3_file *real;
};

static struct disk {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    sqlite3_io_methods methods;
    enum disk_failure failure;
    uint64_t calls, at;
    bool has_failed;
    struct platter platters[FILES_MAX];
} disk;

enum effect { LOOKS, CHANGES };

/* 0, or what this call has to fail with. `code` is what it would give for an input/output error. */
static int fails(enum effect effect, int code)
{
    if (disk.failure == DISK_WORKS)
        return 0;
    if (disk.failure != DISK_FAILS_ONCE && effect == LOOKS && !disk.has_failed)
        return 0;
    disk.calls++;
    if (disk.calls < disk.at)
        return 0;
    if (disk.failure == DISK_FAILS_ONCE && disk.calls > disk.at)
        return 0;
    if (disk.failure == DISK_IS_FULL && effect == LOOKS)
        return 0;
    disk.has_failed = true;
    errno = disk.failure == DISK_IS_FULL ? ENOSPC : EIO;
    return disk.failure == DISK_IS_FULL ? SQLITE_FULL : code;
}

/* What is on the platter */

static void set_bytes(struct platter *platter, size_t at, const char *bytes, size_t len)
{
    if (at + len > platter->len) {
        platter->bytes = realloc(platter->bytes, at + len);
        assert_non_null(platter->bytes);
        memset(platter->bytes + platter->len, 0, at + len - platter->len);
        platter->len = at + len;
    }
    memcpy(platter->bytes + at, bytes, len);
}

static void apply(struct platter *platter, const struct change *change)
{
    if (change->kind == WRITE)
        set_bytes(platter, (size_t)change->at, change->bytes, change->len);
    else if ((size_t)change->at < platter->len)
        platter->len = (size_t)change->at;
}

static void add_change(struct platter *platter, struct change change, const void *bytes)
{
    if (platter == NULL)
        return;
    assert_true(platter->change_count < CHANGES_MAX);
    if (change.len > 0) {
        change.bytes = malloc(change.len);
        assert_non_null(change.bytes);
        memcpy(change.bytes, bytes, change.len);
    }
    platter->changes[platter->change_count++] = change;
}

/* Makes what is not certain certain: each change with a chance of `share` of 256, and one write in
 * eight just by half. */
static void settle(struct platter *platter, uint64_t *random, unsigned share)
{
    for (size_t i = 0; i < platter->change_count; i++) {
        struct change *change = &platter->changes[i];
        *random = *random * 6364136223846793005 + 1442695040888963407;
        if (share < 256 && *random >> 61 == 0)
            change->len /= 2;
        if ((*random >> 33) % 256 < share)
            apply(platter, change);
        free(change->bytes);
    }
    platter->change_count = 0;
}

static void settle_all(struct platter *platter)
{
    uint64_t random = 0;
    settle(platter, &random, 256);
}

static void forget(struct platter *platter)
{
    settle_all(platter);
    free(platter->bytes);
    platter->bytes = NULL;
    platter->len = 0;
    platter->path[0] = '\0';
}

static void load(struct platter *platter, sqlite3_file *real)
{
    sqlite3_int64 size = 0;
    if (real->pMethods->xFileSize(real, &size) != SQLITE_OK || size == 0)
        return;
    platter->bytes = malloc((size_t)size);
    assert_non_null(platter->bytes);
    platter->len = (size_t)size;
    assert_int_equal(real->pMethods->xRead(real, platter->bytes, (int)size, 0), SQLITE_OK);
}

static struct platter *find_platter(const char *path, sqlite3_file *real)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (strcmp(disk.platters[i].path, path) == 0)
            return &disk.platters[i];
    }
    for (size_t i = 0; i < FILES_MAX; i++) {
        struct platter *platter = &disk.platters[i];
        if (platter->path[0] == '\0') {
            assert_true(strlen(path) < sizeof platter->path);
            strcpy(platter->path, path);
            load(platter, real);
            return platter;
        }
    }
    fail_msg("no platter left for %s", path);
    return NULL;
}

void disk_lose_power(const char *folder, const char *to, uint64_t seed)
{
    uint64_t random = seed;
    unsigned share = (unsigned)(seed * 37 % 257);
    for (size_t i = 0; i < FILES_MAX; i++) {
        struct platter *platter = &disk.platters[i];
        if (strncmp(platter->path, folder, strlen(folder)) != 0 || platter->path[0] == '\0')
            continue;
        settle(platter, &random, share);
        char *path = testing_path(to, platter->path + strlen(folder) + 1);
        testing_write_file(path, platter->bytes != NULL ? platter->bytes : "", platter->len);
        free(path);
    }
}

/* Of the witness, by --wrap: as with on_sync, the real disk need not be waited for. */
int __wrap_fdatasync(int fd);

int __wrap_fdatasync(int fd)
{
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

/* SQLite's calls */

static struct file *file_of(sqlite3_file *base)
{
    return (struct file *)base;
}

static int on_close(sqlite3_file *base)
{
    struct file *file = file_of(base);
    return file->real->pMethods->xClose(file->real);
}

static int on_read(sqlite3_file *base, void *out, int len, sqlite3_int64 at)
{
    sqlite3_file *real = file_of(base)->real;
    int rc = fails(LOOKS, SQLITE_IOERR_READ);
    return rc != 0 ? rc : real->pMethods->xRead(real, out, len, at);
}

static int on_write(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 at)
{
    struct file *file = file_of(base);
    int rc = fails(CHANGES, SQLITE_IOERR_WRITE);
    if (rc == 0)
        rc = file->real->pMethods->xWrite(file->real, bytes, len, at);
    if (rc == 0)
        add_change(file->platter, (struct change){WRITE, at, (size_t)len, NULL}, bytes);
    return rc;
}

static int on_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct file *file = file_of(base);
    int rc = fails(CHANGES, SQLITE_IOERR_TRUNCATE);
    if (rc == 0)
        rc = file->real->pMethods->xTruncate(file->real, size);
    if (rc == 0)
        add_change(file->platter, (struct change){TRUNCATE, size, 0, NULL}, NULL);
    return rc;
}

static int on_sync(sqlite3_file *base, int flags)
{
    struct file *file = file_of(base);
    int rc = fails(CHANGES, SQLITE_IOERR_FSYNC);
    (void)flags; /* the real disk need not be waited for: the platter is what counts */
    if (rc == 0 && file->platter != NULL)
        settle_all(file->platter);
    return rc;
}

static int on_file_size(sqlite3_file *base, sqlite3_int64 *out)
{
    sqlite3_file *real = file_of(base)->real;
    int rc = fails(LOOKS, SQLITE_IOERR_FSTAT);
    return rc != 0 ? rc : real->pMethods->xFileSize(real, out);
}

static int on_lock(sqlite3_file *base, int level)
{
    sqlite3_file *real = file_of(base)->real;
    int rc = fails(LOOKS, SQLITE_IOERR_LOCK);
    return rc != 0 ? rc : real->pMethods->xLock(real, level);
}

static int on_unlock(sqlite3_file *base, int level)
{
    sqlite3_file *real = file_of(base)->real;
    return real->pMethods->xUnlock(real, level);
}

static int on_check_lock(sqlite3_file *base, int *out)
{
    sqlite3_file *real = file_of(base)->real;
    return real->pMethods->xCheckReservedLock(real, out);
}

static int on_control(sqlite3_file *base, int op, void *arg)
{
    sqlite3_file *real = file_of(base)->real;
    return real->pMethods->xFileControl(real, op, arg);
}

static int on_sector_size(sqlite3_file *base)
{
    sqlite3_file *real = file_of(base)->real;
    return real->pMethods->xSectorSize(real);
}

static int on_characteristics(sqlite3_file *base)
{
    sqlite3_file *real = file_of(base)->real;
    return real->pMethods->xDeviceCharacteristics(real);
}

static int on_shm_map(sqlite3_file *base, int page, int page_size, int extend, void volatile **out)
{
    sqlite3_file *real = file_of(base)->real;
    int rc = fails(LOOKS, SQLITE_IOERR_SHMMAP);
    return rc != 0 ? rc : real->pMethods->xShmMap(real, page, page_size, extend, out);
}

static int on_shm_lock(sqlite3_file *base, int offset, int count, int flags)
{
    sqlite3_file *real = file_of(base)->real;
    int rc = (flags & SQLITE_SHM_LOCK) != 0 ? fails(LOOKS, SQLITE_IOERR_SHMLOCK) : 0;
    return rc != 0 ? rc : real->pMethods->xShmLock(real, offset, count, flags);
}

static void on_shm_barrier(sqlite3_file *base)
{
    sqlite3_file *real = file_of(base)->real;
    real->pMethods->xShmBarrier(real);
}

static int on_shm_unmap(sqlite3_file *base, int is_removed)
{
    sqlite3_file *real = file_of(base)->real;
    return real->pMethods->xShmUnmap(real, is_removed);
}

static int on_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                   int *out_flags)
{
    struct file *file = file_of(base);
    (void)vfs;
    file->base.pMethods = NULL;
    file->platter = NULL;
    file->real = (sqlite3_file *)(file + 1);
    int rc = fails(LOOKS, SQLITE_CANTOPEN);
    if (rc == 0)
        rc = disk.real->xOpen(disk.real, path, file->real, flags, out_flags);
    if (rc != SQLITE_OK)
        return rc;
    file->base.pMethods = &disk.methods;
    if (path != NULL && disk.failure == DISK_DIES)
        file->platter = find_platter(path, file->real);
    return SQLITE_OK;
}

/* Its removal is certain: SQLite does not rely on it either way. */
static int on_delete(sqlite3_vfs *vfs, const char *path, int is_synced)
{
    (void)vfs;
    int rc = fails(CHANGES, SQLITE_IOERR_DELETE);
    if (rc == 0)
        rc = disk.real->xDelete(disk.real, path, is_synced);
    for (size_t i = 0; i < FILES_MAX && rc == 0; i++) {
        if (strcmp(disk.platters[i].path, path) == 0)
            forget(&disk.platters[i]);
    }
    return rc;
}

static int on_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
    (void)vfs;
    int rc = fails(LOOKS, SQLITE_IOERR_ACCESS);
    return rc != 0 ? rc : disk.real->xAccess(disk.real, path, flags, out);
}

void disk_install(void)
{
    disk.real = sqlite3_vfs_find(NULL);
    disk.vfs = *disk.real;
    disk.vfs.zName = "disk";
    disk.vfs.szOsFile = (int)sizeof(struct file) + disk.real->szOsFile;
    disk.vfs.xOpen = on_open;
    disk.vfs.xDelete = on_delete;
    disk.vfs.xAccess = on_access;
    disk.methods = (sqlite3_io_methods){
        .iVersion = 2,
        .xClose = on_close,
        .xRead = on_read,
        .xWrite = on_write,
        .xTruncate = on_truncate,
        .xSync = on_sync,
        .xFileSize = on_file_size,
        .xLock = on_lock,
        .xUnlock = on_unlock,
        .xCheckReservedLock = on_check_lock,
        .xFileControl = on_control,
        .xSectorSize = on_sector_size,
        .xDeviceCharacteristics = on_characteristics,
        .xShmMap = on_shm_map,
        .xShmLock = on_shm_lock,
        .xShmBarrier = on_shm_barrier,
        .xShmUnmap = on_shm_unmap,
    };
    assert_int_equal(sqlite3_vfs_register(&disk.vfs, 1), SQLITE_OK);
}

void disk_arm(enum disk_failure failure, uint64_t at)
{
    disk.failure = failure;
    disk.calls = 0;
    disk.at = at;
    disk.has_failed = false;
    for (size_t i = 0; i < FILES_MAX; i++)
        forget(&disk.platters[i]);
}

void disk_mend(void)
{
    disk_arm(DISK_WORKS, 0);
}

bool disk_has_failed(void)
{
    return disk.has_failed;
}
