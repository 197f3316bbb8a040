/*
 * The disks of the machine: which can be protected, and their guards.
 *
 * Thread: the main thread, after the machine was created; BQL.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DISKS_H
#define FT_DISKS_H

#include "hw/qdev-core.h"
#include "system/block-backend.h"

/* Called for each disk; returns false, with *errp set, to end the walk. */
typedef bool FtDiskFn(DeviceState *dev, BlockBackend *blk, void *opaque,
                      Error **errp);
/* Drives with a medium in them, in the order of the machine tree. */
bool ft_disks_foreach(FtDiskFn *fn, void *opaque, Error **errp);
/* Puts the guard above every disk.  False: *errp names one that can't be. */
bool ft_disks_guard(Error **errp);

/*
 * Do both sides share the disks?  Of a machine that does, the writable ones
 * are; the others each side reads from where its own options say.
 */
bool ft_disks_decide(Error **errp);     /* before the guards; false: *errp */
bool ft_disks_shared(void);
bool ft_disks_is_shared(BlockBackend *blk);
/* Where it is, without a login; g_free.  The format above that; static. */
char *ft_disks_place(BlockBackend *blk);
const char *ft_disks_format(BlockBackend *blk);
/* For each shared disk, with the node of its storage; as ft_disks_foreach(). */
typedef bool FtDisksSharedFn(BlockDriverState *bs, void *opaque, Error **errp);
bool ft_disks_foreach_shared(FtDisksSharedFn *fn, void *opaque, Error **errp);
/* The guest may use them; those that are shared only as far as their guards. */
bool ft_disks_activate(Error **errp);

#endif
