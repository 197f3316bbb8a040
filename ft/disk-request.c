/*
 * Requests of the disk guard.
 *
 * A request's life:  begin (it gets its id; it waits for earlier requests
 * that overlap) -> I/O on the disk below, into a bounce buffer -> its event
 * is queued -> the engine logs, or finds in the log, the event -> the data
 * is copied to the guest and the request completes.
 *
 * A backup need not have written what its guest is told is written: the
 * primary has, and the log says so.  There the event of a write or a flush is
 * queued at once, and the I/O is done behind the guest: in order where it
 * overlaps, a flush after all writes before it, reads after the writes they
 * overlap, all of it before the backup goes live (ft_disk_settled()).  So a
 * slow disk of the backup does not make it lag.
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
#include "qemu/units.h"
#include "block/block-io.h"
#include "block/block_int.h"
#include "block/coroutines.h"
#include "system/replay.h"
#include "replay/ft-stream.h"
#include "disk.h"
#include "disk-request.h"
#include "ft.h"

/* After so many rounds what was scheduled before a drain has run: the bottom
   halves of one round run in no order that counts. */
#define DRAIN_ROUNDS 2

/* What a backup's disk may still have to write; a request counts more. */
#define BEHIND_MAX (16 * MiB)
#define BEHIND_REQUEST (4 * KiB)

typedef struct FtDiskRequest {
    uint64_t id;
    FtDiskKind kind;
    int64_t offset;
    int64_t bytes;
    BdrvRequestFlags flags;
    void *bounce;
    int ret;
    bool behind;                /* the guest does not wait for the disk */
    bool io_done;               /* this side's disk has answered */
    bool completed;             /* the coroutine may go on */
    int refs;                   /* the coroutine, the event, what is behind */
    Coroutine *co;
    QEMUBH *bh;
    struct FtDisk *disk;
    QTAILQ_ENTRY(FtDiskRequest) next;
} FtDiskRequest;

struct FtDisk {
    /* By id: those that are not completed, or that the disk still has. */
    QTAILQ_HEAD(, FtDiskRequest) requests;
    CoQueue overlap;                            /* wait for an earlier one */
    int drained;
    int rounds;                                 /* of bottom halves since */
    QEMUBH *bh;                                 /* counts them */
    BlockDriverState *bs;
    QTAILQ_ENTRY(FtDisk) next;
};

static QTAILQ_HEAD(, FtDisk) disks = QTAILQ_HEAD_INITIALIZER(disks);
static uint64_t next_id;
static GHashTable *results;     /* id -> -errno of the primary's disk */
static FtDiskFailFn *fail_fn;
static int under_way;           /* atomic: what this side's disks have to do */
static size_t behind;           /* of them, bytes that no guest waits for */
static GQueue spare = G_QUEUE_INIT;     /* requests that were used */

bool ft_disk_busy(void)
{
    return qatomic_read(&under_way) > 0;
}

bool ft_disk_settled(void)
{
    return !behind;
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

static void request_event(void *opaque);

/* With their bottom halves: to delete one wakes the main loop. */
static FtDiskRequest *request_new(BlockDriverState *bs)
{
    FtDiskRequest *req = g_queue_pop_head(&spare);

    if (!req) {
        req = g_new0(FtDiskRequest, 1);
        req->bh = aio_bh_new(bdrv_get_aio_context(bs), request_event, req);
    }
    return req;
}

static void request_unref(FtDiskRequest *req)
{
    if (--req->refs == 0) {
        qemu_vfree(req->bounce);
        g_queue_push_head(&spare, req);
    }
}

static void request_leave(FtDiskRequest *req)
{
    if (req->completed && req->io_done) {
        QTAILQ_REMOVE(&req->disk->requests, req, next);
    }
}

static void request_complete(FtDiskRequest *req)
{
    req->completed = true;
    request_leave(req);
    aio_co_wake(req->co);
}

static void disk_failed(int ret)
{
    g_autofree char *why = g_strdup_printf(
        "this side's disk failed (%s) where the primary's did not",
        strerror(-ret));

    fail_fn(why);
}

/* On the backup the primary's result counts, not that of its own disk. */
static void request_settle_result(FtDiskRequest *req)
{
    void *ret;

    if (g_hash_table_steal_extended(results, &req->id, NULL, &ret)) {
        req->ret = GPOINTER_TO_INT(ret);
    } else if (req->ret < 0 && replay_mode == REPLAY_MODE_PLAY) {
        disk_failed(req->ret);
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
        if (!req->io_done && !req->behind) {
            return;
        }
    }
    QTAILQ_FOREACH_SAFE(req, &disk->requests, next, tmp) {
        if (!req->completed) {
            request_settle_result(req);
            request_complete(req);
        }
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

static bool writes(const FtDiskRequest *req)
{
    return req->kind != FT_DISK_READ && req->kind != FT_DISK_FLUSH;
}

static bool has_to_wait(FtDiskRequest *req)
{
    FtDiskRequest *r;

    QTAILQ_FOREACH(r, &req->disk->requests, next) {
        if (r == req) {
            return false;
        }
        if (r->io_done || (!writes(r) && !writes(req))) {
            continue;
        }
        if (r->offset < req->offset + req->bytes &&
            req->offset < r->offset + r->bytes) {
            return true;
        }
        /* The guest was told that it is on the disk; here it may not be yet. */
        if (r->behind && (r->kind == FT_DISK_FLUSH ||
                          req->kind == FT_DISK_FLUSH)) {
            return true;
        }
    }
    return false;
}

/* The disk below does it, when it is its turn. */
static int coroutine_fn GRAPH_RDLOCK request_io(FtDiskRequest *req)
{
    BdrvChild *file = req->disk->bs->file;
    int64_t at = req->offset, size = req->bytes;

    while (has_to_wait(req)) {
        qemu_co_queue_wait(&req->disk->overlap, NULL);
    }
    switch (req->kind) {
    case FT_DISK_READ:
        return bdrv_co_pread(file, at, size, req->bounce, req->flags);
    case FT_DISK_WRITE:
        return bdrv_co_pwrite(file, at, size, req->bounce, req->flags);
    case FT_DISK_ZEROES:
        return bdrv_co_pwrite_zeroes(file, at, size, req->flags);
    case FT_DISK_DISCARD:
        return bdrv_co_pdiscard(file, at, size);
    case FT_DISK_FLUSH:
        return bdrv_co_flush(file->bs);
    }
    g_assert_not_reached();
}

static void coroutine_fn request_answered(FtDiskRequest *req)
{
    req->io_done = true;
    qatomic_dec(&under_way);
    qemu_co_queue_restart_all(&req->disk->overlap);
}

static size_t behind_size(const FtDiskRequest *req)
{
    return BEHIND_REQUEST + (req->bounce ? req->bytes : 0);
}

/* Behind the guest, which may know of the completion already. */
static void coroutine_fn behind_entry(void *opaque)
{
    FtDiskRequest *req = opaque;
    BlockDriverState *bs = req->disk->bs;
    int ret;

    WITH_GRAPH_RDLOCK_GUARD() {
        ret = request_io(req);
    }
    if (ret < 0 && !req->completed) {
        req->ret = ret;
    } else if (ret < 0 && req->ret >= 0) {
        disk_failed(ret);
    }
    request_answered(req);
    request_leave(req);
    behind -= behind_size(req);
    if (!behind) {
        ft_stream_settled();
    }
    request_unref(req);
    bdrv_dec_in_flight(bs);
}

static void coroutine_fn request_begin_behind(FtDiskRequest *req)
{
    req->behind = true;
    req->refs++;
    behind += behind_size(req);
    bdrv_inc_in_flight(req->disk->bs);
    qemu_coroutine_enter(qemu_coroutine_create(behind_entry, req));
}

int coroutine_fn ft_disk_request(FtDisk *disk, FtDiskKind kind, int64_t offset,
                                 int64_t bytes, void *bounce,
                                 QEMUIOVector *qiov, BdrvRequestFlags flags)
{
    FtDiskRequest *req = request_new(disk->bs);
    uint8_t result[12];
    int ret;

    *req = (FtDiskRequest) {
        .id = next_id++, .kind = kind, .offset = offset, .bytes = bytes,
        .flags = flags, .bounce = bounce, .refs = 2,
        .co = qemu_coroutine_self(), .bh = req->bh, .disk = disk,
    };
    QTAILQ_INSERT_TAIL(&disk->requests, req, next);
    qatomic_inc(&under_way);
    if (kind != FT_DISK_READ && ft_stream_follows() &&
        behind + behind_size(req) <= BEHIND_MAX) {
        request_begin_behind(req);
    } else {
        req->ret = request_io(req);
        request_answered(req);
    }
    if (req->ret < 0) {
        stq_be_p(result, req->id);
        stl_be_p(result + 8, req->ret);
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
    if (ret >= 0 && qiov) {
        qemu_iovec_from_buf(qiov, 0, bounce, bytes);
    }
    request_unref(req);
    return ret;
}

FtDisk *ft_disk_requests_new(BlockDriverState *bs)
{
    FtDisk *disk = g_new0(FtDisk, 1);

    QTAILQ_INIT(&disk->requests);
    qemu_co_queue_init(&disk->overlap);
    disk->bs = bs;
    disk->bh = aio_bh_new(bdrv_get_aio_context(bs), drain_bh, disk);
    QTAILQ_INSERT_TAIL(&disks, disk, next);
    return disk;
}

void ft_disk_requests_free(FtDisk *disk)
{
    QTAILQ_REMOVE(&disks, disk, next);
    qemu_bh_delete(disk->bh);
    g_free(disk);
}

void ft_disk_requests_drain_begin(FtDisk *disk)
{
    if (disk->drained++ == 0) {
        disk->rounds = 0;
        qemu_bh_schedule(disk->bh);
    }
}

void ft_disk_requests_drain_end(FtDisk *disk)
{
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
