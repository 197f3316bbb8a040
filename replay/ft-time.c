/*
 * The guest's clocks stay with real time, and go on over a takeover.
 *
 * The guest's virtual clock counts instructions; while the guest sleeps,
 * upstream's engine adds the real time that passes.  Neither is true of a
 * busy guest: it executes more or fewer instructions in a second than the
 * clock counts, and none at all while this host, or the pair, stands still.
 * So
 *
 *   behind   the recording vCPU, where it has left its slice, doubles what an
 *            instruction counts, and halves it again when the guest has its
 *            time back; by a TIME entry, so that the backup does the same at
 *            the same place of the same loop.  The clock never makes a step,
 *            at which a guest that compares its timers, as Linux does while
 *            it boots, would take their frequencies wrong
 *   ahead    (this host executes more in a second than the clock counts) an
 *            instruction counts half as much, in the same way; down to 1 ns,
 *            and then the vCPU waits, with no lock held
 *
 * Real time is the engine's VIRTUAL_RT clock: the monotonic clock of the host
 * the guest runs on, without the time that the guest was paused.
 *
 * The backup notes by how much its host's clocks differ from the primary's,
 * from the readings in the log, so that going live includes the blackout.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/seqlock.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "system/cpu-timers.h"
#include "system/cpu-timers-internal.h"
#include "ft-stream-internal.h"
#include "ft-time.h"
#include "ft/trace.h"

/*
 * An instruction counts more while the guest is more than LATE behind, and
 * less than usual while it is more than AHEAD, with time in between to see
 * what it does; and as usual again when it is less than IN_TIME behind.
 */
#define LATE_NS (10 * SCALE_MS)
#define AHEAD_NS (2 * SCALE_MS)
#define CHANGE_INTERVAL_NS (10 * SCALE_MS)
#define IN_TIME_NS (3 * SCALE_MS)
/*
 * 64 ns, when 2 is normal: the guest has its time with a thirtieth of what
 * the clock counts, and its timer's interrupts leave it something to do.
 */
#define SHIFT_MAX 6
/* The log has the primary's clocks this often, at least. */
#define TELL_INTERVAL_NS (1000 * SCALE_MS)
/* A vCPU that is further ahead than this waits, and so long at a time. */
#define FAR_AHEAD_NS (5 * SCALE_MS)
#define AHEAD_WAIT_MS 5
/* Hosts' clocks drift apart by less than one part in this. */
#define DRIFT_PARTS 1000
/* After a takeover the RTC comes back to this host's clock by 1 s in these. */
#define RTC_SLEW_PARTS 10

static struct {
    /* Added to this host's clocks in record mode; replay mutex. */
    int64_t elapsed_offset;     /* also read by the vCPU while it waits */
    int64_t host_offset;        /* at live_at */
    int64_t live_at;            /* this host's monotonic clock */

    /* vCPU thread, or it stands still. */
    bool base_known;
    int base;                   /* the shift that was configured */
    int64_t changed_at;         /* primary: this host's monotonic clock */
    int64_t told_at;

    /* Backup: I/O thread, until it goes live. */
    bool elapsed_known, host_known;
    int64_t elapsed_lead;       /* this host's monotonic clock - VIRTUAL_RT */
    int64_t host_lead;          /* the primary's host clock - this host's */
    int64_t sampled_at;
} t;

/* --- the recording side -------------------------------------------------- */

static int64_t host_offset(void)
{
    int64_t back = (get_clock() - t.live_at) / RTC_SLEW_PARTS;

    if (t.host_offset > 0) {
        return MAX(t.host_offset - back, 0);
    }
    return MIN(t.host_offset + back, 0);
}

int64_t ft_time_offset(ReplayClockKind kind)
{
    return kind == REPLAY_CLOCK_HOST ? host_offset()
        : qatomic_read(&t.elapsed_offset);
}

int64_t ft_stream_clock_now(ReplayClockKind kind)
{
    int64_t now = kind == REPLAY_CLOCK_HOST ? get_clock_realtime()
                                            : cpu_get_clock();

    return now + ft_time_offset(kind);
}

/* How far the guest's time is behind real time; negative: ahead. */
static int64_t behind(void)
{
    return ft_stream_clock_now(REPLAY_CLOCK_VIRTUAL_RT) - icount_get();
}

/* What the engine will add for the sleep that has just ended, or goes on. */
static int64_t sleep_to_come(void)
{
    int64_t since = timers_state.vm_clock_warp_start;

    return since == -1 ? 0 :
        MAX(ft_stream_clock_now(REPLAY_CLOCK_VIRTUAL_RT) - since, 0);
}

static int base_shift(void)
{
    if (!t.base_known) {
        t.base_known = true;
        t.base = timers_state.icount_time_shift;
    }
    return t.base;
}

/* An instruction counts 2^shift ns from here on; what the clock shows stays. */
static void set_shift(int shift)
{
    int64_t count = timers_state.qemu_icount;

    base_shift();
    seqlock_write_lock(&timers_state.vm_clock_seqlock,
                       &timers_state.vm_clock_lock);
    qatomic_set_i64(&timers_state.qemu_icount_bias,
                    timers_state.qemu_icount_bias +
                    (count << timers_state.icount_time_shift) -
                    (count << shift));
    qatomic_set(&timers_state.icount_time_shift, shift);
    seqlock_write_unlock(&timers_state.vm_clock_seqlock,
                         &timers_state.vm_clock_lock);
}

static void record_step(void)
{
    int64_t now = get_clock();
    int64_t late = behind() - sleep_to_come();
    int shift = timers_state.icount_time_shift;
    bool may_change = now - t.changed_at >= CHANGE_INTERVAL_NS;
    FtTimeEntry entry;

    if (late > LATE_NS && shift < SHIFT_MAX && may_change) {
        t.changed_at = now;
        shift++;
    } else if (late < -AHEAD_NS && shift > 0 && may_change) {
        t.changed_at = now;
        shift--;
    } else if (late < IN_TIME_NS && shift > base_shift()) {
        shift--;
    } else if (!ft_stream.to_log || now - t.told_at < TELL_INTERVAL_NS) {
        return;
    }
    t.told_at = now;
    stq_be_p(&entry.shift, shift);
    stq_be_p(&entry.elapsed, ft_stream_clock_now(REPLAY_CLOCK_VIRTUAL_RT));
    stq_be_p(&entry.host, ft_stream_clock_now(REPLAY_CLOCK_HOST));
    ft_stream_put_control(FT_CONTROL_TIME, &entry, sizeof(entry));
    set_shift(shift);
}

void ft_time_quiesce(void)
{
    set_shift(base_shift());
}

void ft_time_step(void)
{
    if (ft_stream.time_pending) {
        ft_stream_take_time();
    } else if (ft_stream_records() && ft_stream.started) {
        record_step();
    }
}

void ft_time_apply(const uint8_t *data)
{
    set_shift(ldq_be_p(data + offsetof(FtTimeEntry, shift)));
}

void ft_time_wait(void)
{
    if (!ft_stream_records() || !ft_stream.started || current_cpu->halted ||
        qatomic_read(&current_cpu->stop)) {
        return;
    }
    if (-behind() > FAR_AHEAD_NS) {
        ft_log_wait(ft_stream.log, UINT64_MAX, AHEAD_WAIT_MS);
    }
}

/* --- the backup ---------------------------------------------------------- */

static void sample_elapsed(int64_t elapsed)
{
    int64_t now = get_clock();
    int64_t lead = now - elapsed;

    /* A log that was long under way tells nothing; the fastest tells most. */
    if (t.elapsed_known) {
        lead = MIN(lead, t.elapsed_lead + (now - t.sampled_at) / DRIFT_PARTS);
    }
    t.elapsed_lead = lead;
    t.elapsed_known = true;
    t.sampled_at = now;
}

static void sample_host(int64_t host)
{
    t.host_lead = host - get_clock_realtime();
    t.host_known = true;
}

void ft_time_arrived(const uint8_t *entry)
{
    switch (entry[0]) {
    case EVENT_CLOCK + REPLAY_CLOCK_VIRTUAL_RT:
        sample_elapsed(ldq_be_p(entry + 1));
        break;
    case EVENT_CLOCK + REPLAY_CLOCK_HOST:
        sample_host(ldq_be_p(entry + 1));
        break;
    case FT_CONTROL_TIME:
        entry += FT_TIME_ENTRY_HEADER;
        sample_elapsed(ldq_be_p(entry + offsetof(FtTimeEntry, elapsed)));
        sample_host(ldq_be_p(entry + offsetof(FtTimeEntry, host)));
        break;
    case FT_CONTROL_START:
    case FT_CONTROL_PAUSE:
    case FT_CONTROL_CONTINUE:
        /* VIRTUAL_RT does not go on while the guest is paused. */
        t.elapsed_known = false;
        break;
    }
}

void ft_time_go_live(void)
{
    int64_t elapsed = replay_state.cached_clock[REPLAY_CLOCK_VIRTUAL_RT];
    int64_t host_seen = replay_state.cached_clock[REPLAY_CLOCK_HOST];
    int64_t host = get_clock_realtime();

    if (t.elapsed_known) {
        elapsed = MAX(elapsed, get_clock() - t.elapsed_lead);
    }
    elapsed = MAX(elapsed, icount_get());
    qatomic_set(&t.elapsed_offset, elapsed - cpu_get_clock());
    t.live_at = get_clock();
    t.host_offset = MAX(t.host_known ? t.host_lead : 0, host_seen - host);
    trace_ft_time_live((elapsed - icount_get()) / SCALE_MS,
                       t.host_offset / SCALE_MS);
}
