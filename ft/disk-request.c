/*
 * Requests of the disk guard, as the guest sees them.
 *
 * A request's life:  begin (it gets its id; it waits for earlier requests
 * that overlap) -> I/O on the disk below, into a bounce buffer -> its event
 * is queued -> the engine logs, or finds in the log, the event -> the data
 * is copied to the guest and the request completes.  What happens between
 * the guest and the disk below is in disk-own.c and disk-shared.c.
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
#include "block/block-io.h"
#include "block/coroutines.h"
#include "system/replay.h"
#include "replay/ft-stream.h"
#include "disk-internal.h"
#include "ft.h"
#include "trace.h"

/* After so many rounds what was scheduled before a drain has run: the bottom
   halves of one round run in no order that counts. */
#define DRAIN_ROUNDS 2

/* Far more than all devices together have under way. */
#define RESULTS_MAX 65536

FtDisks ft_disk_list = QTAILQ_HEAD_INITIALIZER(ft_disk_list);
static uint64_t next_id;
static GHashTable *results;     /* id -> -errno of the primary's disk */
static FtDiskFailFn *fail_fn;
static int under_way;           /* atomic: what this side's disks have to do */
static GQueue spare = G_QUEUE_INIT;     /* requests that were used */

bool ft_disk_busy(void)
{
    return qatomic_read(&under_way) > 0;
}

bool ft_disk_settled(void)
{
    return ft_disk_own_settled() && ft_disk_shared_settled();
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

static void set_result(uint64_t id, int ret)
{
    uint64_t *key = g_memdup2(&id, sizeof(id));

    g_hash_table_insert(results, key, GINT_TO_POINTER(ret));
    if (g_hash_table_size(results) > RESULTS_MAX) {
        ft_stream_fail("the log has results of %d disk requests that this "
                       "guest does not make", RESULTS_MAX);
    }
}

void ft_disk_request_failed(const char *what, int ret)
{
    g_autofree char *why = g_strdup_printf(what, strerror(-ret));

    fail_fn(why);
}

/* --- one request ---------------------------------------------------------- */

static void request_event(void *opaque);

/* With their bottom halves: to delete one wakes the main loop. */
static FtDiskRequest *request_new(FtDisk *disk)
{
    FtDiskRequest *req = g_queue_pop_head(&spare);

    if (!req) {
        req = g_new0(FtDiskRequest, 1);
        req->bh = aio_bh_new(bdrv_get_aio_context(disk->bs), request_event,
                             req);
    }
    *req = (FtDiskRequest) { .bh = req->bh, .disk = disk, .refs = 1 };
    return req;
}

void ft_disk_request_unref(FtDiskRequest *req)
{
    if (--req->refs == 0) {
        qemu_vfree(req->bounce);
        if (req->data) {
            g_byte_array_unref(req->data);
        }
        g_queue_push_head(&spare, req);
    }
}

void ft_disk_request_leave(FtDiskRequest *req)
{
    if (req->completed && req->io_done) {
        QTAILQ_REMOVE(&req->disk->requests, req, next);
    }
}

void ft_disk_request_begun(FtDiskRequest *req)
{
    if (req->kind == FT_DISK_READ && !req->bounce) {
        req->bounce = qemu_blockalign(req->disk->bs, req->bytes);
    }
    qatomic_inc(&under_way);
}

void coroutine_fn ft_disk_request_answered(FtDiskRequest *req)
{
    req->io_done = true;
    qatomic_dec(&under_way);
    qemu_co_queue_restart_all(&req->disk->overlap);
}

int coroutine_fn GRAPH_RDLOCK ft_disk_request_io(FtDiskRequest *req,
                                                 BdrvChild *file)
{
    int64_t at = req->offset, size = req->bytes;

    switch (req->kind) {
    case FT_DISK_READ:
        return bdrv_co_pread(file, at, size, req->bounce, req->flags);
    case FT_DISK_WRITE:
        return bdrv_co_pwrite(file, at, size, req->bounce, req->flags);
    case FT_DISK_ZEROES:
        return bdrv_co_pwrite_zeroes(file, at, size, req->flags);
    case FT_DISK_DISCARD:
        /* On two disks each host decides what is read there then. */
        return req->disk->shared ? bdrv_co_pdiscard(file, at, size) : 0;
    case FT_DISK_FLUSH:
        return bdrv_co_flush(file->bs);
    }
    g_assert_not_reached();
}

void ft_disk_request_put_result(FtDiskRequest *req)
{
    uint8_t result[12];

    if (req->ret < 0) {
        stq_be_p(result, req->id);
        stl_be_p(result + 8, req->ret);
        ft_stream_put_control(FT_CONTROL_DISK_RESULT, result, sizeof(result));
    }
}

bool ft_disk_request_take_result(FtDiskRequest *req)
{
    void *ret;

    if (!g_hash_table_steal_extended(results, &req->id, NULL, &ret)) {
        return false;
    }
    req->ret = GPOINTER_TO_INT(ret);
    return true;
}

void ft_disk_request_queue_event(FtDiskRequest *req)
{
    if (!req->event_queued) {
        req->event_queued = true;
        req->refs++;
        replay_block_event(req->bh, req->id);
    }
    if (req->disk->drained) {
        /* Not from this coroutine: the others would go on after it. */
        qemu_bh_schedule(req->disk->bh);
    }
}

static void request_settle(FtDiskRequest *req)
{
    if (req->disk->shared) {
        ft_disk_shared_settle(req);
    } else {
        ft_disk_own_settle(req);
    }
}

static void request_complete(FtDiskRequest *req)
{
    trace_ft_disk_end(req->id, req->ret, req->disk->drained);
    req->completed = true;
    ft_disk_request_leave(req);
    aio_co_wake(req->co);
}

/* The engine runs the request's event. */
static void request_event(void *opaque)
{
    FtDiskRequest *req = opaque;

    req->event_queued = false;
    ft_disk_reads_completed(req, true);
    if (!req->completed && !ft_disk_shared_takes_longer(req)) {
        request_settle(req);
        if (req->disk->shared) {
            req->io_done = true;        /* if not here, on the primary */
            ft_disk_shared_ended(req);
        }
        request_complete(req);
    }
    ft_disk_request_unref(req);
}

static uint8_t *data_of(const FtDiskRequest *req)
{
    return req->data ? req->data->data : req->bounce;
}

int coroutine_fn ft_disk_request(FtDisk *disk, FtDiskKind kind, int64_t offset,
                                 int64_t bytes, void *bounce,
                                 QEMUIOVector *qiov, BdrvRequestFlags flags)
{
    FtDiskRequest *req = request_new(disk);
    int ret;

    req->id = next_id++;
    req->kind = kind;
    req->offset = offset;
    req->bytes = bytes;
    req->flags = flags;
    req->bounce = bounce;
    req->co = qemu_coroutine_self();
    QTAILQ_INSERT_TAIL(&disk->requests, req, next);
    trace_ft_disk_begin(req->id, kind, offset, bytes);
    if (disk->shared) {
        ft_disk_shared_begin(req);
    } else {
        ft_disk_own_begin(req);
    }
    if (!req->completed) {
        qemu_coroutine_yield();
    }
    ret = req->ret;
    if (ret >= 0 && qiov) {
        qemu_iovec_from_buf(qiov, 0, data_of(req), bytes);
    }
    ft_disk_request_unref(req);
    return ret;
}

/* --- what the log says of requests ---------------------------------------- */

static FtDiskRequest *find_request(uint64_t id)
{
    FtDisk *disk;
    FtDiskRequest *req;

    QTAILQ_FOREACH(disk, &ft_disk_list, next) {
        QTAILQ_FOREACH(req, &disk->requests, next) {
            if (req->id == id) {
                return req;
            }
        }
    }
    return NULL;
}

void ft_disk_run(FtControl code, const uint8_t *data, size_t size)
{
    uint64_t id = ldq_be_p(data);
    FtDiskRequest *req;

    switch (code) {
    case FT_CONTROL_DISK_RESULT:
        set_result(id, (int32_t)ldl_be_p(data + 8));
        break;
    case FT_CONTROL_DISK_DATA:
        if (!ft_disk_data_take(data, size)) {
            ft_stream_fail("the log has data of disk request %" PRIu64
                           " that do not follow those before", id);
        }
        break;
    case FT_CONTROL_DISK_DONE:
        req = find_request(id);
        if (req && !req->disk->shared) {
            ft_stream_fail("the log has disk request %" PRIu64 " done on a "
                           "shared disk, and this side's own disk does it",
                           id);
        } else if (req) {
            ft_disk_shared_done(req);
        }
        break;
    default:
        g_assert_not_reached();
    }
}

/* --- drains --------------------------------------------------------------- */

static bool can_complete(FtDisk *disk)
{
    FtDiskRequest *req;

    /* What the log says of this very instruction. */
    ft_stream_catch_up();
    if (disk->shared) {
        return ft_disk_shared_can_complete(disk);
    }
    QTAILQ_FOREACH(req, &disk->requests, next) {
        if (!req->io_done && !req->behind) {
            return false;
        }
    }
    return true;
}

/*
 * A drain waits for what its side has to do, which differs: a backup may be
 * behind where its primary has done all.  So whether bottom halves run in it
 * follows from what the guest sees: it waits for them if that is anything.
 */
static void hold(FtDisk *disk)
{
    FtDiskRequest *req;

    disk->looked_for = ft_oneshot_waits();
    QTAILQ_FOREACH(req, &disk->requests, next) {
        disk->looked_for |= !req->completed;
    }
    if (disk->looked_for) {
        disk->holds = true;
        bdrv_inc_in_flight(disk->bs);
    }
}

static void let_go(FtDisk *disk)
{
    if (disk->holds) {
        disk->holds = false;
        bdrv_dec_in_flight(disk->bs);
    }
}

/* What is begun by somebody whose request completes here is not done yet. */
static void complete_drained(FtDisk *disk)
{
    uint64_t end = next_id;
    FtDiskRequest *req, *tmp;

    if (!can_complete(disk)) {
        return;
    }
    QTAILQ_FOREACH_SAFE(req, &disk->requests, next, tmp) {
        if (!req->completed && req->id < end) {
            request_settle(req);
            if (disk->shared) {
                ft_disk_shared_completes(req);
            }
            request_complete(req);
        }
    }
    if (disk->looked_for) {
        ft_oneshot_flush();     /* some drain until that is done as well */
    }
    let_go(disk);
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

void ft_disk_requests_drain_begin(FtDisk *disk)
{
    if (disk->drained++ == 0) {
        hold(disk);
        disk->rounds = 0;
        qemu_bh_schedule(disk->bh);
    }
}

void ft_disk_requests_drain_end(FtDisk *disk)
{
    if (--disk->drained == 0) {
        let_go(disk);
        qemu_bh_cancel(disk->bh);
        if (disk->shared) {
            ft_disk_shared_kick();
        }
    }
}

void ft_disk_drain(void)
{
    FtDisk *disk;

    if (ft_stream_started()) {
        QTAILQ_FOREACH(disk, &ft_disk_list, next) {
            bdrv_drain(disk->bs);
        }
    }
}

/*
 * Somebody waits until no request is in the block graph, to change it; the
 * engine can't run events meanwhile, and upstream drains nothing when events
 * are recorded.  Requests of a shared disk stay: its graph does not change
 * while its guest runs.
 *
 * What completes so is in no log's order, which is right as long as there is
 * none: graphs change while a machine begins, while it runs alone and its
 * disks are copied to a new backup, and when it ends.
 */
void ft_disk_graph_begin(void)
{
    FtDisk *disk;

    QTAILQ_FOREACH(disk, &ft_disk_list, next) {
        if (!disk->shared) {
            ft_disk_requests_drain_begin(disk);
        }
    }
}

void ft_disk_graph_end(void)
{
    FtDisk *disk;

    QTAILQ_FOREACH(disk, &ft_disk_list, next) {
        if (!disk->shared) {
            ft_disk_requests_drain_end(disk);
        }
    }
}

/* --- one disk ------------------------------------------------------------- */

FtDisk *ft_disk_requests_new(BlockDriverState *bs)
{
    FtDisk *disk = g_new0(FtDisk, 1);

    QTAILQ_INIT(&disk->requests);
    qemu_co_queue_init(&disk->overlap);
    disk->bs = bs;
    disk->bh = aio_bh_new(bdrv_get_aio_context(bs), drain_bh, disk);
    QTAILQ_INSERT_TAIL(&ft_disk_list, disk, next);
    return disk;
}

void ft_disk_requests_free(FtDisk *disk)
{
    QTAILQ_REMOVE(&ft_disk_list, disk, next);
    ft_disk_shared_free(disk);
    qemu_bh_delete(disk->bh);
    g_free(disk);
}
