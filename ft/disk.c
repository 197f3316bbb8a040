/*
 * The disk guard.
 *
 * A request's life:  begin (it gets its id; it waits for earlier requests
 * that overlap) -> I/O on the disk below, into a bounce buffer -> its event
 * is queued -> the engine logs, or finds in the log, the event -> the data
 * is copied to the guest and the request completes.
 *
 * While the node is drained (a device reset, or a device that waits for a
 * request it cancelled) the engine can't run events: then all requests
 * complete together, in the order of their ids, when the last one's I/O is
 * done.  Their events still go through the log, so that both sides' queues
 * stay the same, and find nothing to do.
 *
 * A SCSI device cancels its requests in a bottom half that it schedules just
 * before it drains, and the guest can see whether that came before the
 * completion.  How far the I/O is differs between the two sides, so no
 * request completes before such bottom halves have run.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/memalign.h"
#include "qemu/module.h"
#include "block/block-io.h"
#include "block/block_int.h"
#include "block/coroutines.h"
#include "system/replay.h"
#include "replay/ft-stream.h"
#include "disk.h"
#include "ft.h"

/* After so many rounds what was scheduled before a drain has run: the bottom
   halves of one round run in no order that counts. */
#define DRAIN_ROUNDS 2

typedef struct FtDiskRequest {
    uint64_t id;
    int64_t offset;
    int64_t bytes;
    bool writes;
    int ret;
    bool io_done;
    bool completed;             /* the coroutine may go on */
    int refs;                   /* the coroutine and the event */
    Coroutine *co;
    QEMUBH *bh;
    struct FtDisk *disk;
    QTAILQ_ENTRY(FtDiskRequest) next;
} FtDiskRequest;

typedef struct FtDisk {
    QTAILQ_HEAD(, FtDiskRequest) requests;      /* by id */
    CoQueue overlap;                            /* wait for an earlier one */
    int drained;
    int rounds;                                 /* of bottom halves since */
    QEMUBH *bh;                                 /* counts them */
    BlockDriverState *bs;
    QTAILQ_ENTRY(FtDisk) next;
} FtDisk;

static QTAILQ_HEAD(, FtDisk) disks = QTAILQ_HEAD_INITIALIZER(disks);
static uint64_t next_id;
static GHashTable *results;     /* id -> -errno of the primary's disk */
static FtDiskFailFn *fail_fn;
static int under_way;           /* atomic: requests that this side's disks have */

bool ft_disk_busy(void)
{
    return qatomic_read(&under_way) > 0;
}

uint64_t ft_disk_next_request(void)
{
    return next_id;
}

void ft_disk_set_next_request(uint64_t id)
{
    next_id = id;
}

void ft_disk_init(FtDiskFailFn *fail)
{
    fail_fn = fail;
    results = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

void ft_disk_set_result(uint64_t id, int ret)
{
    uint64_t *key = g_memdup2(&id, sizeof(id));

    g_hash_table_insert(results, key, GINT_TO_POINTER(ret));
}

static void request_unref(FtDiskRequest *req)
{
    if (--req->refs == 0) {
        qemu_bh_delete(req->bh);
        g_free(req);
    }
}

static void request_complete(FtDiskRequest *req)
{
    req->completed = true;
    QTAILQ_REMOVE(&req->disk->requests, req, next);
    aio_co_wake(req->co);
}

/* On the backup the primary's result counts, not that of its own disk. */
static void request_settle_result(FtDiskRequest *req)
{
    void *ret;

    if (g_hash_table_steal_extended(results, &req->id, NULL, &ret)) {
        req->ret = GPOINTER_TO_INT(ret);
    } else if (req->ret < 0 && replay_mode == REPLAY_MODE_PLAY) {
        g_autofree char *why = g_strdup_printf(
            "this side's disk failed (%s) where the primary's did not",
            strerror(-req->ret));
        fail_fn(why);
    }
}

/* The engine runs the request's event. */
static void request_event(void *opaque)
{
    FtDiskRequest *req = opaque;

    if (!req->completed) {
        request_settle_result(req);
        request_complete(req);
    }
    request_unref(req);
}

static void complete_drained(FtDisk *disk)
{
    FtDiskRequest *req, *tmp;

    QTAILQ_FOREACH(req, &disk->requests, next) {
        if (!req->io_done) {
            return;
        }
    }
    QTAILQ_FOREACH_SAFE(req, &disk->requests, next, tmp) {
        request_settle_result(req);
        request_complete(req);
    }
}

static void drain_bh(void *opaque)
{
    FtDisk *disk = opaque;

    if (++disk->rounds < DRAIN_ROUNDS) {
        qemu_bh_schedule(disk->bh);
    } else {
        complete_drained(disk);
    }
}

static bool overlaps_earlier(FtDiskRequest *req)
{
    FtDiskRequest *r;

    QTAILQ_FOREACH(r, &req->disk->requests, next) {
        if (r == req) {
            return false;
        }
        if (!r->io_done && (r->writes || req->writes) &&
            r->offset < req->offset + req->bytes &&
            req->offset < r->offset + r->bytes) {
            return true;
        }
    }
    return false;
}

static FtDiskRequest *coroutine_fn request_begin(BlockDriverState *bs,
                                                 int64_t offset, int64_t bytes,
                                                 bool writes)
{
    FtDisk *disk = bs->opaque;
    FtDiskRequest *req = g_new0(FtDiskRequest, 1);

    req->id = next_id++;
    req->offset = offset;
    req->bytes = bytes;
    req->writes = writes;
    req->refs = 2;
    req->disk = disk;
    req->co = qemu_coroutine_self();
    req->bh = aio_bh_new(bdrv_get_aio_context(bs), request_event, req);
    QTAILQ_INSERT_TAIL(&disk->requests, req, next);
    qatomic_inc(&under_way);
    while (overlaps_earlier(req)) {
        qemu_co_queue_wait(&disk->overlap, NULL);
    }
    return req;
}

/* Returns when the guest may see the completion. */
static int coroutine_fn request_end(FtDiskRequest *req, int ret)
{
    FtDisk *disk = req->disk;
    uint8_t result[12];

    req->ret = ret;
    req->io_done = true;
    qatomic_dec(&under_way);
    qemu_co_queue_restart_all(&disk->overlap);
    if (ret < 0) {
        stq_be_p(result, req->id);
        stl_be_p(result + 8, ret);
        ft_stream_put_control(FT_CONTROL_DISK_RESULT, result, sizeof(result));
    }
    replay_block_event(req->bh, req->id);
    if (disk->drained) {
        /* Not from this coroutine: the others would go on after it. */
        qemu_bh_schedule(disk->bh);
    }
    if (!req->completed) {
        qemu_coroutine_yield();
    }
    ret = req->ret;
    request_unref(req);
    return ret;
}

static int disk_open(BlockDriverState *bs, QDict *options, int flags,
                     Error **errp)
{
    FtDisk *disk = bs->opaque;

    QTAILQ_INIT(&disk->requests);
    qemu_co_queue_init(&disk->overlap);
    disk->bs = bs;
    disk->bh = aio_bh_new(bdrv_get_aio_context(bs), drain_bh, disk);
    QTAILQ_INSERT_TAIL(&disks, disk, next);
    /*
     * The block layer above makes requests of its own for flags that are
     * not supported here; that must not depend on this host's storage.
     */
    bs->supported_write_flags = bs->supported_zero_flags =
        BDRV_REQ_WRITE_UNCHANGED;
    return bdrv_open_file_child(NULL, options, "file", bs, errp);
}

static void disk_close(BlockDriverState *bs)
{
    FtDisk *disk = bs->opaque;

    QTAILQ_REMOVE(&disks, disk, next);
    qemu_bh_delete(disk->bh);
}

static int64_t coroutine_fn GRAPH_RDLOCK
disk_co_getlength(BlockDriverState *bs)
{
    return bdrv_co_getlength(bs->file->bs);
}

/*
 * What the guest can see of a host's limits has to be the same on both
 * sides, whatever their storage is.
 */
static void disk_refresh_limits(BlockDriverState *bs, Error **errp)
{
    bs->bl.request_alignment = 1;
    bs->bl.max_transfer = 0;
    bs->bl.max_hw_transfer = 0;
    bs->bl.max_iov = IOV_MAX;
    bs->bl.max_pdiscard = 0;
    bs->bl.pdiscard_alignment = 0;
    bs->bl.max_pwrite_zeroes = 0;
    bs->bl.pwrite_zeroes_alignment = 0;
}

static int coroutine_fn GRAPH_RDLOCK
disk_co_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
               QEMUIOVector *qiov, BdrvRequestFlags flags)
{
    FtDiskRequest *req;
    void *bounce;
    int ret;

    if (!ft_stream_started()) {
        return bdrv_co_preadv(bs->file, offset, bytes, qiov, flags);
    }
    bounce = qemu_blockalign(bs->file->bs, bytes);
    req = request_begin(bs, offset, bytes, false);
    ret = bdrv_co_pread(bs->file, offset, bytes, bounce, flags);
    ret = request_end(req, ret);
    if (ret >= 0) {
        qemu_iovec_from_buf(qiov, 0, bounce, bytes);
    }
    qemu_vfree(bounce);
    return ret;
}

static int coroutine_fn GRAPH_RDLOCK
disk_co_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                QEMUIOVector *qiov, BdrvRequestFlags flags)
{
    FtDiskRequest *req;
    void *bounce;
    int ret;

    if (!ft_stream_started()) {
        return bdrv_co_pwritev(bs->file, offset, bytes, qiov, flags);
    }
    bounce = qemu_blockalign(bs->file->bs, bytes);
    qemu_iovec_to_buf(qiov, 0, bounce, bytes);
    req = request_begin(bs, offset, bytes, true);
    ret = bdrv_co_pwrite(bs->file, offset, bytes, bounce, flags);
    ret = request_end(req, ret);
    qemu_vfree(bounce);
    return ret;
}

static int coroutine_fn GRAPH_RDLOCK
disk_co_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      BdrvRequestFlags flags)
{
    FtDiskRequest *req;

    if (!ft_stream_started()) {
        return bdrv_co_pwrite_zeroes(bs->file, offset, bytes, flags);
    }
    req = request_begin(bs, offset, bytes, true);
    return request_end(req, bdrv_co_pwrite_zeroes(bs->file, offset, bytes,
                                                  flags));
}

static int coroutine_fn GRAPH_RDLOCK
disk_co_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    FtDiskRequest *req;

    if (!ft_stream_started()) {
        return bdrv_co_pdiscard(bs->file, offset, bytes);
    }
    req = request_begin(bs, offset, bytes, true);
    return request_end(req, bdrv_co_pdiscard(bs->file, offset, bytes));
}

static int coroutine_fn GRAPH_RDLOCK disk_co_flush(BlockDriverState *bs)
{
    FtDiskRequest *req;

    if (!ft_stream_started()) {
        return bdrv_co_flush(bs->file->bs);
    }
    req = request_begin(bs, 0, 0, false);
    return request_end(req, bdrv_co_flush(bs->file->bs));
}

static void disk_drain_begin(BlockDriverState *bs)
{
    FtDisk *disk = bs->opaque;

    if (disk->drained++ == 0) {
        disk->rounds = 0;
        qemu_bh_schedule(disk->bh);
    }
}

static void disk_drain_end(BlockDriverState *bs)
{
    FtDisk *disk = bs->opaque;

    if (--disk->drained == 0) {
        qemu_bh_cancel(disk->bh);
    }
}

void ft_disk_drain(void)
{
    FtDisk *disk;

    if (ft_stream_started()) {
        QTAILQ_FOREACH(disk, &disks, next) {
            bdrv_drain(disk->bs);
        }
    }
}

static BlockDriver bdrv_ft_disk_guard = {
    .format_name = "ft-disk-guard",
    .instance_size = sizeof(FtDisk),
    .is_filter = true,

    .bdrv_open = disk_open,
    .bdrv_close = disk_close,
    .bdrv_child_perm = bdrv_default_perms,
    .bdrv_refresh_limits = disk_refresh_limits,
    .bdrv_co_getlength = disk_co_getlength,
    .bdrv_co_preadv = disk_co_preadv,
    .bdrv_co_pwritev = disk_co_pwritev,
    .bdrv_co_pwrite_zeroes = disk_co_pwrite_zeroes,
    .bdrv_co_pdiscard = disk_co_pdiscard,
    .bdrv_co_flush = disk_co_flush,
    .bdrv_drain_begin = disk_drain_begin,
    .bdrv_drain_end = disk_drain_end,
};

static void register_driver(void)
{
    bdrv_register(&bdrv_ft_disk_guard);
}

block_init(register_driver);
