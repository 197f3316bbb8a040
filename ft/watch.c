/*
 * Does this machine make progress?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "limits.h"
#include "watch.h"

static gboolean made_step(const FtWatch *w, const FtWatchInput *now)
{
    return !now->follows || !now->log_waits ||
        now->executed != w->last.executed || now->icount != w->last.icount;
}

static void begin_anew(FtWatch *w, const FtWatchInput *now)
{
    w->last = *now;
    w->strikes = w->disk_ticks = 0;
}

static FtWatchResult watch_main(FtWatch *w, const FtWatchInput *now)
{
    if (now->main_rounds != w->main_rounds) {
        w->main_rounds = now->main_rounds;
        w->main_ticks = 0;
    } else if (++w->main_ticks >= FT_MAIN_HANG_MS / FT_WATCH_TICK_MS) {
        w->main_ticks = 0;
        return FT_WATCH_MAIN;
    }
    return FT_WATCH_GOOD;
}

static FtWatchResult watch_steps(FtWatch *w, const FtWatchInput *now)
{
    if (made_step(w, now)) {
        begin_anew(w, now);
    } else if (now->disk_busy) {
        w->strikes = 0;
        if (++w->disk_ticks >= FT_STUCK_DISK_MS / FT_WATCH_TICK_MS) {
            begin_anew(w, now);
            return FT_WATCH_DISK;
        }
    } else if ((now->paused || now->vcpu_rounds != w->last.vcpu_rounds) &&
               now->main_rounds != w->last.main_rounds) {
        w->last.vcpu_rounds = now->vcpu_rounds;
        w->last.main_rounds = now->main_rounds;
        if (++w->strikes >= FT_STUCK_ROUNDS) {
            begin_anew(w, now);
            return FT_WATCH_LIVELOCK;
        }
    }
    return FT_WATCH_GOOD;
}

FtWatchResult ft_watch_tick(FtWatch *w, const FtWatchInput *now)
{
    FtWatchResult main_result = watch_main(w, now);
    FtWatchResult result = watch_steps(w, now);

    return main_result == FT_WATCH_GOOD ? result : main_result;
}
