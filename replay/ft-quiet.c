/*
 * What a recording engine need not log.
 *
 * Each round of the main loop asks three clocks whether a timer is due and
 * how long it may sleep, and nearly always nothing comes of it.  Upstream
 * logs that: two in three of an idle guest's bytes, and half a backup's work.
 *
 * The other side stays the same without an entry, because
 *
 *   a checkpoint that it does not find in the log means "not now" to a
 *   replaying engine.  So it may be left out where a recording one does
 *   nothing either: no timer of that clock is due; or a sleep is asked for
 *   that has begun already, and ends no sooner for it
 *
 *   a clock that it does not find in the log shows a replaying engine what it
 *   showed last.  So a reading may be left out where a recording one is given
 *   that, too.  A reading that does find the clock takes it, whichever it was
 *   meant for: one that is left out must never stand right before one that
 *   is not.  Here every reading is left out until another entry is written
 *
 *   an exception is what the guest's own instruction does: the other side has
 *   it at the same one.  Only where another entry stands at the same count
 *   does the log have to tell which came first, and then it does
 *
 *   how long the main loop may sleep is nobody's business: it is computed
 *   from this host's clock, and on a backup, whose timers run when the log
 *   says so, not at all
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <stdio_ext.h>
#include "qemu/seqlock.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "system/cpu-timers.h"
#include "system/cpu-timers-internal.h"
#include "ft-quiet.h"
#include "ft-stream-internal.h"

/* The sizes of entries: a clock, a count of instructions. */
#define CLOCK_SIZE 9
#define INSTRUCTIONS_SIZE 5
/*
 * The guest sleeps and wakes by these steps of the elapsed clock.  Nobody
 * can tell, and packed on the channel it is shorter.
 */
#define ELAPSED_STEP_NS 1024

/* Replay mutex. */
static struct {
    bool looking;               /* clocks are read for ourselves */
    bool sleep_goes_on;         /* the next reading has no effect */
    uint64_t shown_at[REPLAY_CLOCK_COUNT];  /* written when it was logged */
    uint64_t exceptions_at;     /* the count at which there were the last */
    unsigned exceptions;        /* of them, those that are not in the log */
} quiet;

static uint64_t written(void)
{
    return ft_stream.sunk + __fpending(replay_file);
}

/* How long until the first of the clock's timers; -1: there is none. */
static int64_t deadline_of(QEMUClockType type, int attributes)
{
    int64_t deadline;

    quiet.looking = true;
    deadline = qemu_clock_deadline_ns_all(type, attributes);
    quiet.looking = false;
    return deadline;
}

/* All vCPUs sleep, and the main loop is about to look for how long. */
static bool sleep_is_set(void)
{
    QEMUTimer *timer = timers_state.icount_warp_timer;
    int64_t deadline = deadline_of(QEMU_CLOCK_VIRTUAL,
                                   ~QEMU_TIMER_ATTR_EXTERNAL);
    int64_t now;

    if (deadline <= 0) {
        return true;            /* there is no sleep, now or at all */
    }
    if (timers_state.vm_clock_warp_start == -1 || !timer_pending(timer)) {
        return false;
    }
    quiet.looking = true;
    now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL_RT);
    quiet.looking = false;
    return timers_state.vm_clock_warp_start <= now &&
        timer_expire_time_ns(timer) <= now + deadline;
}

bool ft_quiet_checkpoint(ReplayCheckpoint checkpoint, bool *result)
{
    *result = false;
    switch (checkpoint) {
    case CHECKPOINT_CLOCK_WARP_START:
        quiet.sleep_goes_on = sleep_is_set();
        return quiet.sleep_goes_on;
    case CHECKPOINT_CLOCK_WARP_ACCOUNT:
        /* Of no effect unless the machine was asleep. */
        *result = true;
        return timers_state.vm_clock_warp_start == -1 && !replay_has_events();
    case CHECKPOINT_CLOCK_HOST:
        return deadline_of(QEMU_CLOCK_HOST, QEMU_TIMER_ATTR_ALL) != 0;
    case CHECKPOINT_CLOCK_VIRTUAL_RT:
        return deadline_of(QEMU_CLOCK_VIRTUAL_RT, QEMU_TIMER_ATTR_ALL) != 0;
    default:
        return false;
    }
}

bool ft_quiet_clock(ReplayClockKind kind, int64_t *clock)
{
    int64_t shown = replay_state.cached_clock[kind];
    bool executed;

    if (kind == REPLAY_CLOCK_VIRTUAL_RT) {
        *clock = MAX(*clock & -ELAPSED_STEP_NS, shown);
    }
    if (quiet.looking) {
        return true;
    }
    if (quiet.sleep_goes_on && kind == REPLAY_CLOCK_VIRTUAL_RT) {
        quiet.sleep_goes_on = false;
        return true;
    }
    if (!ft_stream.to_log) {
        return false;
    }
    /* Not asked by function: the caller may be changing what it reads. */
    executed = (current_cpu && current_cpu->running) ||
        qatomic_read_i64(&timers_state.qemu_icount) !=
        replay_state.current_icount;
    if (!executed && written() == quiet.shown_at[kind]) {
        *clock = shown;
        return true;
    }
    quiet.shown_at[kind] = written() + CLOCK_SIZE +
        (executed ? INSTRUCTIONS_SIZE : 0);
    return false;
}

bool ft_stream_hook_deadline(int type, int64_t expires, int64_t *deadline)
{
    if (!ft_stream_started() ||
        (type != QEMU_CLOCK_HOST && type != QEMU_CLOCK_VIRTUAL_RT)) {
        return false;
    }
    *deadline = -1;
    if (ft_stream_records()) {
        ReplayClockKind kind = type == QEMU_CLOCK_HOST
            ? REPLAY_CLOCK_HOST : REPLAY_CLOCK_VIRTUAL_RT;

        *deadline = MAX(expires - ft_stream_clock_now(kind), 0);
    }
    return true;
}

bool ft_stream_hook_exception(bool *result)
{
    uint64_t now;

    if (!ft_stream.active) {
        return false;
    }
    *result = true;
    if (ft_stream_plays()) {
        replay_account_executed_instructions();
        /* At the count of the next entry that entry says what comes first. */
        return replay_state.instruction_count > 0;
    }
    now = replay_get_current_icount();
    if (now != quiet.exceptions_at) {
        quiet.exceptions_at = now;
        quiet.exceptions = 0;
    }
    quiet.exceptions++;
    return true;
}

void ft_quiet_put_exceptions(void)
{
    if (quiet.exceptions_at == replay_state.current_icount) {
        while (quiet.exceptions) {
            quiet.exceptions--;
            replay_put_byte(EVENT_EXCEPTION);
        }
    }
}

void ft_quiet_forget_exceptions(void)
{
    quiet.exceptions = 0;
}

void ft_stream_hook_put_event(unsigned event)
{
    if (quiet.exceptions && event != EVENT_INSTRUCTION) {
        ft_quiet_put_exceptions();
    }
}
