/*
 * What upstream's engine, vCPU loop and main loop ask the live stream.
 *
 * Each function is one hook (hooks/) and says what it changes; without -ft
 * each does nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/seqlock.h"
#include "qemu/main-loop.h"
#include "hw/core/cpu.h"
#include "system/cpu-timers.h"
#include "system/cpu-timers-internal.h"
#include "system/cpus.h"
#include "system/runstate.h"
#include "ft-pace.h"
#include "ft-quiet.h"
#include "ft-stream-internal.h"
#include "ft-time.h"

/* A starved vCPU looks at the log again after this at the latest. */
#define STARVED_WAIT_MS 2
/* And so it does when it is the main loop's turn. */
#define TURN_WAIT_MS 1

/*
 * Is it the main loop's turn to act on the entry at the cursor?  The vCPU's
 * thread accounts for sleep and runs the guest's timers.
 */
static bool main_loop_entry(void)
{
    switch (replay_state.data_kind) {
    case EVENT_CHECKPOINT ... EVENT_CHECKPOINT_LAST:
        return replay_state.data_kind !=
            EVENT_CHECKPOINT + CHECKPOINT_CLOCK_WARP_ACCOUNT &&
            replay_state.data_kind !=
            EVENT_CHECKPOINT + CHECKPOINT_CLOCK_VIRTUAL;
    case EVENT_CLOCK ... EVENT_CLOCK_LAST:
    case EVENT_SHUTDOWN ... EVENT_SHUTDOWN_LAST:
        return true;
    }
    return false;
}

/*
 * The vCPU is stopped for a reset: what its thread accounts for now, the
 * other side may account for after the reset.
 */
static bool vcpu_is_held(void)
{
    return current_cpu && (first_cpu->stop || first_cpu->stopped) &&
        runstate_is_running();
}

/* Each counter has one writer. */
static void count_round(void)
{
    uint64_t *rounds = current_cpu ? &ft_stream.vcpu_rounds
                                   : &ft_stream.main_rounds;

    qatomic_set(rounds, *rounds + 1);
}

static bool has_events(void)
{
    return replay_has_events() || qatomic_read(&ft_stream.input);
}

/*
 * An event that was queued after the vCPU last looked, and before it held the
 * BQL to go to sleep: nobody would wake it up for that one again.
 */
bool ft_stream_hook_before_idle(void)
{
    qatomic_set_mb(&ft_stream.vcpu_sleeps, true);
    /* What arrived before that could be seen. */
    if (ft_stream_plays() && ft_log_committed(ft_stream.log) >
        qatomic_read(&ft_stream.executed)) {
        qemu_notify_event();
    }
    if (ft_stream_records() && has_events() && runstate_is_running() &&
        !first_cpu->stop && !first_cpu->stopped) {
        return true;
    }
    ft_stream_before_sleep();
    return false;
}

/* Called with the BQL, under which the main thread changes the engine. */
bool ft_stream_hook_idle(void)
{
    count_round();
    if (ft_stream.active && vcpu_is_held()) {
        return false;
    }
    if (ft_stream_records()) {
        return has_events();
    }
    return ft_stream_plays() && !ft_stream.starved &&
        replay_state.instruction_count == 0 && !main_loop_entry();
}

/* --- the replay mutex ---------------------------------------------------- */

void ft_stream_hook_before_lock(void)
{
    if (!ft_stream.active) {
        return;
    }
    if (!current_cpu) {
        qatomic_set(&ft_stream.main_polls, false);
        /* Whoever waits here must not wait for a whole slice. */
        if (first_cpu) {
            cpu_exit(first_cpu);
        }
        return;
    }
    qatomic_set_mb(&ft_stream.vcpu_sleeps, false);
    if (ft_stream_plays() && replay_state.instruction_count == 0) {
        if (ft_stream.starved) {
            ft_log_wait(ft_stream.log, ft_source_position(),
                        STARVED_WAIT_MS);
        } else if (main_loop_entry()) {
            /* Racing the main loop for the mutex would only slow it down. */
            qatomic_set(&ft_stream.vcpu_waits, true);
            ft_log_wait(ft_stream.log, UINT64_MAX, TURN_WAIT_MS);
        }
    }
    ft_pace_wait();
    ft_time_wait();
}

void ft_stream_hook_after_lock(void)
{
    count_round();
    if (!ft_stream_plays()) {
        return;
    }
    if (ft_stream.starved && !ft_stream.control_pending &&
        ft_source_has_more()) {
        ft_stream_fetch_again();
    }
    ft_stream_bh_again();
    /* The engine passes over these when it looks for another; a machine that
       is paused looks for none. */
    if (!current_cpu && replay_state.instruction_count == 0 &&
        replay_state.data_kind >= EVENT_SHUTDOWN &&
        replay_state.data_kind <= EVENT_SHUTDOWN_LAST) {
        replay_next_event_is(EVENT_END);
    }
}

void ft_stream_hook_before_unlock(void)
{
    if (!ft_stream.active || !ft_stream.started) {
        return;
    }
    if (ft_stream_records()) {
        if (!ft_stream.resetting) {
            ft_stream_publish();
        }
        return;
    }
    qatomic_set(&ft_stream.icount, replay_state.current_icount);
    if (!current_cpu) {
        qatomic_set(&ft_stream.main_polls, true);
    }
    if (ft_stream.starved) {
        return;
    }
    if (main_loop_entry()) {
        /* Without this the main loop sleeps to a deadline of its own. */
        if (qatomic_xchg(&ft_stream.main_polls, false)) {
            qemu_notify_event();
        }
    } else if (!current_cpu && first_cpu) {
        qemu_cpu_kick(first_cpu);
        if (qatomic_xchg(&ft_stream.vcpu_waits, false)) {
            ft_log_wake(ft_stream.log);
        }
    }
}

bool ft_stream_hook_notify_exit(void)
{
    if (ft_stream.active && current_cpu) {
        cpu_exit(current_cpu);
    }
    return ft_stream.active;
}

/*
 * Upstream's main loop wakes every thread that has timers when the log has
 * an event for the vCPU, and so itself; here the vCPU was told.
 */
bool ft_stream_hook_has_event(void)
{
    return ft_stream.active;
}

/* --- what the engine logs ------------------------------------------------ */

bool ft_stream_hook_checkpoint(ReplayCheckpoint checkpoint, bool *result)
{
    if (!ft_stream.active) {
        return false;
    }
    if (!ft_stream.started || vcpu_is_held()) {
        *result = false;
        return true;
    }
    if (checkpoint == CHECKPOINT_CLOCK_WARP_ACCOUNT) {
        ft_time_step();
    }
    return ft_stream_records() && ft_quiet_checkpoint(checkpoint, result);
}

/* What a device does with input must not lead here again, as upstream. */
static void take_input(void)
{
    static bool taking;

    g_assert(!taking);
    taking = true;
    ft_stream.ops.input();
    taking = false;
}

bool ft_stream_hook_async_events(void)
{
    if (ft_stream_records() && !vcpu_is_held() &&
        qatomic_xchg(&ft_stream.input, false)) {
        take_input();
    }
    return ft_stream.active &&
        (vcpu_is_held() || (ft_stream_records() && !replay_has_events()));
}

bool ft_stream_hook_clock(ReplayClockKind kind, int64_t *clock)
{
    if (!ft_stream.active) {
        return false;
    }
    if (!ft_stream.started || ft_stream.clocks_held) {
        /* what was logged last; 0, or what the state it begins from says */
        *clock = replay_state.cached_clock[kind];
        return true;
    }
    if (ft_stream_records()) {
        *clock += ft_time_offset(kind);
    }
    /* A migration's thread asks how long it takes, not what the guest sees. */
    if (!replay_mutex_locked() && !current_cpu) {
        return true;
    }
    if (ft_stream_records()) {
        if (ft_quiet_clock(kind, clock)) {
            return true;
        }
        replay_state.cached_clock[kind] = *clock;
    }
    return false;
}

/* The engine reads what the log has into a buffer of the caller's size. */
static void check_random_length(size_t len)
{
    uint8_t head[8];            /* result, length */

    replay_account_executed_instructions();
    if (replay_next_event_is(EVENT_RANDOM) &&
        ft_log_copy(ft_stream.log, ft_source_position(), UINT64_MAX, head,
                    sizeof(head)) == sizeof(head) &&
        ldl_be_p(head + 4) != len) {
        ft_stream_fail("%u random bytes where this machine asks for %zu",
                       ldl_be_p(head + 4), len);
    }
}

bool ft_stream_hook_random(void *buf, size_t len)
{
    if (!ft_stream.active || (ft_stream.started && !ft_stream.finished)) {
        if (ft_stream_plays()) {
            check_random_length(len);
        }
        return false;
    }
    memset(buf, 0x5a, len);
    return true;
}

/*
 * A reset that the backup's guest did not ask for was asked for on the
 * primary, by QMP.  The vCPU stands still before the log says that it is
 * reset, so that none of what it does comes between; and what the devices
 * read while they are reset is in the same transaction as the word that they
 * are, although the mutex is given up on the way.
 */
int ft_stream_hook_reset(int cause)
{
    if (ft_stream_plays()) {
        if (ft_stream.starved || replay_state.instruction_count ||
            replay_state.data_kind !=
            EVENT_CHECKPOINT + CHECKPOINT_RESET_REQUESTED) {
            return cause;
        }
        if (cause == SHUTDOWN_CAUSE_NONE) {
            cause = SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET;
        }
    }
    if (cause != SHUTDOWN_CAUSE_NONE && ft_stream.started &&
        runstate_is_running()) {
        pause_all_vcpus();
    }
    ft_stream.resetting = cause != SHUTDOWN_CAUSE_NONE && ft_stream.active;
    return cause;
}

void ft_stream_reset_done(void)
{
    ft_stream.resetting = false;
    ft_stream_bh_again();
}
