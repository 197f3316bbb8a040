/*
 * What devices do when the machine goes on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "system/runstate.h"
#include "replay/ft-stream.h"
#include "ft.h"
#include "restart.h"

typedef struct FtWork {
    QEMUBHFunc *fn;
    void *opaque;
    QSIMPLEQ_ENTRY(FtWork) next;
} FtWork;

static QSIMPLEQ_HEAD(, FtWork) queue = QSIMPLEQ_HEAD_INITIALIZER(queue);
static bool starting;

bool ft_restart_later(QEMUBHFunc *fn, void *opaque)
{
    FtWork *work;

    if (!starting) {
        return false;
    }
    work = g_new(FtWork, 1);
    *work = (FtWork) { .fn = fn, .opaque = opaque };
    QSIMPLEQ_INSERT_TAIL(&queue, work, next);
    return true;
}

static void before_devices(void *opaque, bool running, RunState state)
{
    starting = running;
}

static void after_devices(void *opaque, bool running, RunState state)
{
    starting = false;
    while (!QSIMPLEQ_EMPTY(&queue)) {
        FtWork *work = QSIMPLEQ_FIRST(&queue);

        QSIMPLEQ_REMOVE_HEAD(&queue, next);
        work->fn(work->opaque);
        g_free(work);
    }
}

void ft_restart_init(void)
{
    qemu_add_vm_change_state_handler_prio(before_devices, NULL, INT_MIN);
    qemu_add_vm_change_state_handler_prio(after_devices, NULL, INT_MAX);
}
