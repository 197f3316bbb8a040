/*
 * A primary's own disks on their way to a new backup.
 *
 * In background mode the guest never waits for the backup's disk: what it
 * writes is copied again, and what is left when it stands is little.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/clone-visitor.h"
#include "qapi/qapi-visit-sockets.h"
#include "qapi/util.h"
#include "qobject/qdict.h"
#include "block/block.h"
#include "block/block_int-global-state.h"
#include "block/blockjob.h"
#include "io/channel-socket.h"
#include "qemu/job.h"
#include "qemu/progress_meter.h"
#include "system/block-backend.h"
#include "disk.h"
#include "disks.h"
#include "limits.h"
#include "mirror.h"

#define JOB_NAME "ft-mirror-%u"

static struct {
    FtMirrorStage stage;
    SocketAddress *to;
    unsigned disks;
    Error *failed;
    int64_t done_bytes;         /* when progress was seen last */
    int64_t done_at_ms;
    unsigned attempt;           /* an answer to an earlier one is dropped */
    guint watch;                /* for the server's first bytes; 0: none */
} m;

static Job *job_at_locked(unsigned i)
{
    g_autofree char *id = g_strdup_printf(JOB_NAME, i);

    return job_get_locked(id);
}

static void fail(Error *err)
{
    error_free(m.failed);
    m.failed = err;
    m.stage = FT_MIRROR_FAILED;
}

/* --- beginning ------------------------------------------------------------ */

static QDict *target_options(unsigned i)
{
    const InetSocketAddress *inet = &m.to->u.inet;
    g_autofree char *export = g_strdup_printf(FT_MIRROR_EXPORT, i);
    QDict *options = qdict_new();

    qdict_put_str(options, "driver", "nbd");
    qdict_put_str(options, "server.type", "inet");
    qdict_put_str(options, "server.host", inet->host);
    qdict_put_str(options, "server.port", inet->port);
    qdict_put_str(options, "export", export);
    qdict_put_str(options, "discard", "unmap");
    /* The guest would wait longer: see greeted(). */
    qdict_put_int(options, "open-timeout", 1);
    return options;
}

static bool check_sizes(BlockBackend *blk, BlockDriverState *target,
                        Error **errp)
{
    int64_t ours = blk_getlength(blk), theirs = bdrv_getlength(target);

    if (ours != theirs) {
        error_setg(errp, "disk '%s' has %" PRId64 " bytes here and %" PRId64
                   " at the backup; make that one of the same size",
                   blk_name(blk), ours, theirs);
    }
    return ours == theirs;
}

static bool mirror_disk(DeviceState *dev, BlockBackend *blk, void *opaque,
                        Error **errp)
{
    ERRP_GUARD();
    g_autofree char *id = g_strdup_printf(JOB_NAME, m.disks);
    BlockDriverState *target;

    if (!blk_is_writable(blk)) {
        return true;            /* both have their own, and it stays so */
    }
    target = bdrv_open(NULL, NULL, target_options(m.disks), BDRV_O_RDWR,
                       errp);
    if (!target) {
        return false;
    }
    if (check_sizes(blk, target, errp)) {
        mirror_start(id, ft_disk_below(blk_bs(blk)), target, NULL,
                     JOB_MANUAL_DISMISS, 0, 0, 0, MIRROR_SYNC_MODE_FULL,
                     MIRROR_LEAVE_BACKING_CHAIN, true, /* holes are zero */
                     BLOCKDEV_ON_ERROR_REPORT, BLOCKDEV_ON_ERROR_REPORT,
                     true, NULL, MIRROR_COPY_MODE_BACKGROUND, errp);
    }
    bdrv_unref(target);         /* the job has a reference now */
    m.disks += !*errp;
    return !*errp;
}

static void begin_failed(Error *err)
{
    error_prepend(&err, "the backup's disks at %s:%s: ", m.to->u.inet.host,
                  m.to->u.inet.port);
    ft_mirror_abort();
    fail(err);
}

/*
 * A server answers there: what follows connects again and waits for it with
 * the main loop, and the guest with that, so it must not meet one that is
 * silent.
 */
static gboolean greeted(QIOChannel *ioc, GIOCondition condition,
                        gpointer opaque)
{
    Error *err = NULL;

    m.watch = 0;
    if (ft_disks_foreach(mirror_disk, NULL, &err) && !m.disks) {
        error_setg(&err, "this machine has no disk that is written: leave "
                   "out \"mirror\"");
    }
    if (err) {
        begin_failed(err);
    }
    return G_SOURCE_REMOVE;
}

static void reached(QIOTask *task, gpointer opaque)
{
    Error *err = NULL;
    bool good = !qio_task_propagate_error(task, &err);

    if (m.stage != FT_MIRROR_COPYING ||
        GPOINTER_TO_UINT(opaque) != m.attempt) {
        error_free(err);
    } else if (good) {
        m.watch = qio_channel_add_watch(QIO_CHANNEL(qio_task_get_source(task)),
                                        G_IO_IN | G_IO_HUP, greeted, NULL,
                                        NULL);
    } else {
        begin_failed(err);
    }
}

bool ft_mirror_begin(SocketAddress *to, Error **errp)
{
    g_autoptr(QIOChannelSocket) socket = qio_channel_socket_new();

    if (ft_disks_shared()) {
        error_setg(errp, "the disks are shared: there is nothing to copy; "
                   "leave out \"mirror\"");
        return false;
    }
    qapi_free_SocketAddress(m.to);
    m.to = QAPI_CLONE(SocketAddress, to);
    m.stage = FT_MIRROR_COPYING;
    m.disks = 0;
    m.done_bytes = -1;
    m.done_at_ms = g_get_monotonic_time() / 1000;
    qio_channel_socket_connect_async(socket, m.to, reached,
                                     GUINT_TO_POINTER(++m.attempt), NULL,
                                     NULL);
    return true;
}

/* --- the jobs ------------------------------------------------------------- */

typedef struct Look {
    unsigned ready, concluded;
    int64_t done_bytes, left_bytes;
} Look;

static void add_progress(Job *job, int64_t *done_bytes, int64_t *left_bytes)
{
    uint64_t done, total;

    progress_get_snapshot(&job->progress, &done, &total);
    *done_bytes += done;
    *left_bytes += total - done;
}

/* A job counts nothing while it makes its target zero. */
static int64_t zeroed_bytes(Job *job)
{
    GSList *node;

    for (node = container_of(job, BlockJob, job)->nodes; node;
         node = node->next) {
        BdrvChild *child = node->data;

        if (!strcmp(child->name, "target")) {
            return stat64_get(&child->bs->wr_highest_offset);
        }
    }
    return 0;
}

static bool look_at_locked(Job *job, Look *look, Error **errp)
{
    add_progress(job, &look->done_bytes, &look->left_bytes);
    look->done_bytes += zeroed_bytes(job);
    look->ready += job->status == JOB_STATUS_READY;
    if (job->status != JOB_STATUS_CONCLUDED) {
        return true;
    }
    look->concluded++;
    if (job->ret < 0 || m.stage != FT_MIRROR_ENDING) {
        error_setg(errp, "copying a disk to the backup failed: %s",
                   job->err ? error_get_pretty(job->err)
                   : job->ret < 0 ? strerror(-job->ret) : "it ended early");
        return false;
    }
    return true;
}

/* A backup whose host fell silent is not waited for for ever. */
static bool goes_on(const Look *look, Error **errp)
{
    int64_t now_ms = g_get_monotonic_time() / 1000;

    if (m.disks && (look->done_bytes != m.done_bytes ||
                    m.done_bytes < 0 ||
                    (look->left_bytes == 0 &&
                     (look->ready == m.disks ||
                      m.stage == FT_MIRROR_ENDING)))) {
        m.done_bytes = look->done_bytes;
        m.done_at_ms = now_ms;
    } else if (now_ms - m.done_at_ms > FT_MIRROR_SILENT_MS) {
        error_setg(errp, "the backup at %s:%s has taken nothing of the disks "
                   "for %d s", m.to->u.inet.host, m.to->u.inet.port,
                   FT_MIRROR_SILENT_MS / 1000);
        return false;
    }
    return true;
}

static void dismiss_all(void)
{
    for (unsigned i = 0; i < m.disks; i++) {
        JOB_LOCK_GUARD();
        Job *job = job_at_locked(i);

        if (job && job->status == JOB_STATUS_CONCLUDED) {
            job_dismiss_locked(&job, &error_abort);
        }
    }
}

/* Under way: a stage follows from what the jobs are at. */
static void look_at_jobs(void)
{
    Look look = { 0 };
    Error *err = NULL;

    for (unsigned i = 0; i < m.disks && !err; i++) {
        JOB_LOCK_GUARD();
        Job *job = job_at_locked(i);

        g_assert(job);
        look_at_locked(job, &look, &err);
    }
    if (err || !goes_on(&look, &err)) {
        ft_mirror_abort();
        fail(err);
    } else if (m.stage == FT_MIRROR_ENDING && look.concluded == m.disks) {
        dismiss_all();
        m.stage = FT_MIRROR_EQUAL;
    } else if (m.stage == FT_MIRROR_COPYING && m.disks &&
               look.ready == m.disks &&
               look.left_bytes <= FT_MIRROR_REST_MAX) {
        m.stage = FT_MIRROR_CLOSE;
    }
}

FtMirrorStage ft_mirror_look(Error **errp)
{
    if (m.stage == FT_MIRROR_COPYING || m.stage == FT_MIRROR_CLOSE ||
        m.stage == FT_MIRROR_ENDING) {
        look_at_jobs();
    }
    if (m.stage == FT_MIRROR_FAILED) {
        error_propagate(errp, error_copy(m.failed));
    }
    return m.stage;
}

void ft_mirror_end(void)
{
    g_assert(m.stage == FT_MIRROR_CLOSE);
    m.stage = FT_MIRROR_ENDING;
    m.done_bytes = -1;
    for (unsigned i = 0; i < m.disks; i++) {
        JOB_LOCK_GUARD();
        Job *job = job_at_locked(i);

        /* Of a job that is ready: the rest is copied, and flushed. */
        job_cancel_locked(job, false);
    }
}

void ft_mirror_abort(void)
{
    m.stage = FT_MIRROR_NONE;
    if (m.watch) {
        g_source_remove(m.watch);
        m.watch = 0;
    }
    for (unsigned i = 0; i < m.disks; i++) {
        JOB_LOCK_GUARD();
        Job *job = job_at_locked(i);

        if (!job) {
            continue;
        }
        job_ref_locked(job);
        if (job->status == JOB_STATUS_CONCLUDED) {
            Job *concluded = job;

            job_dismiss_locked(&concluded, &error_abort);
        } else {
            job->auto_dismiss = true;
            job_cancel_locked(job, true);
        }
        job_unref_locked(job);
    }
    m.disks = 0;
}

unsigned ft_mirror_percent(void)
{
    int64_t done = 0, left = 0;

    for (unsigned i = 0; i < m.disks; i++) {
        JOB_LOCK_GUARD();
        Job *job = job_at_locked(i);

        if (job) {
            add_progress(job, &done, &left);
        }
    }
    return done + left ? done * 100 / (done + left) : 0;
}
