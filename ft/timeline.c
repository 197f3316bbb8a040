/*
 * The time line of the last takeover.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "timeline.h"

typedef struct Line {
    int64_t at_us[FT_TIMELINE__MAX];    /* 0: not yet */
    FtReason cause;
    uint64_t generation;
} Line;

static struct {
    int64_t heard_us;           /* I/O thread */

    QemuMutex lock;
    /* Protected by lock. */
    Line now;                   /* under way, or the last one */
    Line last;                  /* the last one that was won */
} timeline;

void ft_timeline_init(void)
{
    qemu_mutex_init(&timeline.lock);
}

void ft_timeline_heard(void)
{
    timeline.heard_us = g_get_monotonic_time();
}

static void mark_locked(FtTimelineMark mark, int64_t now_us)
{
    Line *line = &timeline.now;

    if (line->at_us[FT_TIMELINE_SUSPECTED] && !line->at_us[mark]) {
        line->at_us[mark] = now_us;
    }
    if (line->at_us[FT_TIMELINE_LIVE]) {
        timeline.last = *line;
    }
}

static void begin_locked(FtReason cause, int64_t now_us)
{
    timeline.now = (Line) { .cause = cause };
    timeline.now.at_us[FT_TIMELINE_HEARD] = timeline.heard_us ?: now_us;
    timeline.now.at_us[FT_TIMELINE_SUSPECTED] = now_us;
}

void ft_timeline_state(const FtAction *action, uint64_t generation)
{
    int64_t now_us = g_get_monotonic_time();

    QEMU_LOCK_GUARD(&timeline.lock);
    timeline.now.generation = generation;
    if (action->state == action->old_state) {
        return;
    }
    switch (action->state) {
    case FT_STATE_CLAIMING:
        begin_locked(action->reason, now_us);
        break;
    case FT_STATE_FENCING:
        mark_locked(FT_TIMELINE_WON, now_us);
        break;
    case FT_STATE_DRAINING:
        mark_locked(FT_TIMELINE_WON, now_us);
        mark_locked(FT_TIMELINE_FENCED, now_us);
        break;
    case FT_STATE_ALONE:
        mark_locked(FT_TIMELINE_WON, now_us);
        mark_locked(FT_TIMELINE_FENCED, now_us);
        mark_locked(FT_TIMELINE_EXECUTED, now_us);
        mark_locked(FT_TIMELINE_LIVE, now_us);
        if (action->old_state != FT_STATE_DRAINING) {
            mark_locked(FT_TIMELINE_ANNOUNCED, now_us); /* it never moved */
        }
        break;
    default:
        break;
    }
}

void ft_timeline_mark(FtTimelineMark mark)
{
    QEMU_LOCK_GUARD(&timeline.lock);
    mark_locked(mark, g_get_monotonic_time());
}

/* From one mark to the next; 0 while that has not come. */
static uint64_t took_us(const Line *line, FtTimelineMark to)
{
    return MAX(line->at_us[to] - line->at_us[to - 1], 0);
}

FtTakeover *ft_timeline_query(void)
{
    FtTakeover *info;
    Line line;

    WITH_QEMU_LOCK_GUARD(&timeline.lock) {
        line = timeline.last;
    }
    if (!line.at_us[FT_TIMELINE_LIVE]) {
        return NULL;
    }
    info = g_new0(FtTakeover, 1);
    info->generation = line.generation;
    info->cause = g_strdup(ft_core_reason_name(line.cause));
    info->heard_us = g_get_real_time() - g_get_monotonic_time() +
        line.at_us[FT_TIMELINE_HEARD];
    info->detection_us = took_us(&line, FT_TIMELINE_SUSPECTED);
    info->lease_us = took_us(&line, FT_TIMELINE_WON);
    info->fence_us = took_us(&line, FT_TIMELINE_FENCED);
    info->drain_us = took_us(&line, FT_TIMELINE_EXECUTED);
    info->switch_us = took_us(&line, FT_TIMELINE_LIVE);
    info->announcement_us = took_us(&line, FT_TIMELINE_ANNOUNCED);
    return info;
}
