/*
 * Reads of what the host has in memory.
 *
 * A disk's data go from a worker thread to the main loop and from there to
 * the vCPU: with threads to be woken for each step that takes longer than to
 * copy 128 KiB, and most of what a guest reads twice the host has cached.  So
 * the vCPU's thread, which got the request from its guest, asks the kernel for
 * what it has without waiting for a disk.  If that is not all of it, a worker
 * reads as ever.
 *
 * This is about how soon this side has the data.  The guest gets them, and
 * learns of the completion, where the log says so (disk-request.c): so the
 * primary may find them in memory and the backup not, or the other way round.
 *
 * Thread: any; it does nothing but in the vCPU's, with BQL and replay mutex.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/uio.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include "block/block_int-common.h"
#include "hw/core/cpu.h"
#include "replay/ft-stream.h"
#include "ft.h"

/* A file system in memory has no such flag for its reads, which never wait. */
static bool lies_in_memory(int fd)
{
    struct statfs fs;

    return !fstatfs(fd, &fs) && fs.f_type == TMPFS_MAGIC;
}

bool ft_disk_read_now(BlockDriverState *bs, int fd, const QEMUIOVector *qiov,
                      int64_t offset)
{
    ssize_t got;

    if (!current_cpu || !ft_stream_started() ||
        (bs->open_flags & BDRV_O_NOCACHE)) {
        return false;
    }
    got = preadv2(fd, qiov->iov, qiov->niov, offset, RWF_NOWAIT);
    if (got < 0 && errno == EOPNOTSUPP && lies_in_memory(fd)) {
        got = preadv(fd, qiov->iov, qiov->niov, offset);
    }
    return got == qiov->size;
}
