/*
 * A new backup's own disks, while its primary copies its disks there.
 *
 * Purpose: the primary's mirror (mirror.h) writes them through an NBD
 *   server, from the start of this process until its state is loaded.  That
 *   state says whether they are equal now.
 * Thread: the main thread, BQL.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_MIRROR_TARGET_H
#define FT_MIRROR_TARGET_H

#include "qapi/qapi-types-sockets.h"
#include "system/block-backend.h"

/* The disks have their guards, and no state is loaded.  False: *errp. */
bool ft_mirror_target_open(SocketAddress *at, Error **errp);
/* Nobody writes them any more but this machine. */
void ft_mirror_target_close(void);
/* Did something arrive for this disk? */
bool ft_mirror_target_written(BlockBackend *blk);

#endif
