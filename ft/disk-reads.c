/*
 * A backup that reads the shared disk itself (M23), instead of from the log.
 *
 * It reads when its guest asks, which is later than the primary did, and has
 * to find the same:
 *
 *   an earlier change of the same blocks that the log has not completed may
 *   be on the disk or not; the backup takes those blocks from that request,
 *   as the primary does when it was not (disk-order.c)
 *
 *   a later change of the same blocks waits, on the primary, until the backup
 *   has executed the read's completion.  Acknowledged would not do: that
 *   means received
 *
 *   a discard leaves it to the storage what is read then, so none is done
 *
 * A read that fails here only is tried again, until this side gives up: what
 * it would find is not known, so its guest is never told anything of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/coroutine.h"
#include "qemu/error-report.h"
#include "block/block-io.h"
#include "replay/ft-stream.h"
#include "disk-internal.h"
#include "limits.h"
#include "options.h"

/* A read that failed here is tried again after this. */
#define AGAIN_NS (100 * SCALE_MS)
/* And until then; before the watch, which knows less, has enough of it. */
#define GIVE_UP_US ((FT_STUCK_DISK_MS - 1000) * 1000LL)

/* Primary: a read that the backup may still have to do. */
typedef struct Recent {
    uint64_t id;
    int64_t offset, end;
    uint64_t position;          /* of its completion in the log */
} Recent;

static struct {
    uint64_t executed;          /* atomic: by the backup, of this log */
    bool wanted;                /* atomic: a change waits for that */
    bool stale;                 /* atomic: what is told is of another log */
} reads;

bool ft_disk_reads_own(void)
{
    return ft_options.own_reads;
}

/* --- primary -------------------------------------------------------------- */

static void forget_all(void)
{
    FtDisk *disk;

    QTAILQ_FOREACH(disk, &ft_disk_list, next) {
        g_queue_clear_full(&disk->recent, g_free);
    }
}

void ft_disk_reads_begin_log(void)
{
    forget_all();
    qatomic_set(&reads.executed, 0);
    qatomic_set(&reads.stale, true);
}

void ft_disk_reads_end_log(void)
{
    forget_all();
    ft_disk_shared_kick();
}

void ft_disk_executed(uint64_t position)
{
    if (qatomic_read(&reads.stale)) {
        if (position) {
            return;
        }
        qatomic_set(&reads.stale, false);
    }
    qatomic_set(&reads.executed, position);
    smp_mb();
    if (qatomic_xchg(&reads.wanted, false)) {
        ft_disk_shared_kick();
    }
}

static Recent *find_recent(FtDisk *disk, uint64_t id)
{
    for (GList *l = disk->recent.tail; l; l = l->prev) {
        Recent *r = l->data;

        if (r->id == id) {
            return r;
        }
    }
    return NULL;
}

static void forget_executed(FtDisk *disk)
{
    uint64_t executed = qatomic_read(&reads.executed);
    Recent *r;

    while ((r = g_queue_peek_head(&disk->recent)) &&
           r->position <= executed) {
        g_free(g_queue_pop_head(&disk->recent));
    }
}

/* A drain completes a request before its event; both come here. */
void ft_disk_reads_completed(const FtDiskRequest *req, bool by_event)
{
    FtDisk *disk = req->disk;
    Recent *r;

    if (!ft_options.own_reads || req->kind != FT_DISK_READ ||
        replay_mode == REPLAY_MODE_PLAY ||
        (replay_mode == REPLAY_MODE_RECORD && !ft_stream_writes_log())) {
        return;
    }
    forget_executed(disk);
    r = find_recent(disk, req->id);
    if (!r) {
        r = g_new(Recent, 1);
        *r = (Recent) { req->id, req->offset, req->offset + req->bytes,
                        UINT64_MAX };
        g_queue_push_tail(&disk->recent, r);
    }
    if (by_event) {
        r->position = ft_stream_log_position();
    }
}

static bool is_recent(const FtDiskRequest *req)
{
    uint64_t executed = qatomic_read(&reads.executed);

    for (GList *l = req->disk->recent.head; l; l = l->next) {
        const Recent *r = l->data;

        if (r->position > executed && r->offset < req->offset + req->bytes &&
            req->offset < r->end) {
            return true;
        }
    }
    return false;
}

bool ft_disk_reads_hold(const FtDiskRequest *req)
{
    /* Also when the process ends: its backup may not have executed all. */
    if (!ft_options.own_reads || !is_recent(req)) {
        return false;
    }
    /* Whoever tells that more is executed sees this, or is seen here. */
    qatomic_set(&reads.wanted, true);
    smp_mb();
    return is_recent(req);
}

/* --- backup --------------------------------------------------------------- */

static int coroutine_fn read_again_and_again(FtDiskRequest *req)
{
    int64_t since_us = 0;
    bool given_up = false;
    int ret;

    for (;;) {
        WITH_GRAPH_RDLOCK_GUARD() {
            ret = ft_disk_request_io(
                req, (BdrvChild *)blk_root(req->disk->shared));
        }
        if (ret >= 0 || ft_disk_request_take_result(req)) {
            return ret;
        }
        if (!ft_stream_follows()) {
            return ft_disk_shared_io(req);      /* it is its disk by now */
        }
        if (!since_us) {
            warn_report("ft: this side can't read the shared disk (%s); "
                        "trying again", strerror(-ret));
            since_us = g_get_monotonic_time();
        } else if (!given_up &&
                   g_get_monotonic_time() - since_us > GIVE_UP_US) {
            ft_disk_request_failed("this side can't read the shared disk "
                                   "(%s), and with reads=own it has to", ret);
            given_up = true;
        }
        qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, AGAIN_NS);
    }
}

static void coroutine_fn read_entry(void *opaque)
{
    FtDiskRequest *req = opaque;
    BlockDriverState *bs = req->disk->bs;
    g_autoptr(GPtrArray) writes = ft_disk_order_unwritten(req);
    int ret;

    req->issued = true;
    bdrv_inc_in_flight(bs);
    ft_disk_request_begun(req);
    ret = read_again_and_again(req);
    if (ret >= 0 && writes) {
        ft_disk_shared_take_unwritten(req, writes);
    } else if (ret < 0 && req->ret >= 0) {
        req->ret = ret;
    }
    ft_disk_request_answered(req);
    ft_disk_request_queue_event(req);
    ft_disk_request_unref(req);
    bdrv_dec_in_flight(bs);
}

void ft_disk_reads_begin(FtDiskRequest *req)
{
    req->io_begun = true;
    req->refs++;
    qemu_coroutine_enter(qemu_coroutine_create(read_entry, req));
}
