/*
 * The way to a disk that both sides share.
 *
 * A primary's request waits for its turn (disk-order.c), goes to the disk
 * below, and its outcome, with the data that were read, goes into the log.
 *
 * A backup neither reads nor writes.  Its disk is open, but inactive, as
 * QEMU's own incoming migration has it: without lock, without permission to
 * write, and with nothing of it cached for good.  The event of a request is
 * queued when the guest makes it, and the log says how it ends.  To go live
 * the backup activates the disk; requests that began and did not end, by the
 * log, are then done by it, in their order.  The primary may have done them,
 * too: the same bytes are written once more (M8).
 *
 * When a disk is drained its requests complete for the guest in the midst of
 * one instruction (disk-request.c).  One that waits for the backup's
 * acknowledgement can't wait there: what the backup would have to acknowledge
 * ends with that very instruction.  So it completes, as far as the guest
 * sees, and is done afterwards; until then it is owed.  A device reset asks
 * for no more, and a later flush waits for it.  The backup takes every change
 * that ended so for owed, until DISK_DONE, and does it when it goes live.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/memalign.h"
#include "qemu/timer.h"
#include "block/block-global-state.h"
#include "block/block-io.h"
#include "replay/ft-stream.h"
#include "disk-fault.h"
#include "disk-internal.h"
#include "fence.h"
#include "gate.h"

/* A disk that can't be had is asked for again after this. */
#define ACTIVATE_AGAIN_MS 100

static struct {
    bool active;                /* this machine may use the disks */
    QEMUTimer *timer;           /* tries to get them */
    char *why;                  /* that did not do; NULL: it did */
    QEMUBH *kick;
} shared;

/* --- a primary's requests ------------------------------------------------- */

/* What the guest wrote before, and the disk does not have yet. */
void ft_disk_shared_take_unwritten(FtDiskRequest *req, GPtrArray *writes)
{
    for (guint i = 0; i < writes->len; i++) {
        const FtDiskRequest *w = g_ptr_array_index(writes, i);
        int64_t from = MAX(w->offset, req->offset);
        int64_t to = MIN(w->offset + w->bytes, req->offset + req->bytes);
        uint8_t *at = (uint8_t *)req->bounce + (from - req->offset);

        if (w->kind == FT_DISK_WRITE) {
            memcpy(at, (uint8_t *)w->bounce + (from - w->offset), to - from);
        } else if (w->kind == FT_DISK_ZEROES) {
            memset(at, 0, to - from);
        }
    }
}

/*
 * A format (qcow2) may keep in this process where it put what was written,
 * until a flush.  Who takes over looks for that on the disk, for whatever the
 * guest was told is written.
 */
static int coroutine_fn GRAPH_RDLOCK write_tables(BlockDriverState *bs)
{
    int ret = 0;

    for (; bs && bs->drv && ret >= 0; bs = bdrv_primary_bs(bs)) {
        if (bs->drv->is_format && bs->drv->bdrv_co_flush_to_os) {
            bdrv_inc_in_flight(bs);
            ret = bs->drv->bdrv_co_flush_to_os(bs);
            bdrv_dec_in_flight(bs);
        }
    }
    return ret;
}

static int coroutine_fn GRAPH_RDLOCK do_request(FtDiskRequest *req)
{
    BdrvChild *root = (BdrvChild *)blk_root(req->disk->shared);
    int ret = ft_disk_request_io(req, root);

    return ret >= 0 && ft_disk_request_changes(req) ? write_tables(root->bs)
                                                    : ret;
}

int coroutine_fn ft_disk_shared_io(FtDiskRequest *req)
{
    g_autoptr(GPtrArray) writes = NULL;
    unsigned tries = 0;
    int ret;

    if (req->kind == FT_DISK_READ) {
        writes = ft_disk_order_unwritten(req);
    } else if (req->kind == FT_DISK_DISCARD && ft_disk_reads_own()) {
        return 0;               /* who reads there would find anything */
    }
    do {
        ft_fence_enter();
        WITH_GRAPH_RDLOCK_GUARD() {
            ret = do_request(req);
        }
    } while (ft_fence_leave(ret, &tries));
    if (ret >= 0 && writes) {
        ft_disk_shared_take_unwritten(req, writes);
    }
    return ret;
}

static void put_done(const FtDiskRequest *req)
{
    uint8_t id[8];

    if (req->kind != FT_DISK_READ) {
        stq_be_p(id, req->id);
        ft_stream_put_control(FT_CONTROL_DISK_DONE, id, sizeof(id));
    }
}

static void outcome(FtDiskRequest *req, int ret)
{
    if (!req->completed) {
        req->ret = ret;
        if (ret >= 0 && req->kind == FT_DISK_READ && !ft_disk_reads_own()) {
            ft_disk_data_put(req);
        }
        ft_disk_request_put_result(req);
        ft_disk_request_queue_event(req);
    } else if (ret < 0) {
        ft_disk_request_failed("the shared disk failed (%s) in a request that "
                               "the guest was told is done", ret);
    } else {
        put_done(req);
    }
}

static void fault_bh(void *opaque)
{
    ft_disk_fault_at(FT_DISK_POINT_ISSUED, 0);
}

/* While the disk has it, but not at once. */
static void fault_issued(void)
{
    if (ft_disk_fault_is_at(FT_DISK_POINT_ISSUED)) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), fault_bh, NULL);
    }
}

static void coroutine_fn io_entry(void *opaque)
{
    FtDiskRequest *req = opaque;
    BlockDriverState *bs = req->disk->bs;
    int ret;

    while (ft_disk_order_has_to_wait(req)) {
        qemu_co_queue_wait(&req->disk->overlap, NULL);
    }
    req->issued = true;
    bdrv_inc_in_flight(bs);
    ft_disk_request_begun(req);
    if (req->kind == FT_DISK_WRITE) {
        fault_issued();
    }
    ret = ft_disk_shared_io(req);
    if (req->kind == FT_DISK_WRITE) {
        ft_disk_fault_at(FT_DISK_POINT_COMPLETED, 0);
    }
    ft_disk_request_answered(req);
    outcome(req, ret);
    ft_disk_request_leave(req);
    ft_disk_request_unref(req);
    bdrv_dec_in_flight(bs);
}

static void begin_io(FtDiskRequest *req)
{
    req->io_begun = true;
    req->refs++;
    qemu_coroutine_enter(qemu_coroutine_create(io_entry, req));
}

void coroutine_fn ft_disk_shared_begin(FtDiskRequest *req)
{
    if (!shared.active) {
        if (req->kind == FT_DISK_READ && ft_disk_reads_own() &&
            ft_stream_follows()) {
            ft_disk_reads_begin(req);
        } else {
            ft_disk_request_queue_event(req);
        }
        return;
    }
    if (ft_disk_request_changes(req)) {
        req->position = ft_stream_output_position();
        ft_disk_fault_at(FT_DISK_POINT_SUBMITTED, req->position);
    }
    begin_io(req);
    if (req->disk->drained) {
        qemu_bh_schedule(req->disk->bh);
    }
}

void ft_disk_shared_ended(const FtDiskRequest *req)
{
    if (ft_disk_request_changes(req) && req->io_begun) {
        ft_disk_fault_at(FT_DISK_POINT_ENDED,
                         ft_disk_fault_is_at(FT_DISK_POINT_DELIVERED)
                         ? ft_stream_output_position() : 0);
    }
}

bool ft_disk_shared_takes_longer(const FtDiskRequest *req)
{
    return req->io_begun && !req->io_done;
}

/* --- a backup's requests -------------------------------------------------- */

void ft_disk_shared_settle(FtDiskRequest *req)
{
    if (ft_disk_request_take_result(req) || req->io_begun ||
        req->kind != FT_DISK_READ) {
        return;
    }
    req->data = ft_disk_data_steal(req->id, req->bytes);
    if (!req->data) {
        if (ft_stream_follows()) {
            ft_stream_fail("the log completes the read of %" PRId64 " bytes "
                           "by disk request %" PRIu64 ", and does not have "
                           "them", req->bytes, req->id);
        }
        req->ret = -EIO;        /* the process ends; nobody sees it */
    }
}

void ft_disk_shared_done(FtDiskRequest *req)
{
    if (!req->io_begun && !req->io_done) {
        req->io_done = true;
        if (req->completed) {
            ft_disk_request_leave(req);
            ft_disk_request_unref(req);
        }
    }
}

/* --- drains --------------------------------------------------------------- */

bool ft_disk_shared_can_complete(FtDisk *disk)
{
    FtDiskRequest *req;

    ft_disk_order_mark_put_off(disk);
    QTAILQ_FOREACH(req, &disk->requests, next) {
        if (req->io_begun && !req->io_done && !req->put_off) {
            return false;
        }
    }
    return true;
}

void ft_disk_shared_completes(FtDiskRequest *req)
{
    ft_disk_reads_completed(req, false);
    if (req->io_begun) {
        if (req->io_done) {
            put_done(req);
        }
        ft_disk_request_queue_event(req);
    } else if (req->kind == FT_DISK_READ || req->ret < 0) {
        req->io_done = true;
    } else if (!req->io_done) {
        req->refs++;                    /* owed */
    }
}

/*
 * In a coroutine the others go on when it ends; else each would go on at once,
 * and if it waits again be found again in the queue.
 */
static void coroutine_fn kick_entry(void *opaque)
{
    FtDisk *disk;

    QTAILQ_FOREACH(disk, &ft_disk_list, next) {
        qemu_co_queue_restart_all(&disk->overlap);
    }
}

static void kick_bh(void *opaque)
{
    qemu_coroutine_enter(qemu_coroutine_create(kick_entry, NULL));
}

void ft_disk_shared_kick(void)
{
    if (shared.kick) {
        qemu_bh_schedule(shared.kick);
    }
}

/* --- the disk changes hands ----------------------------------------------- */

bool ft_disk_shared_use(Error **errp)
{
    ERRP_GUARD();
    FtDisk *disk;

    QTAILQ_FOREACH(disk, &ft_disk_list, next) {
        BlockBackend *blk = disk->shared;

        if (blk &&
            (blk_set_perm(blk, BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE,
                          BLK_PERM_CONSISTENT_READ |
                          BLK_PERM_WRITE_UNCHANGED, errp) < 0 ||
             bdrv_activate(blk_bs(blk), errp) < 0)) {
            return false;
        }
    }
    shared.active = true;
    return true;
}

static void activate(void *opaque)
{
    Error *err = NULL;

    if (shared.active) {
        return;
    }
    if (ft_disk_shared_use(&err)) {
        g_clear_pointer(&shared.why, g_free);
        ft_stream_settled();
        return;
    }
    if (g_strcmp0(shared.why, error_get_pretty(err))) {
        g_free(shared.why);
        shared.why = g_strdup(error_get_pretty(err));
        warn_report("ft: waits for the shared disk: %s", shared.why);
    }
    error_free(err);
    timer_mod(shared.timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
              ACTIVATE_AGAIN_MS);
}

bool ft_disk_shared_settled(void)
{
    FtDisk *disk;

    QTAILQ_FOREACH(disk, &ft_disk_list, next) {
        if (disk->shared && !shared.active) {
            timer_mod(shared.timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME));
            return false;
        }
    }
    return true;
}

void ft_disk_go_live(void)
{
    g_autoptr(GPtrArray) again = g_ptr_array_new();
    FtDisk *disk;
    FtDiskRequest *req;

    QTAILQ_FOREACH(disk, &ft_disk_list, next) {
        QTAILQ_FOREACH(req, &disk->requests, next) {
            if (disk->shared && !req->io_begun) {
                g_ptr_array_add(again, req);
            }
        }
    }
    for (guint i = 0; i < again->len; i++) {
        req = g_ptr_array_index(again, i);
        ft_disk_request_take_result(req);
        req->ret = 0;
        begin_io(req);
        if (req->completed) {
            ft_disk_request_unref(req);
        }
    }
    ft_disk_data_forget();
}

/* --- one disk ------------------------------------------------------------- */

bool ft_disk_requests_share(FtDisk *disk, BlockDriverState *below,
                            Error **errp)
{
    BlockBackend *blk = blk_new(bdrv_get_aio_context(disk->bs), 0,
                                BLK_PERM_ALL);

    blk_set_force_allow_inactivate(blk);
    if (blk_insert_bs(blk, below, errp) < 0) {
        blk_unref(blk);
        return false;
    }
    disk->shared = blk;
    if (!shared.kick) {
        shared.kick = qemu_bh_new(kick_bh, NULL);
        shared.timer = timer_new_ms(QEMU_CLOCK_REALTIME, activate, NULL);
        ft_gate_set_watcher(ft_disk_shared_kick);
    }
    return true;
}

BlockDriverState *ft_disk_requests_below(FtDisk *disk)
{
    return blk_bs(disk->shared);
}

void ft_disk_shared_free(FtDisk *disk)
{
    g_queue_clear_full(&disk->recent, g_free);
    if (disk->shared) {
        blk_unref(disk->shared);
    }
}

/*
 * What need not wait goes to the disk at once, and what waits for that when it
 * is answered.  The rest the guest knows to be neither written nor flushed.
 */
static bool is_unfinished(void)
{
    FtDisk *disk;
    FtDiskRequest *req;

    QTAILQ_FOREACH(disk, &ft_disk_list, next) {
        QTAILQ_FOREACH(req, &disk->requests, next) {
            if (req->issued && !req->io_done) {
                return true;
            }
        }
    }
    return false;
}

void ft_disk_finish(void)
{
    if (shared.kick) {
        kick_bh(NULL);
        AIO_WAIT_WHILE_UNLOCKED(NULL, is_unfinished());
    }
}

void ft_disk_status(FtDiskStatus *status)
{
    FtDisk *disk;
    FtDiskRequest *req;

    memset(status, 0, sizeof(*status));
    status->active = shared.active;
    status->why = shared.why;
    QTAILQ_FOREACH(disk, &ft_disk_list, next) {
        QTAILQ_FOREACH(req, &disk->requests, next) {
            if (disk->shared && !req->io_done) {
                status->unfinished++;
                status->held += req->io_begun && !req->issued &&
                    ft_disk_request_changes(req);
            }
        }
    }
}
