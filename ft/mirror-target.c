/*
 * A new backup's own disks, while its primary copies its disks there.
 *
 * The server has the node below the guard: that is active, so that it can be
 * written, and the guard is not before the state is loaded.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-block-export.h"
#include "qemu/stats64.h"
#include "block/block.h"
#include "block/block_int.h"
#include "block/export.h"
#include "block/nbd.h"
#include "disk.h"
#include "disks.h"
#include "mirror.h"
#include "mirror-target.h"

static bool serves;

static bool export_disk(DeviceState *dev, BlockBackend *blk, void *opaque,
                        Error **errp)
{
    unsigned *number = opaque;
    BlockDriverState *below = ft_disk_below(blk_bs(blk));
    g_autofree char *name = g_strdup_printf(FT_MIRROR_EXPORT, *number);
    BlockExportOptions options = {
        .type = BLOCK_EXPORT_TYPE_NBD,
        .id = name,
        .node_name = (char *)bdrv_get_node_name(below),
        .has_writable = true,
        .writable = true,
        .u.nbd = { .name = name },
    };

    if (!blk_is_writable(blk)) {
        return true;
    }
    (*number)++;
    return blk_exp_add(&options, errp);
}

bool ft_mirror_target_open(SocketAddress *at, Error **errp)
{
    ERRP_GUARD();
    unsigned number = 0;

    if (ft_disks_shared()) {
        error_setg(errp, "mirror=: the disks are shared, so nothing is "
                   "copied here; leave it out");
        return false;
    }
    nbd_server_start(at, NBD_DEFAULT_HANDSHAKE_MAX_SECS, NULL, NULL, 0, errp);
    if (*errp) {
        error_prepend(errp, "mirror=: ");
        return false;
    }
    serves = true;
    return ft_disks_foreach(export_disk, &number, errp);
}

void ft_mirror_target_close(void)
{
    if (serves) {
        qmp_nbd_server_stop(&error_abort);
        serves = false;
    }
}

bool ft_mirror_target_written(BlockBackend *blk)
{
    BlockDriverState *below = ft_disk_below(blk_bs(blk));

    return stat64_get(&below->wr_highest_offset) > 0;
}
