/*
 * The disk guard: a block filter above every disk of the guest.
 *
 * Purpose: a request's data and its completion become visible to the guest
 *   at one logged instruction (M18), overlapping requests happen in the same
 *   order on both sides (M19), and a result that only one side's disk gives
 *   never reaches the guest.  Each side reads and writes its own disk (M22),
 *   or both share one that only the primary uses (M21).
 * Locks: BQL; coroutines of the main context.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DISK_H
#define FT_DISK_H

#include "block/block.h"
#include "replay/ft-stream.h"

/* Called when this side can't go on with its disks. */
typedef void FtDiskFailFn(const char *why);

void ft_disk_init(FtDiskFailFn *fail);
/* The guard bs, which has taken its place, is of this shared disk. */
bool ft_disk_share(BlockDriverState *bs, BlockDriverState *below,
                   Error **errp);
/* The guest's disk bs without its guard. */
BlockDriverState *ft_disk_below(BlockDriverState *bs);
/* Backup: an entry about a request, FT_CONTROL_DISK_*; replay mutex. */
void ft_disk_run(FtControl code, const uint8_t *data, size_t size);
/* Requests are numbered alike on both sides, also from a state on. */
uint64_t ft_disk_next_request(void);
void ft_disk_set_next_request(uint64_t id);
/*
 * Main thread: an own disk has all that its guest was told is written, and a
 * shared one is this machine's, so that it may go live.  If not,
 * ft_stream_settled() is called when that comes.
 */
bool ft_disk_settled(void);
/* It is live: what began on a shared disk and did not end is done now. */
void ft_disk_go_live(void);
/* Any thread: a request to a disk of this side is under way. */
bool ft_disk_busy(void);

/*
 * With reads=own.  Primary, main thread: a log begins at a state, or goes
 * nowhere from now on.  Any thread: the backup executed it up to position.
 */
void ft_disk_reads_begin_log(void);
void ft_disk_reads_end_log(void);
void ft_disk_executed(uint64_t position);

/* A machine that has won and fenced takes the shared disks.  False: *errp. */
bool ft_disk_shared_use(Error **errp);
/* The process ends: what may still go to a shared disk is waited for. */
void ft_disk_finish(void);

typedef struct FtDiskStatus {
    bool active;                /* this machine uses the shared disks */
    const char *why;            /* it would, and can't; NULL: nothing */
    unsigned unfinished;        /* requests that a shared disk has not done */
    unsigned held;              /* of them, changes that wait for their turn */
} FtDiskStatus;

void ft_disk_status(FtDiskStatus *status);

#endif
