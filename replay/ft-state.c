/*
 * The engine's part in moving a machine's state: what a state that QEMU's
 * migration stream carries has to hold for a replay to begin there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "exec/cputlb.h"
#include "hw/core/cpu.h"
#include "system/cpu-timers.h"
#include "system/cpus.h"
#include "accel/tcg/internal-common.h"
#include "ft-stream-internal.h"
#include "ft-time.h"

/* Flushes of the TLB take the place of time in what sizes it. */
#define TLB_FLUSH_NS (1000 * 1000)

static int64_t tlb_now;

int64_t ft_stream_hook_tlb_resize(int64_t now)
{
    return ft_stream.active ? tlb_now += TLB_FLUSH_NS : now;
}

/*
 * Which pages a TLB holds decides when the guest's page tables are read, and
 * marked as accessed: both sides begin with the same empty one.
 */
void ft_stream_reset_tlb(void)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        tlb_flush(cpu);
        tlb_destroy(cpu);
        tlb_init(cpu);
    }
    tlb_now = 0;
}

void ft_stream_quiesce(void)
{
    g_assert(ft_stream_records() && !ft_stream.to_log);
    replay_finish_events();
    ft_time_quiesce();
}

void ft_stream_unquiesce(void)
{
    replay_enable_events();
}

void ft_stream_begin_log_at_state(void)
{
    ft_log_reset(ft_stream.log);
    ft_stream_begin_log();
    /* Nothing moves before the START entry, as on the other side. */
    ft_stream.started = false;
    replay_enable_events();
}

void ft_stream_abandon_state(void)
{
    ft_stream_end_log();
    ft_stream.started = true;
    replay_enable_events();
}

/* What the state's clocks show until the log goes on. */
void ft_stream_hook_pre_save(void)
{
    if (!ft_stream_records()) {
        return;
    }
    replay_state.current_icount = replay_get_current_icount();
    for (int kind = 0; kind < REPLAY_CLOCK_COUNT; kind++) {
        replay_state.cached_clock[kind] = ft_stream_clock_now(kind);
    }
}

bool ft_stream_hook_post_load(void)
{
    if (!ft_stream.active) {
        return false;
    }
    replay_state.instruction_count = 0;
    replay_state.read_event_id = -1;
    replay_state.current_icount = replay_get_current_icount();
    if (ft_stream_plays()) {
        replay_state.data_kind = EVENT_END;
        replay_state.has_unread_data = true;
    }
    return true;
}
