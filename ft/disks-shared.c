/*
 * Which disks both sides share, and where a disk is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <linux/magic.h>
#include <sys/vfs.h>
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "block/block-global-state.h"
#include "block/block_int.h"
#include "system/runstate.h"
#include "disk.h"
#include "disks.h"
#include "ft.h"
#include "offline.h"
#include "options.h"

/* Storage that is the same one for whoever names it alike. */
static const char *const network[] = {
    "iscsi", "iser", "nbd", "nfs", "rbd", "ssh",
};

/* <linux/magic.h> does not have it. */
#define GFS2_SUPER_MAGIC 0x01161970

static bool shared;

bool ft_disks_shared(void)
{
    return shared;
}

/* --- before a disk is opened ---------------------------------------------- */

static bool is_network_driver(const char *name)
{
    for (int i = 0; name && i < ARRAY_SIZE(network); i++) {
        if (!strcmp(name, network[i])) {
            return true;
        }
    }
    return false;
}

/* As iscsi://... or nbd:... */
static bool is_network_url(const char *url)
{
    g_autofree char *scheme = g_strndup(url ?: "", strcspn(url ?: "", "+:"));

    return strlen(scheme) < strlen(url ?: "") && is_network_driver(scheme);
}

/* A node that was opened before, and is inactive. */
static bool is_inactive_node(const char *name)
{
    BlockDriverState *bs = name ? bdrv_find_node(name) : NULL;

    return bs && (bdrv_get_flags(bs) & BDRV_O_INACTIVE);
}

static bool is_read_only(QDict *options)
{
    const char *text = qdict_get_try_str(options, BDRV_OPT_READ_ONLY);

    return text ? !strcmp(text, "on")
                : qdict_get_try_bool(options, BDRV_OPT_READ_ONLY, false);
}

/*
 * A disk that may be shared is opened inactive, so that nothing is locked,
 * changed or kept of it before it is this machine's turn.
 */
int ft_disks_open_flags(const char *file, QDict *options)
{
    bool wanted;

    if (!ft_options.given || ft_options.replay) {
        return 0;
    }
    if (is_inactive_node(qdict_get_try_str(options, "file"))) {
        return BDRV_O_INACTIVE;
    }
    wanted = ft_options.disks == FT_DISKS_SHARED ||
        (ft_options.disks == FT_DISKS_DEFAULT &&
         (is_network_url(file) ||
          is_network_url(qdict_get_try_str(options, "filename")) ||
          is_network_url(qdict_get_try_str(options, "file.filename")) ||
          is_network_driver(qdict_get_try_str(options, "driver")) ||
          is_network_driver(qdict_get_try_str(options, "file.driver"))));
    return wanted && !is_read_only(options) ? BDRV_O_INACTIVE : 0;
}

void ft_disks_locked(Error **errp)
{
    if (ft_options.given && ft_options.disks != FT_DISKS_SHARED) {
        error_append_hint(errp, "If both machines of a pair are to use this "
                          "one disk, add disks=shared to -ft on both.\n");
    }
}

/* --- where it is ---------------------------------------------------------- */

/* What the guest's disk is stored by: file, iscsi, ... */
static BlockDriverState *protocol_node(BlockBackend *blk)
{
    BlockDriverState *bs = ft_disk_below(blk_bs(blk));

    GRAPH_RDLOCK_GUARD_MAINLOOP();
    while (bdrv_primary_bs(bs)) {
        bs = bdrv_primary_bs(bs);
    }
    return bs;
}

/* Without the name and password that a URL may have. */
static char *without_login(const char *url)
{
    const char *rest = strstr(url, "://");
    const char *end = rest ? rest + 3 + strcspn(rest + 3, "/?") : NULL;
    const char *at = rest ? memrchr(rest, '@', end - rest) : NULL;

    return at ? g_strdup_printf("%.*s%s", (int)(rest + 3 - url), url, at + 1)
              : g_strdup(url);
}

char *ft_disks_place(BlockBackend *blk)
{
    BlockDriverState *bs = protocol_node(blk);
    const char *name = bdrv_get_format_name(bs);
    g_autofree char *real = NULL;

    if (!strcmp(name, "iscsi") && qdict_get_try_str(bs->options, "portal")) {
        return g_strdup_printf("iscsi://%s/%s/%" PRId64,
                               qdict_get_str(bs->options, "portal"),
                               qdict_get_try_str(bs->options, "target"),
                               qdict_get_try_int(bs->options, "lun", 0));
    }
    real = realpath(bs->filename, NULL);
    return real ? g_strdup(real) : without_login(bs->filename);
}

const char *ft_disks_format(BlockBackend *blk)
{
    GRAPH_RDLOCK_GUARD_MAINLOOP();
    return bdrv_get_format_name(
        bdrv_skip_filters(ft_disk_below(blk_bs(blk)))) ?: "none";
}

/* --- the decision --------------------------------------------------------- */

typedef struct Counts {
    int writable, network;
} Counts;

static bool count_disk(DeviceState *dev, BlockBackend *blk, void *opaque,
                       Error **errp)
{
    Counts *counts = opaque;

    if (blk_is_writable(blk)) {
        counts->writable++;
        counts->network +=
            is_network_driver(bdrv_get_format_name(protocol_node(blk)));
    }
    return true;
}

/* What the backup reads may not come out of a cache that knows no better. */
static bool check_own_reads(DeviceState *dev, BlockBackend *blk, void *opaque,
                            Error **errp)
{
    if (ft_disks_is_shared(blk) &&
        (strcmp(ft_disks_format(blk), "raw") ||
         !(bdrv_get_flags(protocol_node(blk)) & BDRV_O_NOCACHE))) {
        error_setg(errp, "reads=own: shared disk '%s' has to be opened with "
                   "format=raw,cache=none, so that what the primary wrote is "
                   "seen", blk_name(blk));
        return false;
    }
    return true;
}

/* Several hosts may have it mounted. */
static bool is_on_network(const char *path)
{
    struct statfs fs;

    if (statfs(path, &fs) < 0) {
        return false;
    }
    switch ((uint32_t)fs.f_type) {
    case AFS_SUPER_MAGIC:
    case CEPH_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case FUSE_SUPER_MAGIC:
    case GFS2_SUPER_MAGIC:
    case NFS_SUPER_MAGIC:
    case OCFS2_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case V9FS_MAGIC:
        return true;
    default:
        return false;           /* both machines are on this host */
    }
}

/*
 * Without cache=none what a guest was told is written may be in this host's
 * memory alone.  The storage of the other drivers has it by then.
 */
static bool may_be_in_memory(BlockDriverState *bs)
{
    const char *driver = bdrv_get_format_name(bs);

    return !(bdrv_get_flags(bs) & BDRV_O_NOCACHE) &&
        (!strcmp(driver, "host_device") || !strcmp(driver, "rbd") ||
         !strcmp(driver, "gluster") ||
         (!strcmp(driver, "file") && is_on_network(bs->filename)));
}

/* Its tables are read anew when it is activated; see disk-shared.c, too. */
static bool GRAPH_RDLOCK format_can_be_shared(BlockDriverState *bs)
{
    return !bs->drv->is_format || !strcmp(bs->drv->format_name, "raw") ||
        !strcmp(bs->drv->format_name, "qcow2");
}

/* Nothing of it is in another file, which nobody compares or fences. */
static bool GRAPH_RDLOCK is_in_one_place(BlockDriverState *bs)
{
    BdrvChild *child;

    QLIST_FOREACH(child, &bs->children, next) {
        if (child != bdrv_primary_child(bs)) {
            return false;
        }
    }
    return true;
}

/* What one machine wrote the other one has to find, whatever happens. */
static bool check_shared(DeviceState *dev, BlockBackend *blk, void *opaque,
                         Error **errp)
{
    BlockDriverState *bs;
    const char *format;

    GRAPH_RDLOCK_GUARD_MAINLOOP();
    if (!ft_disks_is_shared(blk)) {
        return true;
    }
    bs = bdrv_skip_filters(ft_disk_below(blk_bs(blk)));
    format = bdrv_get_format_name(bs);
    if (!format_can_be_shared(bs)) {
        error_setg(errp, "shared disk '%s' is a %s image; only of raw and "
                   "qcow2 is it sure that the machine that takes over finds "
                   "what the other one wrote: qemu-img convert makes one",
                   blk_name(blk), format);
    } else if (!is_in_one_place(bs)) {
        error_setg(errp, "shared disk '%s' is a %s image with a backing or a "
                   "data file, which are not compared or fenced; make it one "
                   "file (qemu-img convert)", blk_name(blk), format);
    } else if (may_be_in_memory(protocol_node(blk))) {
        error_setg(errp, "shared disk '%s': what the guest was told is "
                   "written could be in this host's memory only, and be lost "
                   "with it; add cache=none to its -drive, on both sides",
                   blk_name(blk));
    } else {
        return true;
    }
    return false;
}

/* What was opened inactive and is not shared is used from now on. */
static bool activate_own(DeviceState *dev, BlockBackend *blk, void *opaque,
                         Error **errp)
{
    return ft_disks_is_shared(blk) || bdrv_activate(blk_bs(blk), errp) >= 0;
}

bool ft_disks_is_shared(BlockBackend *blk)
{
    return shared && blk_is_writable(blk);
}

bool ft_disks_decide(Error **errp)
{
    Counts counts = { 0 };

    ft_disks_foreach(count_disk, &counts, NULL);
    if (ft_options.replay) {
        shared = ft_offline_shares_disks();
        if (!ft_offline_has_reads(errp)) {
            return false;
        }
    } else if (ft_options.disks != FT_DISKS_DEFAULT) {
        shared = ft_options.disks == FT_DISKS_SHARED;
    } else {
        shared = counts.writable && counts.network == counts.writable;
    }
    if (!ft_options.replay && !ft_disks_foreach(check_shared, NULL, errp)) {
        return false;
    }
    if (ft_options.own_reads && !ft_disks_foreach(check_own_reads, NULL,
                                                  errp)) {
        return false;
    }
    return runstate_check(RUN_STATE_INMIGRATE) ||
        ft_disks_foreach(activate_own, NULL, errp);
}

typedef struct EachShared {
    FtDisksSharedFn *fn;
    void *opaque;
} EachShared;

static bool each_shared(DeviceState *dev, BlockBackend *blk, void *opaque,
                        Error **errp)
{
    EachShared *each = opaque;

    return !ft_disks_is_shared(blk) ||
        each->fn(protocol_node(blk), each->opaque, errp);
}

bool ft_disks_foreach_shared(FtDisksSharedFn *fn, void *opaque, Error **errp)
{
    EachShared each = { fn, opaque };

    return ft_disks_foreach(each_shared, &each, errp);
}

static bool activate_for_guest(DeviceState *dev, BlockBackend *blk,
                               void *opaque, Error **errp)
{
    return bdrv_activate(blk_bs(blk), errp) >= 0;
}

bool ft_disks_activate(Error **errp)
{
    return ft_disks_foreach(activate_for_guest, NULL, errp);
}
