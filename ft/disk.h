/*
 * The disk guard: a block filter above every disk of the guest.
 *
 * Purpose: a request's data and its completion become visible to the guest
 *   at one logged instruction (M18), overlapping requests happen in the same
 *   order on both sides (M19), and a result that only one side's disk gives
 *   never reaches the guest.  Each side reads and writes its own disk (M22).
 * Locks: BQL; coroutines of the main context.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DISK_H
#define FT_DISK_H

#include "hw/qdev-core.h"
#include "system/block-backend.h"

/* Called when this side's disk failed and the primary's did not. */
typedef void FtDiskFailFn(const char *why);

/* Puts the guard above every disk.  False: *errp names one that can't be. */
bool ft_disk_guard_all(FtDiskFailFn *fail, Error **errp);
/* Backup: the primary's request id failed with ret (-errno). */
void ft_disk_set_result(uint64_t id, int ret);
/* Requests are numbered alike on both sides, also from a state on. */
uint64_t ft_disk_next_request(void);
void ft_disk_set_next_request(uint64_t id);
/* The disks, for the identity of the pair: called for each. */
typedef bool FtDiskFn(DeviceState *dev, BlockBackend *blk, void *opaque,
                      Error **errp);
bool ft_disk_foreach(FtDiskFn *fn, void *opaque, Error **errp);

#endif
