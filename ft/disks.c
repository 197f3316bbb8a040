/*
 * The disks of the machine: which can be protected, and their guards.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "block/block-global-state.h"
#include "block/block_int.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "system/block-backend.h"
#include "devices.h"
#include "disk.h"
#include "disks.h"
#include "options.h"

typedef struct Foreach {
    FtDiskFn *fn;
    void *opaque;
} Foreach;

static bool visit_property(DeviceState *dev, const Property *prop,
                           void *opaque, Error **errp)
{
    Foreach *f = opaque;
    BlockBackend **blk;

    if (prop->info != &qdev_prop_drive &&
        prop->info != &qdev_prop_drive_iothread) {
        return true;
    }
    blk = object_field_prop_ptr(OBJECT(dev), prop);
    if (!*blk || !blk_bs(*blk)) {
        return true;
    }
    return f->fn(dev, *blk, f->opaque, errp);
}

bool ft_disks_foreach(FtDiskFn *fn, void *opaque, Error **errp)
{
    Foreach f = { fn, opaque };

    return ft_devices_foreach_property(visit_property, &f, errp);
}

static bool is_one_of(const char *name, const char *const *names, int n)
{
    for (int i = 0; i < n; i++) {
        if (!strcmp(names[i], name)) {
            return true;
        }
    }
    return false;
}

/* A medium of the host's that changes by itself. */
static bool is_host_drive(BlockDriverState *bs)
{
    GRAPH_RDLOCK_GUARD_MAINLOOP();

    bs = bdrv_skip_filters(bs);
    while (bdrv_primary_bs(bs)) {
        bs = bdrv_primary_bs(bs);
    }
    return !strcmp(bdrv_get_format_name(bs) ?: "", "host_cdrom");
}

static bool check_disk(DeviceState *dev, BlockBackend *blk, Error **errp)
{
    static const char *const good[] = {
        "virtio-blk-device", "ide-hd", "ide-cd", "scsi-hd", "scsi-cd",
    };
    const char *type = object_get_typename(OBJECT(dev));

    if (!is_one_of(type, good, ARRAY_SIZE(good))) {
        error_setg(errp, "a medium in device '%s' can't be protected; use "
                   "virtio-blk (-drive if=virtio,...), ide-hd, ide-cd, "
                   "scsi-hd or scsi-cd", type);
        return false;
    }
    if (bdrv_get_flags(blk_bs(blk)) & BDRV_O_TEMPORARY &&
        !ft_options.replay) {
        error_setg(errp, "disk '%s' has snapshot=on: what the guest writes "
                   "would be gone at the next start; leave it out",
                   blk_name(blk));
        return false;
    }
    if (blk_get_public(blk)->throttle_group_member.throttle_state) {
        error_setg(errp, "disk '%s' has a limit of its speed (bps=, iops=), "
                   "which waits by the host's clock; leave it out",
                   blk_name(blk));
        return false;
    }
    if (is_host_drive(blk_bs(blk))) {
        error_setg(errp, "disk '%s' is a CD drive of the host; use an image "
                   "of the CD", blk_name(blk));
        return false;
    }
    return true;
}

/* The guard has the place of the disk, which it keeps without being above. */
static bool guard_shared(BlockDriverState *below, QDict *options,
                         Error **errp)
{
    int flags = bdrv_get_flags(below) & ~BDRV_O_INACTIVE;
    BlockDriverState *bs;
    bool good;

    qdict_put_str(options, "shared", bdrv_get_node_name(below));
    bdrv_ref(below);
    bs = bdrv_insert_node(below, options, flags, errp);
    good = bs && ft_disk_share(bs, below, errp) && bdrv_activate(bs, errp) >= 0;
    bdrv_unref(bs);
    bdrv_unref(below);          /* the guard has a reference now */
    return good;
}

static bool guard_disk(DeviceState *dev, BlockBackend *blk, void *opaque,
                       Error **errp)
{
    int *count = opaque;
    BlockDriverState *bs = blk_bs(blk);
    g_autofree char *name = g_strdup_printf("ft-disk-guard-%d", (*count)++);
    QDict *options;

    if (!check_disk(dev, blk, errp)) {
        return false;
    }
    options = qdict_new();
    qdict_put_str(options, "driver", "ft-disk-guard");
    qdict_put_str(options, "node-name", name);
    if (ft_disks_is_shared(blk)) {
        return guard_shared(bs, options, errp);
    }
    qdict_put_str(options, "file", bdrv_get_node_name(bs));
    bs = bdrv_insert_node(bs, options, bdrv_get_flags(bs), errp);
    bdrv_unref(bs);             /* the disk's device has a reference now */
    return bs;
}

bool ft_disks_guard(Error **errp)
{
    int count = 0;

    return ft_disks_foreach(guard_disk, &count, errp);
}
