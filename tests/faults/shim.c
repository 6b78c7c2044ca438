/* A disk that fails when it is told to: preloaded (LD_PRELOAD) into a program, it counts the calls that change files
 * in one folder, and at the n-th kills the program or lets the call fail.
 *
 *   FAULT_FOLDER   the folder, absolute and without symbolic links; what lies elsewhere is left alone
 *   FAULT_PAGE     a file of 40 bytes, mapped into memory: five 64-bit numbers (see struct page)
 *
 * The page is shared with whoever wrote it: the test arms a fault in a program that runs, sees the count though the
 * program was killed, and ends the fault again.
 *
 * Descriptors are looked up in /proc at each call. That is slow, and needs no table: a descriptor may be duplicated,
 * closed, used again or as high as it likes. Everything shared between threads is atomic.
 *
 * Not seen: what is written through mmap or io_uring, and system calls made without the C library. The crate rustix
 * makes such; the tests turn on its feature "use-libc" (see Cargo.toml).
 */
#undef _FORTIFY_SOURCE
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum fault { NONE, KILL, TEAR, FAIL_ON, FAIL_ONCE };

struct page {
    _Atomic long count; /* calls so far */
    _Atomic long at;    /* the call that is hit; the first is 1 */
    _Atomic long fault; /* an enum fault: nothing; die before the call; die half-way through it; this call and all
                           later ones fail; this call alone fails */
    _Atomic long error; /* the errno of a call that fails */
    _Atomic long hits;  /* calls that were hit */
};

static struct page *page;
static const char *folder;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULT_PAGE");
    folder = getenv("FAULT_FOLDER");
    int fd = path && folder ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED)
        page = mapped;
}

/* The C library's own. Not remembered: looking it up again is simpler than sharing it among threads. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* What becomes of a call. */
enum verdict { GO, HALF_THEN_DIE, HALF, FAIL };

/* What a call does to the room on the disk: a full one still lets go of files. */
enum need { ROOM, NO_ROOM };

static _Noreturn void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Counts a call, and says what becomes of it. Does not return if the program is to die now. */
static enum verdict judge(enum need need)
{
    long count = atomic_fetch_add(&page->count, 1) + 1, at = page->at, fault = page->fault, error = page->error;
    bool hit = fault == FAIL_ON ? count >= at : count == at;
    if (fault == NONE || !hit || (error == ENOSPC && need == NO_ROOM))
        return GO;
    atomic_fetch_add(&page->hits, 1);
    if (fault == KILL)
        die();
    if (fault == TEAR)
        return HALF_THEN_DIE;
    /* The disk becomes full in the middle of a write, which says so by being short. */
    if (fault == FAIL_ON && error == ENOSPC && count == at)
        return HALF;
    errno = error;
    return FAIL;
}

/* The same for a call that cannot be done by halves. True: it fails. */
static bool fails(enum need need)
{
    switch (judge(need)) {
    case GO:
        return false;
    case HALF_THEN_DIE:
        die();
    case HALF:
        errno = page->error;
        return true;
    case FAIL:
        return true;
    }
    return false;
}

static bool lies_inside(const char *path)
{
    size_t len = strlen(folder);
    return !strncmp(path, folder, len) && (path[len] == '/' || !path[len]);
}

static bool fd_inside(int fd)
{
    char link[64], path[PATH_MAX];
    if (!page || fd == -1)
        return false;
    snprintf(link, sizeof link, fd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0)
        return false;
    path[len] = 0;
    return lies_inside(path);
}

/* A relative path counts as inside if what it is relative to is. */
static bool path_inside(int dir, const char *path)
{
    return page && path && (path[0] == '/' ? lies_inside(path) : fd_inside(dir));
}

/* Opening: counted if it may make a file or empty one. */

static bool open_fails(int dir, const char *path, int flags)
{
    bool changes = (flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE;
    return changes && path_inside(dir, path) && fails(flags & O_CREAT ? ROOM : NO_ROOM);
}

static mode_t mode_of(int flags, va_list rest)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...)                            \
    {                                                                     \
        va_list rest;                                                     \
        va_start(rest, flags);                                            \
        mode_t mode = mode_of(flags, rest);                               \
        va_end(rest);                                                     \
        return open_fails(AT_FDCWD, path, flags) ? -1 : REAL(name)(path, flags, mode); \
    }
#define OPENAT(name)                                                      \
    int name(int dir, const char *path, int flags, ...)                   \
    {                                                                     \
        va_list rest;                                                     \
        va_start(rest, flags);                                            \
        mode_t mode = mode_of(flags, rest);                               \
        va_end(rest);                                                     \
        return open_fails(dir, path, flags) ? -1 : REAL(name)(dir, path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int creat(const char *path, mode_t mode) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* Writing. WHOLE and PART are the same call for all the bytes, and for half of them. */
#define WRITE(fd, whole, part)                            \
    if (!fd_inside(fd))                                   \
        return whole;                                     \
    enum verdict verdict = judge(ROOM);                   \
    if (verdict == FAIL)                                  \
        return -1;                                        \
    if (verdict == GO)                                    \
        return whole;                                     \
    ssize_t written = part;                               \
    if (verdict == HALF_THEN_DIE)                         \
        die();                                            \
    if (written == 0) { /* Of one byte, half is none. */ \
        errno = page->error;                              \
        return -1;                                        \
    }                                                     \
    return written;

ssize_t write(int fd, const void *bytes, size_t len)
{
    WRITE(fd, REAL(write)(fd, bytes, len), REAL(write)(fd, bytes, len / 2))
}
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    WRITE(fd, REAL(pwrite)(fd, bytes, len, at), REAL(pwrite)(fd, bytes, len / 2, at))
}
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    WRITE(fd, REAL(pwrite64)(fd, bytes, len, at), REAL(pwrite64)(fd, bytes, len / 2, at))
}
/* Of several pieces, half is half of the first. */
ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    WRITE(fd, REAL(writev)(fd, pieces, count), REAL(write)(fd, pieces[0].iov_base, pieces[0].iov_len / 2))
}
ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at)
{
    WRITE(fd, REAL(pwritev)(fd, pieces, count, at),
          REAL(pwrite)(fd, pieces[0].iov_base, pieces[0].iov_len / 2, at))
}
ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t at)
{
    WRITE(fd, REAL(pwritev64)(fd, pieces, count, at),
          REAL(pwrite64)(fd, pieces[0].iov_base, pieces[0].iov_len / 2, at))
}
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t len, unsigned flags)
{
    WRITE(to, REAL(copy_file_range)(from, from_at, to, to_at, len, flags),
          REAL(copy_file_range)(from, from_at, to, to_at, len / 2, flags))
}
ssize_t sendfile(int to, int from, off_t *at, size_t len)
{
    WRITE(to, REAL(sendfile)(to, from, at, len), REAL(sendfile)(to, from, at, len / 2))
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t len)
{
    WRITE(to, REAL(sendfile64)(to, from, at, len), REAL(sendfile64)(to, from, at, len / 2))
}

/* What is done whole or not at all. sync_file_range promises nothing, so nothing hangs on it. */
#define ON_FD(name, need, parameters, ...)                                            \
    int name parameters { return fd_inside(fd) && fails(need) ? -1 : REAL(name)(__VA_ARGS__); }
#define ON_PATH(name, need, dir, parameters, ...)                                     \
    int name parameters { return path_inside(dir, path) && fails(need) ? -1 : REAL(name)(__VA_ARGS__); }

ON_FD(fsync, ROOM, (int fd), fd)
ON_FD(fdatasync, ROOM, (int fd), fd)
ON_FD(ftruncate, NO_ROOM, (int fd, off_t len), fd, len)
ON_FD(ftruncate64, NO_ROOM, (int fd, off64_t len), fd, len)
ON_FD(fallocate, ROOM, (int fd, int mode, off_t at, off_t len), fd, mode, at, len)
ON_FD(fallocate64, ROOM, (int fd, int mode, off64_t at, off64_t len), fd, mode, at, len)
/* This one returns its error. */
int posix_fallocate(int fd, off_t at, off_t len)
{
    return fd_inside(fd) && fails(ROOM) ? errno : REAL(posix_fallocate)(fd, at, len);
}
ON_PATH(unlink, NO_ROOM, AT_FDCWD, (const char *path), path)
ON_PATH(unlinkat, NO_ROOM, dir, (int dir, const char *path, int flags), dir, path, flags)
ON_PATH(rmdir, NO_ROOM, AT_FDCWD, (const char *path), path)
ON_PATH(mkdir, ROOM, AT_FDCWD, (const char *path, mode_t mode), path, mode)
ON_PATH(mkdirat, ROOM, dir, (int dir, const char *path, mode_t mode), dir, path, mode)
/* Two paths: the one that is made decides. */
ON_PATH(rename, ROOM, AT_FDCWD, (const char *old, const char *path), old, path)
ON_PATH(renameat, ROOM, dir, (int from, const char *old, int dir, const char *path), from, old, dir, path)
ON_PATH(renameat2, ROOM, dir, (int from, const char *old, int dir, const char *path, unsigned flags), from, old, dir,
        path, flags)
ON_PATH(link, ROOM, AT_FDCWD, (const char *old, const char *path), old, path)
ON_PATH(linkat, ROOM, dir, (int from, const char *old, int dir, const char *path, int flags), from, old, dir, path,
        flags)
