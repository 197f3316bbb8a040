/*
 * The disk guard as a driver of the block layer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/memalign.h"
#include "qemu/module.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "block/block-io.h"
#include "block/block_int.h"
#include "replay/ft-stream.h"
#include "disk.h"
#include "disk-request.h"

/*
 * A shared disk is no child of its guard: an active node can't have one that
 * is inactive, and to make it one later the graph would have to stand still,
 * which waits for the guest's requests.  The guard has its length.
 */
typedef struct Guard {
    FtDisk *disk;
    bool shared;
    int64_t length;
} Guard;

static FtDisk *disk_of(BlockDriverState *bs)
{
    Guard *guard = bs->opaque;

    return guard->disk;
}

/* False: *errp. */
static bool open_shared(Guard *guard, const char *name, Error **errp)
{
    BlockDriverState *below = bdrv_find_node(name);
    int64_t length = below ? bdrv_getlength(below) : -ENOENT;

    if (length < 0) {
        error_setg_errno(errp, -length, "disk '%s'", name);
        return false;
    }
    guard->shared = true;
    guard->length = length;
    return true;
}

static int disk_open(BlockDriverState *bs, QDict *options, int flags,
                     Error **errp)
{
    Guard *guard = bs->opaque;
    const char *name = qdict_get_try_str(options, "shared");
    int ret;

    /*
     * The block layer above makes requests of its own for flags that are
     * not supported here; that must not depend on this host's storage.
     */
    bs->supported_write_flags = bs->supported_zero_flags =
        BDRV_REQ_WRITE_UNCHANGED;
    guard->disk = ft_disk_requests_new(bs);
    if (name) {
        ret = open_shared(guard, name, errp) ? 0 : -EINVAL;
        qdict_del(options, "shared");
    } else {
        ret = bdrv_open_file_child(NULL, options, "file", bs, errp);
    }
    if (ret < 0) {
        ft_disk_requests_free(guard->disk);
    }
    return ret;
}

static void disk_close(BlockDriverState *bs)
{
    ft_disk_requests_free(disk_of(bs));
}

static int64_t coroutine_fn GRAPH_RDLOCK
disk_co_getlength(BlockDriverState *bs)
{
    Guard *guard = bs->opaque;

    return guard->shared ? guard->length : bdrv_co_getlength(bs->file->bs);
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
    if (!ft_stream_started()) {
        return bs->file ? bdrv_co_preadv(bs->file, offset, bytes, qiov, flags)
                        : -EIO;
    }
    return ft_disk_request(disk_of(bs), FT_DISK_READ, offset, bytes, NULL,
                           qiov, flags);
}

static int coroutine_fn GRAPH_RDLOCK
disk_co_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                QEMUIOVector *qiov, BdrvRequestFlags flags)
{
    void *bounce;

    if (!ft_stream_started()) {
        return bs->file ? bdrv_co_pwritev(bs->file, offset, bytes, qiov, flags)
                        : -EIO;
    }
    bounce = qemu_blockalign(bs->file ? bs->file->bs : bs, bytes);
    qemu_iovec_to_buf(qiov, 0, bounce, bytes);
    return ft_disk_request(disk_of(bs), FT_DISK_WRITE, offset, bytes, bounce,
                           NULL, flags);
}

static int coroutine_fn GRAPH_RDLOCK
disk_co_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      BdrvRequestFlags flags)
{
    if (!ft_stream_started()) {
        return bs->file ? bdrv_co_pwrite_zeroes(bs->file, offset, bytes, flags)
                        : -EIO;
    }
    return ft_disk_request(disk_of(bs), FT_DISK_ZEROES, offset, bytes, NULL,
                           NULL, flags);
}

static int coroutine_fn GRAPH_RDLOCK
disk_co_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    if (!ft_stream_started()) {
        return bs->file ? bdrv_co_pdiscard(bs->file, offset, bytes) : -EIO;
    }
    return ft_disk_request(disk_of(bs), FT_DISK_DISCARD, offset, bytes, NULL,
                           NULL, 0);
}

static int coroutine_fn GRAPH_RDLOCK disk_co_flush(BlockDriverState *bs)
{
    if (!ft_stream_started()) {
        return bs->file ? bdrv_co_flush(bs->file->bs) : 0;
    }
    return ft_disk_request(disk_of(bs), FT_DISK_FLUSH, 0, 0, NULL, NULL, 0);
}

/* As for any filter; what a shared disk has is between it and its storage. */
static int coroutine_fn GRAPH_RDLOCK
disk_co_block_status(BlockDriverState *bs, bool want_zero,
                     int64_t offset, int64_t bytes, int64_t *pnum, int64_t *map,
                     BlockDriverState **file)
{
    *pnum = bytes;
    if (!bs->file) {
        return BDRV_BLOCK_DATA;
    }
    *map = offset;
    *file = bs->file->bs;
    return BDRV_BLOCK_RAW | BDRV_BLOCK_OFFSET_VALID;
}

static void disk_drain_begin(BlockDriverState *bs)
{
    ft_disk_requests_drain_begin(disk_of(bs));
}

static void disk_drain_end(BlockDriverState *bs)
{
    ft_disk_requests_drain_end(disk_of(bs));
}

static BlockDriver bdrv_ft_disk_guard = {
    .format_name = "ft-disk-guard",
    .instance_size = sizeof(Guard),
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
    .bdrv_co_block_status = disk_co_block_status,
    .bdrv_drain_begin = disk_drain_begin,
    .bdrv_drain_end = disk_drain_end,
};

bool ft_disk_share(BlockDriverState *bs, BlockDriverState *below,
                   Error **errp)
{
    return ft_disk_requests_share(disk_of(bs), below, errp);
}

BlockDriverState *ft_disk_below(BlockDriverState *bs)
{
    Guard *guard = bs->opaque;

    if (bs->drv != &bdrv_ft_disk_guard) {
        return bs;
    }
    return guard->shared ? ft_disk_requests_below(guard->disk) : bs->file->bs;
}

static void register_driver(void)
{
    bdrv_register(&bdrv_ft_disk_guard);
}

block_init(register_driver);
