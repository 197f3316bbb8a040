/*
 * Requests of the disk guard, from the guest to the disk and back.
 *
 * Locks: BQL; coroutines of the main context.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DISK_REQUEST_H
#define FT_DISK_REQUEST_H

#include "block/block_int.h"

typedef struct FtDisk FtDisk;

typedef enum FtDiskKind {
    FT_DISK_READ,
    FT_DISK_WRITE,
    FT_DISK_ZEROES,
    FT_DISK_DISCARD,
    FT_DISK_FLUSH,
} FtDiskKind;

/*
 * Returns when the guest may see the completion.  Takes bounce, which has
 * what is to be written; what was read is copied to qiov.
 */
int coroutine_fn GRAPH_RDLOCK
ft_disk_request(FtDisk *disk, FtDiskKind kind, int64_t offset, int64_t bytes,
                void *bounce, QEMUIOVector *qiov, BdrvRequestFlags flags);

/* One for each disk; bs has its file when the first request comes. */
FtDisk *ft_disk_requests_new(BlockDriverState *bs);
/* Instead of a file: a disk that both sides share, and one of them uses. */
bool ft_disk_requests_share(FtDisk *disk, BlockDriverState *below,
                            Error **errp);
BlockDriverState *ft_disk_requests_below(FtDisk *disk);
void ft_disk_requests_free(FtDisk *disk);
void ft_disk_requests_drain_begin(FtDisk *disk);
void ft_disk_requests_drain_end(FtDisk *disk);

#endif
