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

#endif
