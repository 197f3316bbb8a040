/*
 * A primary's own disks on their way to a new backup (M22), by upstream's
 * mirror job to the NBD server of the backup (mirror-target.h).
 *
 * Purpose: a running VM gets a backup although each side has disks of its
 *   own.  The job works below the disk guard, while the machine runs alone
 *   and no log of its is anybody's; it ends while the vCPU stands, before the
 *   state is saved, so that the log begins where the disks are equal.
 * Thread: the main thread, BQL.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_MIRROR_H
#define FT_MIRROR_H

#include "qapi/qapi-types-sockets.h"

typedef enum FtMirrorStage {
    FT_MIRROR_NONE,
    FT_MIRROR_COPYING,
    FT_MIRROR_CLOSE,            /* little is left; it stays so */
    FT_MIRROR_ENDING,
    FT_MIRROR_EQUAL,            /* ended; nothing was written since */
    FT_MIRROR_FAILED,
} FtMirrorStage;

/* False: *errp; nothing has begun. */
bool ft_mirror_begin(SocketAddress *to, Error **errp);
/* Looks at the jobs.  FAILED: *errp. */
FtMirrorStage ft_mirror_look(Error **errp);
/* Close, and the vCPU stands: copies the rest, and ends. */
void ft_mirror_end(void);
/* Leaves the backup's disks as they are. */
void ft_mirror_abort(void);
/* Percent of what there is to do. */
unsigned ft_mirror_percent(void);

/* How the disks' names are on the wire, by their order in the machine. */
#define FT_MIRROR_EXPORT "ft-disk-%u"

#endif
