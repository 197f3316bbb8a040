/*
 * Does this machine make progress?
 *
 * Purpose: a replay that has diverged may wait for an event that never comes,
 *   and a main thread may hang while the I/O thread's heartbeats say that all
 *   is well.  Both are found by counting rounds, not by the clock: a host that
 *   is slow or stopped makes few rounds, and is given the time it needs.
 * Thread: one thread at a time per watch.
 * Units: ticks, FT_WATCH_TICK_MS apart while this process gets CPU; a process
 *   that was stopped wakes to one tick.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_WATCH_H
#define FT_WATCH_H

#include <glib.h>

/* What is seen at a tick. */
typedef struct FtWatchInput {
    gboolean follows;           /* a log is being executed */
    gboolean log_waits;         /* there is more of it */
    gboolean paused;            /* the vCPU's thread need not turn */
    gboolean disk_busy;         /* a request to an own disk is under way */
    guint64 executed;           /* log position */
    guint64 icount;
    guint64 vcpu_rounds;        /* of the vCPU's thread, since ever */
    guint64 main_rounds;        /* of the main thread */
} FtWatchInput;

typedef enum FtWatchResult {
    FT_WATCH_GOOD,
    FT_WATCH_LIVELOCK,          /* both threads turn, and nothing happens */
    FT_WATCH_DISK,              /* an own disk does not answer */
    FT_WATCH_MAIN,              /* the main thread does not turn */
} FtWatchResult;

typedef struct FtWatch {
    FtWatchInput last;          /* at the last step, or strike */
    guint64 main_rounds;        /* at the last tick */
    guint strikes;
    guint disk_ticks;
    guint main_ticks;
} FtWatch;

/* Whatever is not GOOD is said once, and then counted anew. */
FtWatchResult ft_watch_tick(FtWatch *watch, const FtWatchInput *now);

#endif
