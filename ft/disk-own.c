/*
 * The way to a disk of this side's own.
 *
 * A backup need not have written what its guest is told is written: the
 * primary has, and the log says so.  There the event of a write or a flush is
 * queued at once, and the I/O is done behind the guest: in order where it
 * overlaps, a flush after all writes before it, reads after the writes they
 * overlap, all of it before the backup goes live (ft_disk_settled()).  So a
 * slow disk of the backup does not make it lag.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "block/block-io.h"
#include "block/coroutines.h"
#include "system/replay.h"
#include "replay/ft-stream.h"
#include "disk-internal.h"

/* What a backup's disk may still have to write; a request counts more. */
#define BEHIND_MAX (16 * MiB)
#define BEHIND_REQUEST (4 * KiB)

static size_t behind;           /* bytes that no guest waits for */

bool ft_disk_own_settled(void)
{
    return !behind;
}

/* On the backup the primary's result counts, not that of its own disk. */
void ft_disk_own_settle(FtDiskRequest *req)
{
    if (!ft_disk_request_take_result(req) && req->ret < 0 &&
        replay_mode == REPLAY_MODE_PLAY) {
        ft_disk_request_failed(FT_DISK_FAILED_HERE, req->ret);
    }
}

static bool has_to_wait(FtDiskRequest *req)
{
    FtDiskRequest *r;

    QTAILQ_FOREACH(r, &req->disk->requests, next) {
        if (r == req) {
            return false;
        }
        if (r->io_done ||
            (!ft_disk_request_changes(r) && !ft_disk_request_changes(req))) {
            continue;
        }
        if (ft_disk_request_overlaps(r, req)) {
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
    while (has_to_wait(req)) {
        qemu_co_queue_wait(&req->disk->overlap, NULL);
    }
    return ft_disk_request_io(req, req->disk->bs->file);
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
        ft_disk_request_failed(FT_DISK_FAILED_HERE, ret);
    }
    ft_disk_request_answered(req);
    ft_disk_request_leave(req);
    behind -= behind_size(req);
    if (!behind) {
        ft_stream_settled();
    }
    ft_disk_request_unref(req);
    bdrv_dec_in_flight(bs);
}

static void coroutine_fn begin_behind(FtDiskRequest *req)
{
    req->behind = true;
    req->refs++;
    behind += behind_size(req);
    bdrv_inc_in_flight(req->disk->bs);
    qemu_coroutine_enter(qemu_coroutine_create(behind_entry, req));
}

void coroutine_fn GRAPH_RDLOCK ft_disk_own_begin(FtDiskRequest *req)
{
    ft_disk_request_begun(req);
    if (req->kind != FT_DISK_READ && ft_stream_follows() &&
        behind + behind_size(req) <= BEHIND_MAX) {
        begin_behind(req);
    } else {
        req->ret = request_io(req);
        ft_disk_request_answered(req);
    }
    ft_disk_request_put_result(req);
    ft_disk_request_queue_event(req);
}
