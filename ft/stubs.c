/*
 * Programs that link QEMU's character devices but have no guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "ft.h"
#include "replay/ft-stream.h"

bool ft_char_hold(Chardev *chr, const uint8_t *buf, int len)
{
    return false;
}

bool ft_char_event(Chardev *chr, int event)
{
    return false;
}

void ft_char_input_queue(Chardev *chr)
{
}

bool ft_char_input_queued(Chardev *chr)
{
    return false;
}

void ft_char_input_arrived(Chardev *chr)
{
}

bool ft_reply_hold(Monitor *monitor, QObject *request, QDict *text)
{
    return false;
}

bool ft_oneshot_schedule(void (*fn)(void *opaque), void *opaque)
{
    return false;
}

bool ft_oneshot_below(AioContext *ctx, void (*fn)(void *opaque),
                      void *opaque)
{
    return false;
}

void ft_disk_drain(void)
{
}

int ft_disks_open_flags(const char *file, struct QDict *options)
{
    return 0;
}

void ft_disks_locked(Error **errp)
{
}

bool ft_disk_read_now(BlockDriverState *bs, int fd, const QEMUIOVector *qiov,
                      int64_t offset)
{
    return false;
}

void ft_disk_graph_begin(void)
{
}

void ft_disk_graph_end(void)
{
}

bool ft_stream_hook_deadline(int type, int64_t expires, int64_t *deadline)
{
    return false;
}

bool ft_fence_lun_opened(BlockDriverState *bs, struct iscsi_context *ctx,
                         int number)
{
    return false;
}

void ft_fence_lun_closed(BlockDriverState *bs)
{
}
