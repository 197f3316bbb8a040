/*
 * What a device has the main loop do for the guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "block/aio.h"
#include "qemu/main-loop.h"
#include "qemu/queue.h"
#include "system/replay.h"
#include "replay/ft-stream.h"
#include "ft.h"
#include "options.h"

typedef struct FtOneshot {
    QEMUBHFunc *fn;             /* NULL: it was done already */
    void *opaque;
    QTAILQ_ENTRY(FtOneshot) next;
} FtOneshot;

static QTAILQ_HEAD(, FtOneshot) waiting = QTAILQ_HEAD_INITIALIZER(waiting);

static void oneshot_run(FtOneshot *oneshot)
{
    QEMUBHFunc *fn = oneshot->fn;

    QTAILQ_REMOVE(&waiting, oneshot, next);
    oneshot->fn = NULL;
    fn(oneshot->opaque);
}

/* The engine runs the event. */
static void oneshot_event(void *opaque)
{
    FtOneshot *oneshot = opaque;

    if (oneshot->fn) {
        oneshot_run(oneshot);
    }
    g_free(oneshot);
}

bool ft_oneshot_schedule(QEMUBHFunc *fn, void *opaque)
{
    FtOneshot *oneshot;

    if (!ft_stream_started()) {
        return false;
    }
    oneshot = g_new0(FtOneshot, 1);
    oneshot->fn = fn;
    oneshot->opaque = opaque;
    QTAILQ_INSERT_TAIL(&waiting, oneshot, next);
    replay_bh_schedule_oneshot_event(qemu_get_aio_context(), oneshot_event,
                                     oneshot);
    return true;
}

static void call_bh(void *opaque)
{
    aio_bh_call(opaque);
}

bool ft_oneshot_schedule_bh(QEMUBH *bh)
{
    return ft_oneshot_schedule(call_bh, bh);
}

bool ft_oneshot_waits(void)
{
    return !QTAILQ_EMPTY(&waiting);
}

/* Their events still come, and find nothing to do. */
void ft_oneshot_flush(void)
{
    while (!QTAILQ_EMPTY(&waiting)) {
        oneshot_run(QTAILQ_FIRST(&waiting));
    }
}

/* Also before the guest begins: a qcow2's tables are read then. */
bool ft_oneshot_below(AioContext *ctx, QEMUBHFunc *fn, void *opaque)
{
    if (!ft_options.given) {
        return false;
    }
    aio_bh_schedule_oneshot(ctx, fn, opaque);
    return true;
}
