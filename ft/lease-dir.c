/*
 * A lease in a directory, by link(2).
 *
 * Purpose: the compare-and-set of lease.h on any file system with hard
 *   links: a local one for two QEMUs on a host, or NFS.
 * Thread: as lease.h: calls block, one at a time per handle.
 *
 * The record is the file "record.N" with the highest number N; N goes up by
 * one with every step, whatever the generation does.  A step writes and
 * syncs "claim.NONCE" and links it to "record.N+1": link(2) refuses a name
 * that exists, so one claimer wins.  A record is complete when it gets its
 * name, and is never written to again.
 *
 * Old records are removed, which would let a claimer that slept since
 * record.N was the newest link a removed record.N+1 once more.  So:
 *  1. the newest record and the KEEP before it are never removed;
 *  2. a claimer whose link succeeded looks again, and has won only if no
 *     higher record exists.  Such a stale record is never the newest;
 *  3. a reader believes what it saw only if a second look at the directory
 *     shows the same newest record, since a look is no snapshot.
 *
 * Source: the link(2) manual page, on locks without O_EXCL.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lease-dir.h"

enum {
    KEEP = 16,              /* records kept besides the newest */
    DIGITS = 10,            /* of the number in a record's name */
    TRIES_MAX = 64,         /* looks that others' steps may spoil */
};

#define RECORD_PREFIX "record."
#define CLAIM_PREFIX "claim."

typedef struct FtLeaseDir {
    FtLease lease;
    char *path;
} FtLeaseDir;

typedef struct Name {
    char text[40];
} Name;

static Name record_name(guint64 number)
{
    Name name;

    g_snprintf(name.text, sizeof(name.text), RECORD_PREFIX "%0*"
               G_GUINT64_FORMAT, DIGITS, number);
    return name;
}

static Name claim_name(guint64 nonce)
{
    Name name;

    g_snprintf(name.text, sizeof(name.text), CLAIM_PREFIX "%016"
               G_GINT64_MODIFIER "x", nonce);
    return name;
}

/* 0: not a record's name. */
static guint64 record_number(const char *name)
{
    const char *p = name + strlen(RECORD_PREFIX);

    if (!g_str_has_prefix(name, RECORD_PREFIX) || strlen(p) != DIGITS ||
        strspn(p, "0123456789") != DIGITS) {
        return 0;
    }
    return g_ascii_strtoull(p, NULL, 10);
}

/* What a person can do about an error of the storage. */
static char *advice(FtLeaseDir *dir, const char *doing, int err)
{
    const char *next = "waiting for it to answer again";

    if (err == ENOENT || err == ENOTDIR) {
        next = "waiting for the directory: create or mount it";
    } else if (err == EACCES || err == EROFS) {
        next = "waiting for the right to write there";
    } else if (err == EPERM) {
        next = "its file system may have no hard links: use another one";
    } else if (err == ENOSPC || err == EDQUOT) {
        next = "waiting for free space";
    }
    return g_strdup_printf("lease directory %s: can't %s: %s; %s", dir->path,
                           doing, g_strerror(err), next);
}

static int dir_open(FtLeaseDir *dir, char **why)
{
    int fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        *why = advice(dir, "open it", errno);
    }
    return fd;
}

static DIR *dir_stream(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);

    if (copy >= 0 && !stream) {
        close(copy);
    }
    return stream;
}

/* The newest record's number, 0 if there is none.  False: errno. */
static gboolean dir_newest(int fd, guint64 *newest)
{
    DIR *stream = dir_stream(fd);
    struct dirent *entry;
    struct stat st;
    int err;

    if (!stream) {
        return FALSE;
    }
    *newest = 0;
    for (errno = 0; (entry = readdir(stream)); errno = 0) {
        *newest = MAX(*newest, record_number(entry->d_name));
    }
    err = errno;
    closedir(stream);
    /* A network file system may list a directory as it was a while ago. */
    while (!err && *newest &&
           !fstatat(fd, record_name(*newest + 1).text, &st, 0)) {
        ++*newest;
    }
    errno = err;
    return err == 0;
}

typedef enum Look { LOOK_OK, LOOK_AGAIN, LOOK_FAILED } Look;

static Look record_load(FtLeaseDir *dir, int fd, guint64 number,
                        FtLeaseRecord *now, char **why)
{
    guint8 bytes[FT_LEASE_RECORD_SIZE + 1];
    Name name = record_name(number);
    int file = openat(fd, name.text, O_RDONLY | O_CLOEXEC);
    const char *damage = "its length is wrong";
    gssize n;
    int err;

    if (file < 0 && errno == ENOENT) {
        return LOOK_AGAIN;              /* others stepped on and removed it */
    }
    n = file < 0 ? -1 : read(file, bytes, sizeof(bytes));
    err = errno;
    if (file >= 0) {
        close(file);
    }
    if (n < 0) {
        *why = advice(dir, "read its record", err);
        return LOOK_FAILED;
    }
    if (n != FT_LEASE_RECORD_SIZE || !ft_lease_record_in(now, bytes, &damage)) {
        *why = g_strdup_printf("%s/%s is damaged: %s; nobody may start on it. "
                               "If a copy is there put it back; else find out "
                               "which machine ran last, empty the directory, "
                               "and start that one with new=on",
                               dir->path, name.text, damage);
        return LOOK_FAILED;
    }
    return LOOK_OK;
}

/* The newest record and its number (0 and an empty record: none). */
static gboolean record_newest(FtLeaseDir *dir, int fd, FtLeaseRecord *now,
                              guint64 *number, char **why)
{
    for (guint tries = 0; tries < TRIES_MAX; tries++) {
        guint64 again;
        Look look = LOOK_OK;

        memset(now, 0, sizeof(*now));
        if (!dir_newest(fd, number)) {
            *why = advice(dir, "list it", errno);
            return FALSE;
        }
        if (*number) {
            look = record_load(dir, fd, *number, now, why);
        }
        if (look == LOOK_FAILED) {
            return FALSE;
        }
        if (look == LOOK_OK && dir_newest(fd, &again) && again == *number) {
            return TRUE;
        }
    }
    *why = g_strdup_printf("lease directory %s changes all the time; "
                           "trying again", dir->path);
    return FALSE;
}

/* Leftovers of crashes: claims that lost, records nobody needs any more. */
static void dir_clean(int fd, guint64 newest)
{
    DIR *stream = dir_stream(fd);
    struct dirent *entry;

    while (stream && (entry = readdir(stream))) {
        guint64 number = record_number(entry->d_name);

        /* A claimer whose file goes away here only has to look again. */
        if ((number && number + KEEP < newest) ||
            g_str_has_prefix(entry->d_name, CLAIM_PREFIX)) {
            unlinkat(fd, entry->d_name, 0);
        }
    }
    if (stream) {
        closedir(stream);
    }
}

static gboolean claim_write(int fd, const char *name, const FtLeaseRecord *to)
{
    guint8 bytes[FT_LEASE_RECORD_SIZE];
    gssize n;
    int file, err = 0;

    ft_lease_record_out(to, bytes);
    if (unlinkat(fd, name, 0) && errno != ENOENT) {
        return FALSE;
    }
    file = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0) {
        return FALSE;
    }
    n = write(file, bytes, sizeof(bytes));
    if (n != (gssize)sizeof(bytes)) {
        err = n < 0 ? errno : ENOSPC;
    } else if (fsync(file)) {
        err = errno;
    }
    if (close(file) && !err) {
        err = errno;
    }
    errno = err;
    return err == 0;
}

/* The record holds the claim's nonce: won, once that is durable. */
static FtLeaseResult step_won(FtLeaseDir *dir, int fd, guint64 number,
                              char **why)
{
    if (fsync(fd)) {
        *why = advice(dir, "make the change durable", errno);
        return FT_LEASE_UNKNOWN;
    }
    dir_clean(fd, number);
    return FT_LEASE_WON;
}

/*
 * One attempt.  True: *result is final for this call.  False: somebody was
 * at the same number at the same time; look again.
 */
static gboolean step_once(FtLeaseDir *dir, int fd, const FtLeaseRecord *from,
                          const FtLeaseRecord *to, FtLeaseRecord *now,
                          FtLeaseResult *result, char **why)
{
    Name claim = claim_name(to->nonce);
    guint64 number;
    int err;

    *result = FT_LEASE_UNKNOWN;
    if (!record_newest(dir, fd, now, &number, why)) {
        return TRUE;
    }
    if (number && ft_lease_record_equal(now, to)) {
        *result = step_won(dir, fd, number, why);
        return TRUE;
    }
    if (!ft_lease_record_equal(now, from)) {
        *result = FT_LEASE_LOST;
        return TRUE;
    }
    if (!claim_write(fd, claim.text, to)) {
        *why = advice(dir, "write a claim", errno);
        return TRUE;
    }
    if (linkat(fd, claim.text, fd, record_name(number + 1).text, 0) &&
        errno != EEXIST && errno != ENOENT) {
        /* It may have been done all the same: the next call finds out. */
        err = errno;
        unlinkat(fd, claim.text, 0);
        *why = advice(dir, "link a claim", err);
        return TRUE;
    }
    unlinkat(fd, claim.text, 0);
    /* Linked or not, looking tells (rule 2 of the comment on top). */
    return FALSE;
}

static FtLeaseResult lease_dir_step(FtLease *lease, const FtLeaseRecord *from,
                                    const FtLeaseRecord *to,
                                    FtLeaseRecord *now, char **why)
{
    FtLeaseDir *dir = (FtLeaseDir *)lease;
    FtLeaseResult result = FT_LEASE_UNKNOWN;
    gboolean final = FALSE;
    int fd = dir_open(dir, why);

    if (fd < 0) {
        return FT_LEASE_UNKNOWN;
    }
    for (guint tries = 0; !final && tries < TRIES_MAX; tries++) {
        final = step_once(dir, fd, from, to, now, &result, why);
    }
    if (!final) {
        *why = g_strdup_printf("lease directory %s changes all the time; "
                               "trying again", dir->path);
    }
    close(fd);
    return result;
}

static gboolean lease_dir_read(FtLease *lease, FtLeaseRecord *now, char **why)
{
    FtLeaseDir *dir = (FtLeaseDir *)lease;
    int fd = dir_open(dir, why);
    guint64 number;
    gboolean ok;

    if (fd < 0) {
        return FALSE;
    }
    ok = record_newest(dir, fd, now, &number, why);
    close(fd);
    return ok;
}

/* How many names of ours there are; with remove none is left. */
static gboolean dir_sweep(FtLeaseDir *dir, int fd, gboolean remove, guint *n,
                          char **why)
{
    DIR *stream = dir_stream(fd);
    struct dirent *entry;
    gboolean ok = stream != NULL;

    *n = 0;
    while (ok && (entry = readdir(stream))) {
        if (!record_number(entry->d_name) &&
            !g_str_has_prefix(entry->d_name, CLAIM_PREFIX)) {
            continue;
        }
        ++*n;
        ok = !remove || !unlinkat(fd, entry->d_name, 0) || errno == ENOENT;
    }
    if (!ok || (remove && fsync(fd))) {
        *why = advice(dir, "empty it", errno);
        ok = FALSE;
    }
    if (stream) {
        closedir(stream);
    }
    return ok;
}

static gboolean lease_dir_format(FtLease *lease, gboolean force,
                                 gboolean dry_run, char **why)
{
    FtLeaseDir *dir = (FtLeaseDir *)lease;
    int fd = dir_open(dir, why);
    guint n;
    gboolean ok;

    if (fd < 0) {
        return FALSE;
    }
    ok = dir_sweep(dir, fd, FALSE, &n, why);
    if (ok && n && !force) {
        *why = g_strdup_printf("lease directory %s is not empty; if no VM "
                               "needs its record any more, use --force",
                               dir->path);
        ok = FALSE;
    }
    if (ok && !dry_run) {
        ok = dir_sweep(dir, fd, TRUE, &n, why);
    }
    close(fd);
    return ok;
}

/* A claim that is linked to another claim's name: no reader looks at them. */
static gboolean lease_dir_verify(FtLease *lease, FtLeaseRecord *now,
                                 char **why)
{
    FtLeaseDir *dir = (FtLeaseDir *)lease;
    Name one = claim_name(g_random_int()), two;
    int fd = dir_open(dir, why);
    guint64 number;
    gboolean ok;

    g_snprintf(two.text, sizeof(two.text), "%s.verify", one.text);
    ok = fd >= 0 && record_newest(dir, fd, now, &number, why);
    if (ok && (!claim_write(fd, one.text, now) ||
               linkat(fd, one.text, fd, two.text, 0) || fsync(fd))) {
        *why = advice(dir, "write and link a claim", errno);
        ok = FALSE;
    }
    if (fd >= 0) {
        unlinkat(fd, one.text, 0);
        unlinkat(fd, two.text, 0);
        close(fd);
    }
    return ok;
}

static void lease_dir_close(FtLease *lease)
{
    FtLeaseDir *dir = (FtLeaseDir *)lease;

    g_free(dir->path);
    g_free(dir);
}

static const FtLeaseOps lease_dir_ops = {
    .step = lease_dir_step,
    .read = lease_dir_read,
    .format = lease_dir_format,
    .verify = lease_dir_verify,
    .close = lease_dir_close,
};

FtLease *ft_lease_dir_open(const char *path, char **why)
{
    FtLeaseDir *dir;

    if (!*path) {
        *why = g_strdup("lease=dir: lacks its directory; write "
                        "lease=dir:PATH, PATH a directory that both "
                        "machines reach");
        return NULL;
    }
    dir = g_new0(FtLeaseDir, 1);
    dir->lease.ops = &lease_dir_ops;
    dir->path = g_strdup(path);
    return &dir->lease;
}
