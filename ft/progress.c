/*
 * The watch over this process.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "hw/core/cpu.h"
#include "replay/ft-stream.h"
#include "system/runstate.h"
#include "disk.h"
#include "driver.h"
#include "limits.h"
#include "progress.h"
#include "watch.h"

static FtWatch watch;

static char *words(FtWatchResult result, const FtWatchInput *now)
{
    switch (result) {
    case FT_WATCH_GOOD:
        break;
    case FT_WATCH_LIVELOCK:
        return g_strdup_printf(
            "no progress at log position %" PRIu64 ", instruction %" PRIu64
            ", although there is log to execute: the replay has diverged",
            now->executed, now->icount);
    case FT_WATCH_DISK:
        return g_strdup_printf(
            "no progress at log position %" PRIu64 ", instruction %" PRIu64
            ", for %d s: a disk of this side does not answer", now->executed,
            now->icount, FT_STUCK_DISK_MS / 1000);
    case FT_WATCH_MAIN:
        return g_strdup_printf("QEMU's main thread hangs: no round of it for "
                               "%d s", FT_MAIN_HANG_MS / 1000);
    }
    return NULL;
}

char *ft_progress_tick(void)
{
    FtWatchInput now = {
        .follows = ft_stream_follows(),
        .executed = ft_stream_executed(),
        .icount = ft_stream_icount(),
        .paused = !runstate_is_running(),
        .disk_busy = ft_disk_busy(),
    };

    ft_stream_rounds(&now.vcpu_rounds, &now.main_rounds);
    now.log_waits = ft_log_committed(&ft_driver_log) > now.executed;
    /* Threads that sleep make a round now, if they can make any. */
    qemu_notify_event();
    if (now.follows && now.log_waits) {
        qemu_cpu_kick(first_cpu);
    }
    return words(ft_watch_tick(&watch, &now), &now);
}
