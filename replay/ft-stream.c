/*
 * The live stream: upstream's record/replay engine on a log in memory.
 *
 * A replaying engine prefetches the kind of the next entry.  Where the log
 * has no whole entry yet it sees EVENT_END instead, which nothing matches,
 * so that every "is this what the log says?" answers no and the machine
 * waits at its exact instruction ("starved").  The entry is fetched when
 * the replay mutex is next taken and the log has gone on.
 *
 *            set_started            drain, log executed
 *   HELD ------------------> PLAY ----------------------> LIVE (record,
 *     |                                                          no sink)
 *     `--------------------> RECORD, sink = log | nowhere
 *
 * HELD: the machine is made but the guest has not begun.  Clocks stand
 * still and random bytes are fixed, the same on both sides, and nothing is
 * logged: what devices read while they are created is then equal without a
 * log.  The START entry resets the machine with real values.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <stdio_ext.h>
#include "qemu/bswap.h"
#include "qemu/seqlock.h"
#include "qemu/units.h"
#include "qemu/main-loop.h"
#include "qemu/error-report.h"
#include "hw/core/cpu.h"
#include "system/cpu-timers.h"
#include "system/cpu-timers-internal.h"
#include "system/cpus.h"
#include "system/runstate.h"
#include "ft-stream.h"
#include "replay-internal.h"
#include "ft/trace.h"

/* What the guest's clocks show before it begins; any constant will do. */
#define HELD_CLOCK_NS 0
/* Instructions after which a count is worth an entry of its own. */
#define COUNT_WORTH_AN_ENTRY (64 * 1024)
/* A starved vCPU looks at the log again after this at the latest. */
#define STARVED_WAIT_MS 2
/* And so it does when it is the main loop's turn. */
#define TURN_WAIT_MS 1

static struct {
    /* Set up once. */
    bool active;
    FtLog *log;
    FtStreamOps ops;
    QEMUBH *bh;

    /* Protected by the replay mutex. */
    bool started;
    bool to_log;                /* primary */
    bool flush_wanted;          /* primary: an output waits for this log */
    bool starved;               /* backup: the sentinel was fetched */
    bool control_pending;       /* backup: a control entry is next */
    bool clock_seen[REPLAY_CLOCK_COUNT];
    int64_t clock_offset[REPLAY_CLOCK_COUNT];
    uint64_t read_position;     /* backup: the engine's next byte */

    /* Atomic. */
    bool draining;
    bool main_polls;            /* backup: the main loop may sleep */
    bool vcpu_waits;            /* backup: for the main loop's turn to end */
    bool stall;                 /* primary: buffers are full (M4) */
    uint64_t executed;
    int64_t icount;
} s;

static bool engine_plays(void)
{
    return s.active && replay_mode == REPLAY_MODE_PLAY;
}

static bool engine_records(void)
{
    return s.active && replay_mode == REPLAY_MODE_RECORD;
}

bool ft_stream_active(void)
{
    return s.active;
}

/* --- the engine's file is the log ------------------------------------- */

static ssize_t sink_write(void *opaque, const char *buf, size_t size)
{
    if (s.to_log) {
        ft_log_append(s.log, buf, size);
    }
    return size;
}

/*
 * Entries are whole when the engine reads their first byte, so the log never
 * ends inside one; a short read would be our own mistake.
 */
static ssize_t source_read(void *opaque, char *buf, size_t size)
{
    size_t n = ft_log_copy(s.log, s.read_position, UINT64_MAX, buf, size);

    assert(n == size);
    s.read_position += n;
    return n;
}

static FILE *open_sink(void)
{
    FILE *f = fopencookie(NULL, "w",
                          (cookie_io_functions_t) { .write = sink_write });

    setvbuf(f, NULL, _IOFBF, 64 * KiB);
    return f;
}

static FILE *open_source(void)
{
    FILE *f = fopencookie(NULL, "r",
                          (cookie_io_functions_t) { .read = source_read });

    setvbuf(f, NULL, _IONBF, 0);
    return f;
}

static void stream_bh(void *opaque);

void ft_stream_setup(bool play, FtLog *log, const FtStreamOps *ops)
{
    s.active = true;
    s.log = log;
    s.ops = *ops;
    s.starved = play;
    s.bh = qemu_bh_new(stream_bh, NULL);
}

/* The engine was opened to record into /dev/null; put the stream there. */
void ft_stream_hook_enable(void)
{
    if (!s.active) {
        return;
    }
    fclose(replay_file);
    if (s.starved) {
        replay_file = open_source();
        replay_mode = REPLAY_MODE_PLAY;
        replay_state.data_kind = EVENT_END;
        replay_state.has_unread_data = true;
    } else {
        replay_file = open_sink();
    }
}

void ft_stream_set_started(void)
{
    s.started = true;
}

bool ft_stream_started(void)
{
    return s.active && s.started;
}

bool ft_stream_follows(void)
{
    return engine_plays() && s.started;
}

/* --- primary ------------------------------------------------------------ */

void ft_stream_begin_log(void)
{
    if (engine_records()) {
        fflush(replay_file);
        s.to_log = true;
    }
}

void ft_stream_end_log(void)
{
    fflush(replay_file);
    s.to_log = false;
    qatomic_set(&s.stall, false);
    ft_log_wake(s.log);
}

void ft_stream_put_control(FtControl code, const void *data, size_t size)
{
    uint8_t header[5];

    if (!engine_records() || !s.to_log) {
        return;
    }
    replay_save_instructions();
    header[0] = code;
    stl_be_p(header + 1, size);
    fwrite(header, 1, sizeof(header), replay_file);
    fwrite(data, 1, size, replay_file);
}

uint64_t ft_stream_output_position(void)
{
    g_assert(replay_mutex_locked());
    if (engine_plays()) {
        replay_account_executed_instructions();
        return s.executed;
    }
    if (!s.to_log) {
        return 0;
    }
    replay_save_instructions();
    s.flush_wanted = true;
    if (first_cpu) {
        cpu_exit(first_cpu);
    }
    return ft_log_end(s.log) + __fpending(replay_file);
}

void ft_stream_set_stall(bool stall)
{
    if (qatomic_xchg(&s.stall, stall) && !stall) {
        ft_log_wake(s.log);
    }
}

static void commit_open_transaction(void)
{
    if (__fpending(replay_file)) {
        fflush(replay_file);
    }
    if (ft_log_end(s.log) != ft_log_committed(s.log)) {
        ft_log_commit(s.log, ft_log_end(s.log));
        s.ops.appended(s.flush_wanted);
        s.flush_wanted = false;
    }
}

static void publish(void)
{
    int64_t now = replay_get_current_icount();

    qatomic_set(&s.icount, now);
    if (!s.to_log) {
        return;
    }
    if (now - replay_state.current_icount >= COUNT_WORTH_AN_ENTRY) {
        replay_save_instructions();
    }
    commit_open_transaction();
}

uint64_t ft_stream_flush(void)
{
    if (!engine_records() || !s.to_log) {
        return 0;
    }
    replay_save_instructions();
    commit_open_transaction();
    return ft_log_end(s.log);
}

/* --- backup ------------------------------------------------------------- */

static bool log_has_more(void)
{
    return ft_log_committed(s.log) > s.read_position;
}

static uint8_t next_code(void)
{
    uint8_t code;

    ft_log_copy(s.log, s.read_position, UINT64_MAX, &code, 1);
    return code;
}

static void fetch_again(void)
{
    replay_state.has_unread_data = false;
    replay_fetch_data_kind();
}

/* Takes the control entry at the cursor and carries it out. */
static void run_control(bool fetch_next)
{
    g_autofree uint8_t *data = NULL;
    size_t size;
    FtControl code = replay_get_byte();

    replay_get_array_alloc(&data, &size);
    if (fetch_next) {
        fetch_again();
    }
    s.ops.control(code, data, size);
}

/*
 * Leaves at the cursor either an entry of the engine's (false) or the
 * sentinel (true).
 */
bool ft_stream_hook_fetch(void)
{
    if (!engine_plays()) {
        return false;
    }
    qatomic_set(&s.executed, s.read_position);
    while (!s.control_pending && log_has_more()) {
        uint8_t next = next_code();

        if (next < FT_CONTROL_FIRST) {
            ft_log_trim(s.log, s.read_position);
            s.starved = false;
            return false;
        }
        if (next != FT_CONTROL_DISK_RESULT) {
            s.control_pending = true;
            break;
        }
        run_control(false);
    }
    replay_state.data_kind = EVENT_END;
    replay_state.has_unread_data = true;
    s.starved = true;
    if (s.control_pending || qatomic_read(&s.draining)) {
        qemu_bh_schedule(s.bh);
    }
    return true;
}

/*
 * The power button is pressed where the main loop acts on it, so that
 * nothing comes between.
 */
bool ft_stream_take_powerdown(void)
{
    if (!engine_plays() || !s.control_pending ||
        next_code() != FT_CONTROL_POWERDOWN) {
        return false;
    }
    s.control_pending = false;
    run_control(true);
    return true;
}

void ft_stream_published(void)
{
    /* The log's commit has woken a waiting vCPU; wake the main loop. */
    qemu_notify_event();
}

void ft_stream_drain(void)
{
    qatomic_set(&s.draining, true);
    qemu_bh_schedule(s.bh);
}

uint64_t ft_stream_executed(void)
{
    return qatomic_read(&s.executed);
}

uint64_t ft_stream_icount(void)
{
    return qatomic_read(&s.icount);
}

/*
 * The clocks go on from what the log said last: the elapsed-time clock
 * without a step, the host clock without a step back.
 */
static void continue_clocks(void)
{
    int64_t host = get_clock_realtime();
    int64_t elapsed = cpu_get_clock();

    s.clock_offset[REPLAY_CLOCK_VIRTUAL_RT] =
        replay_state.cached_clock[REPLAY_CLOCK_VIRTUAL_RT] - elapsed;
    s.clock_offset[REPLAY_CLOCK_HOST] =
        MAX(replay_state.cached_clock[REPLAY_CLOCK_HOST] - host, 0);
}

static void go_live(void)
{
    fclose(replay_file);
    replay_file = open_sink();
    continue_clocks();
    replay_state.read_event_id = -1;
    replay_state.instruction_count = 0;
    replay_state.has_unread_data = false;
    replay_state.data_kind = -1;
    replay_state.current_icount = replay_get_current_icount();
    s.starved = false;
    replay_mode = REPLAY_MODE_RECORD;
    trace_ft_stream_live(replay_state.current_icount, s.read_position);
    s.ops.live();
    qemu_clock_notify(QEMU_CLOCK_VIRTUAL);
    qemu_notify_event();
}

/* Main thread, BQL and replay mutex held. */
static void stream_bh(void *opaque)
{
    if (!engine_plays() || !s.starved) {
        return;
    }
    if (s.control_pending) {
        if (next_code() != FT_CONTROL_POWERDOWN) {
            s.control_pending = false;
            run_control(true);
        }
    } else if (qatomic_read(&s.draining) && !log_has_more()) {
        go_live();
    }
}

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

/* Called with the BQL, under which the main thread changes the engine. */
bool ft_stream_hook_idle(void)
{
    if (engine_records()) {
        return replay_has_events();
    }
    return engine_plays() && !s.starved &&
        replay_state.instruction_count == 0 && !main_loop_entry();
}

/* --- the replay mutex --------------------------------------------------- */

void ft_stream_hook_before_lock(void)
{
    if (!s.active) {
        return;
    }
    if (!current_cpu) {
        qatomic_set(&s.main_polls, false);
        /* Whoever waits here must not wait for a whole slice. */
        if (first_cpu) {
            cpu_exit(first_cpu);
        }
        return;
    }
    if (engine_plays() && replay_state.instruction_count == 0) {
        if (s.starved) {
            ft_log_wait(s.log, s.read_position, STARVED_WAIT_MS);
        } else if (main_loop_entry()) {
            /* Racing the main loop for the mutex would only slow it down. */
            qatomic_set(&s.vcpu_waits, true);
            ft_log_wait(s.log, UINT64_MAX, TURN_WAIT_MS);
        }
    }
    while (engine_records() && qatomic_read(&s.stall) &&
           !qatomic_read(&current_cpu->stop)) {
        ft_log_wait(s.log, UINT64_MAX, STARVED_WAIT_MS);
    }
}

void ft_stream_hook_after_lock(void)
{
    if (!engine_plays()) {
        return;
    }
    if (s.starved && !s.control_pending && log_has_more()) {
        fetch_again();
    }
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
    if (!s.active || !s.started) {
        return;
    }
    if (engine_records()) {
        publish();
        return;
    }
    qatomic_set(&s.icount, replay_state.current_icount);
    if (!current_cpu) {
        qatomic_set(&s.main_polls, true);
    }
    if (s.starved) {
        return;
    }
    if (main_loop_entry()) {
        /* Without this the main loop sleeps to a deadline of its own. */
        if (qatomic_xchg(&s.main_polls, false)) {
            qemu_notify_event();
        }
    } else if (!current_cpu && first_cpu) {
        qemu_cpu_kick(first_cpu);
        if (qatomic_xchg(&s.vcpu_waits, false)) {
            ft_log_wake(s.log);
        }
    }
}

bool ft_stream_hook_notify_exit(void)
{
    if (s.active && current_cpu) {
        cpu_exit(current_cpu);
    }
    return s.active;
}

/*
 * Upstream's main loop wakes every thread that has timers when the log has
 * an event for the vCPU, and so itself; here the vCPU was told.
 */
bool ft_stream_hook_has_event(void)
{
    return s.active;
}

/* --- what the engine logs ----------------------------------------------- */

bool ft_stream_hook_checkpoint(ReplayCheckpoint checkpoint, bool *result)
{
    if (!s.active) {
        return false;
    }
    if (!s.started) {
        *result = false;
        return true;
    }
    /*
     * At every exit of the vCPU's loop, and without any effect unless the
     * machine was asleep: nine in ten entries of upstream's log.
     */
    if (engine_records() && checkpoint == CHECKPOINT_CLOCK_WARP_ACCOUNT &&
        timers_state.vm_clock_warp_start == -1 && !replay_has_events()) {
        *result = true;
        return true;
    }
    return false;
}

bool ft_stream_hook_async_events(void)
{
    return engine_records() && !replay_has_events();
}

bool ft_stream_hook_clock(ReplayClockKind kind, int64_t *clock)
{
    if (!s.active) {
        return false;
    }
    if (!s.started) {
        *clock = HELD_CLOCK_NS;
        return true;
    }
    if (engine_records()) {
        *clock += s.clock_offset[kind];
    }
    return false;
}

bool ft_stream_hook_random(void *buf, size_t len)
{
    if (!s.active || s.started) {
        return false;
    }
    memset(buf, 0x5a, len);
    return true;
}

/*
 * A reset that the backup's guest did not ask for was asked for on the
 * primary, by QMP.
 */
int ft_stream_hook_reset(int cause)
{
    if (engine_plays() && cause == SHUTDOWN_CAUSE_NONE && !s.starved &&
        replay_state.instruction_count == 0 && replay_state.data_kind ==
        EVENT_CHECKPOINT + CHECKPOINT_RESET_REQUESTED) {
        return SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET;
    }
    return cause;
}
