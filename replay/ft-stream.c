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
#include "accel/tcg/ft-tcg.h"
#include "system/cpu-timers.h"
#include "system/cpu-timers-internal.h"
#include "system/cpus.h"
#include "system/runstate.h"
#include "ft-quiet.h"
#include "ft-stream-internal.h"
#include "ft-time.h"
#include "ft/trace.h"

/* Instructions after which a count is worth an entry of its own. */
#define COUNT_WORTH_AN_ENTRY (64 * 1024)
/*
 * A transaction of this size has a packet for the guest in it.  What of these
 * the backup has not got when the primary dies, the sender has to repeat,
 * after its time-out of a second.
 */
#define INPUT_SIZE 64

/* A packet from this size on is worth a copy less. */
#define LARGE_SIZE 2048

/* Of the log that was executed, so much at least is kept. */
#define TAIL_SIZE (512 * KiB)

FtStream ft_stream;

bool ft_stream_active(void)
{
    return ft_stream.active;
}

/* --- the engine's file is the log ---------------------------------------- */

static ssize_t sink_write(void *opaque, const char *buf, size_t size)
{
    ft_stream.sunk += size;
    if (ft_stream.to_log) {
        ft_log_append(ft_stream.log, buf, size);
        ft_stream.uncommitted += size;
        ft_hash_update(ft_stream.hash, buf, size);
    }
    return size;
}

static FILE *open_sink(void)
{
    FILE *f = fopencookie(NULL, "w",
                          (cookie_io_functions_t) { .write = sink_write });

    setvbuf(f, NULL, _IOFBF, 64 * KiB);
    /* The engine writes a byte at a time; the replay mutex is enough. */
    __fsetlocking(f, FSETLOCKING_BYCALLER);
    return f;
}

static void stream_bh(void *opaque);

void ft_stream_setup(bool play, FtLog *log, const FtStreamOps *ops)
{
    ft_stream.active = true;
    ft_blocks_activate();
    ft_stream.log = log;
    ft_stream.ops = *ops;
    ft_stream.hash = ft_hash_new();
    ft_stream.starved = play;
    ft_stream.vcpu_sleeps = true;
    ft_stream.bh = qemu_bh_new(stream_bh, NULL);
}

/* The engine was opened to record into /dev/null; put the stream there. */
void ft_stream_hook_enable(void)
{
    if (!ft_stream.active) {
        return;
    }
    fclose(replay_file);
    if (ft_stream.starved) {
        replay_file = ft_source_open();
        replay_mode = REPLAY_MODE_PLAY;
        replay_state.data_kind = EVENT_END;
        replay_state.has_unread_data = true;
    } else {
        replay_file = open_sink();
    }
}

void ft_stream_set_started(void)
{
    ft_stream.started = true;
}

bool ft_stream_started(void)
{
    return ft_stream.active && ft_stream.started;
}

bool ft_stream_follows(void)
{
    return ft_stream_plays() && ft_stream.started && !ft_stream.finished;
}

/* --- the end ------------------------------------------------------------- */

void ft_stream_hook_shutdown(void)
{
    qatomic_set(&ft_stream.shutdown, true);
}

bool ft_stream_take_shutdown(void)
{
    return qatomic_xchg(&ft_stream.shutdown, false);
}

void ft_stream_hook_finish(void)
{
    ft_stream.finished = true;
    ft_stream.to_log = false;
}

bool ft_stream_hook_shutdown_request(void)
{
    return ft_stream.active && !ft_stream.started;
}

/* --- primary ------------------------------------------------------------- */

void ft_stream_begin_log(void)
{
    if (ft_stream_records()) {
        fflush(replay_file);
        ft_quiet_forget_exceptions();
        ft_stream.uncommitted = 0;
        ft_stream.to_log = true;
    }
}

void ft_stream_end_log(void)
{
    fflush(replay_file);
    ft_stream.to_log = false;
    ft_stream_set_rest(0);
    ft_stream_set_stall(false);
}

uint64_t ft_stream_take_log_hash(void)
{
    if (ft_stream_plays()) {
        return ft_stream.log_hash;
    }
    replay_save_instructions();
    ft_quiet_put_exceptions();
    fflush(replay_file);
    return ft_hash_take(ft_stream.hash);
}

void ft_stream_put_control(FtControl code, const void *data, size_t size)
{
    uint8_t header[5];

    if (!ft_stream_records() || !ft_stream.to_log ||
        (!ft_stream.started && code != FT_CONTROL_START)) {
        return;
    }
    replay_save_instructions();
    ft_quiet_put_exceptions();
    if (code == FT_CONTROL_START) {
        ft_stream_take_log_hash();
    }
    header[0] = code;
    stl_be_p(header + 1, size);
    fwrite(header, 1, sizeof(header), replay_file);
    fwrite(data, 1, size, replay_file);
}

/* As upstream's engine writes a packet (replay-net.c). */
void ft_stream_put_packet(uint8_t netdev, unsigned flags, const void *data,
                          size_t size)
{
    if (!replay_file) {
        return;                 /* closed, at the process's end */
    }
    replay_save_instructions();
    replay_put_event(EVENT_ASYNC + REPLAY_ASYNC_EVENT_NET);
    replay_put_byte(netdev);
    replay_put_dword(flags);
    if (size < LARGE_SIZE) {
        replay_put_array(data, size);
        return;
    }
    /* Not through the file's buffer. */
    replay_put_dword(size);
    fflush(replay_file);
    sink_write(NULL, data, size);
}

bool ft_stream_writes_log(void)
{
    return ft_stream_records() && ft_stream.started && ft_stream.to_log;
}

void ft_stream_hold_clocks(bool hold)
{
    ft_stream.clocks_held = hold;
}

uint64_t ft_stream_output_position(void)
{
    g_assert(replay_mutex_locked());
    if (ft_stream_plays()) {
        replay_account_executed_instructions();
        return ft_stream.executed;
    }
    if (!ft_stream.to_log) {
        return 0;
    }
    replay_save_instructions();
    ft_stream.flush_wanted = true;
    if (first_cpu) {
        cpu_exit(first_cpu);
    }
    return ft_log_end(ft_stream.log) + __fpending(replay_file);
}

uint64_t ft_stream_log_position(void)
{
    /* At the process's end the engine closes it before its last events. */
    return replay_file ? ft_log_end(ft_stream.log) + __fpending(replay_file)
                       : UINT64_MAX;
}

bool ft_stream_takes_input(void)
{
    return ft_stream_records() && ft_stream.started && runstate_is_running();
}

void ft_stream_input(void)
{
    if (!qatomic_xchg(&ft_stream.input, true) && first_cpu) {
        cpu_exit(first_cpu);
        /* On its way to sleep it says so first, and then looks once more. */
        if (qatomic_read(&ft_stream.vcpu_sleeps)) {
            bql_lock();
            qemu_cpu_kick(first_cpu);
            bql_unlock();
        }
    }
}

void ft_stream_want_publish(void)
{
    if (ft_stream_records() && ft_stream.started && first_cpu &&
        !qatomic_read(&ft_stream.vcpu_sleeps)) {
        qatomic_set(&ft_stream.publish_wanted, true);
        cpu_exit(first_cpu);
    }
}

void ft_stream_before_sleep(void)
{
    if (ft_stream_records() && ft_stream.to_log) {
        ft_stream.ops.sleeps();
    }
}

static void commit_open_transaction(void)
{
    uint64_t size;

    if (__fpending(replay_file)) {
        fflush(replay_file);
    }
    size = ft_stream.uncommitted;
    if (size) {
        bool urgent = ft_stream.flush_wanted || size >= INPUT_SIZE ||
            qatomic_read(&ft_stream.publish_wanted);

        ft_log_commit_all(ft_stream.log);
        ft_stream.uncommitted = 0;
        ft_stream.flush_wanted = false;
        qatomic_set(&ft_stream.publish_wanted, false);
        ft_stream.ops.appended(urgent);
    }
}

void ft_stream_publish(void)
{
    int64_t now = replay_get_current_icount();

    qatomic_set(&ft_stream.icount, now);
    /* Also without a log: the engine asserts that a step fits 31 bits. */
    while (now - replay_state.current_icount > INT32_MAX) {
        replay_advance_current_icount(replay_state.current_icount + INT32_MAX);
    }
    if (now - replay_state.current_icount >= COUNT_WORTH_AN_ENTRY) {
        replay_save_instructions();
    }
    if (ft_stream.to_log) {
        commit_open_transaction();
    }
}

uint64_t ft_stream_flush(void)
{
    if (!ft_stream_records() || !ft_stream.to_log) {
        return 0;
    }
    replay_save_instructions();
    commit_open_transaction();
    return ft_log_end(ft_stream.log);
}

/* --- backup -------------------------------------------------------------- */

void ft_stream_fetch_again(void)
{
    replay_state.has_unread_data = false;
    replay_fetch_data_kind();
}

/* Takes the control entry at the cursor and carries it out. */
static void run_control(bool fetch_next)
{
    g_autofree uint8_t *data = NULL;
    size_t size;
    FtControl code = ft_source_next();

    if (code == FT_CONTROL_START || code == FT_CONTROL_DIGEST) {
        ft_stream.log_hash = ft_source_take_hash();
    }
    replay_get_byte();
    replay_get_array_alloc(&data, &size);
    if (fetch_next) {
        ft_stream_fetch_again();
    }
    ft_stream.in_control = true;
    ft_stream.ops.control(code, data, size);
    ft_stream.in_control = false;
    ft_stream_bh_again();
}

/* Of what was executed some is kept, as evidence. */
static void trim_log(void)
{
    uint64_t at = ft_source_position();

    if (at < ft_stream.tail_position) {
        ft_stream.tail_position = at;           /* another session's log */
    } else if (at - ft_stream.tail_position >= TAIL_SIZE) {
        ft_log_trim(ft_stream.log, ft_stream.tail_position);
        ft_stream.tail_position = at;
    }
}

/* Says what a request will find, and may be carried out at once. */
static bool is_of_disk(FtControl code)
{
    return code == FT_CONTROL_DISK_RESULT || code == FT_CONTROL_DISK_DATA ||
        code == FT_CONTROL_DISK_DONE;
}

/*
 * Leaves at the cursor either an entry of the engine's (false) or the
 * sentinel (true).
 */
bool ft_stream_hook_fetch(void)
{
    if (!ft_stream_plays()) {
        return false;
    }
    qatomic_set(&ft_stream.executed, ft_source_position());
    while (!ft_stream.control_pending && ft_source_has_more()) {
        uint8_t next = ft_source_next();

        ft_stream.ops.fetched(ft_source_position());
        if (next < FT_CONTROL_FIRST || next == FT_CONTROL_TIME) {
            trim_log();
            ft_stream.starved = false;
            ft_stream.time_pending = next == FT_CONTROL_TIME;
            if (ft_stream.time_pending) {
                break;
            }
            return false;
        }
        if (!is_of_disk(next)) {
            ft_stream.control_pending = true;
            break;
        }
        run_control(false);
        qatomic_set(&ft_stream.executed, ft_source_position());
    }
    replay_state.data_kind = EVENT_END;
    replay_state.has_unread_data = true;
    if (ft_stream.time_pending) {
        return true;
    }
    ft_stream.starved = true;
    if (ft_stream.control_pending || qatomic_read(&ft_stream.draining)) {
        qemu_bh_schedule(ft_stream.bh);
    }
    return true;
}

/*
 * The power button is pressed where the main loop acts on it, so that
 * nothing comes between.
 */
bool ft_stream_take_powerdown(void)
{
    if (!ft_stream_plays() || !ft_stream.control_pending ||
        ft_source_next() != FT_CONTROL_POWERDOWN) {
        return false;
    }
    ft_stream.control_pending = false;
    run_control(true);
    return true;
}

void ft_stream_take_time(void)
{
    g_autofree uint8_t *data = NULL;
    size_t size;

    replay_get_byte();
    replay_get_array_alloc(&data, &size);
    ft_stream.time_pending = false;
    ft_time_apply(data);
    ft_stream_fetch_again();
}

void ft_stream_published(void)
{
    /*
     * The log's commit has woken a vCPU that waits for it, and one that
     * executes comes by: it wakes the main loop for an entry of that.  For a
     * vCPU that sleeps the main loop has to look.
     */
    smp_mb();
    if (qatomic_read(&ft_stream.vcpu_sleeps)) {
        qemu_notify_event();
    }
}

void ft_stream_drain(void)
{
    qatomic_set(&ft_stream.draining, true);
    qemu_bh_schedule(ft_stream.bh);
}

void ft_stream_settled(void)
{
    if (qatomic_read(&ft_stream.draining)) {
        qemu_bh_schedule(ft_stream.bh);
    }
}

uint64_t ft_stream_executed(void)
{
    return qatomic_read(&ft_stream.executed);
}

void ft_stream_catch_up(void)
{
    if (ft_stream_plays() && replay_mutex_locked()) {
        replay_account_executed_instructions();
    }
}

bool ft_stream_locked(void)
{
    return replay_mutex_locked();
}

void ft_stream_rounds(uint64_t *vcpu, uint64_t *main)
{
    *vcpu = qatomic_read(&ft_stream.vcpu_rounds);
    *main = qatomic_read(&ft_stream.main_rounds);
}

uint64_t ft_stream_icount(void)
{
    return qatomic_read(&ft_stream.icount);
}

static void go_live(void)
{
    uint64_t position = ft_source_position();

    fclose(replay_file);
    replay_file = open_sink();
    ft_time_go_live();
    replay_state.read_event_id = -1;
    replay_state.instruction_count = 0;
    replay_state.has_unread_data = false;
    replay_state.data_kind = -1;
    replay_state.current_icount = replay_get_current_icount();
    ft_stream.starved = false;
    replay_mode = REPLAY_MODE_RECORD;
    trace_ft_stream_live(replay_state.current_icount, position);
    ft_stream.ops.live();
    qemu_clock_notify(QEMU_CLOCK_VIRTUAL);
    qemu_notify_event();
}

/*
 * A device that waits for its disk runs bottom halves, this one too, in the
 * midst of a reset or of an instruction: that is not yet the place in the log.
 */
static bool is_too_early(void)
{
    return current_cpu || ft_stream.resetting || ft_stream.in_control;
}

void ft_stream_bh_again(void)
{
    if (ft_stream.bh_waits && !ft_stream.resetting && !ft_stream.in_control) {
        ft_stream.bh_waits = false;
        qemu_bh_schedule(ft_stream.bh);
    }
}

/* Main thread, BQL and replay mutex held; or too early. */
static void stream_bh(void *opaque)
{
    if (!ft_stream_plays()) {
        return;
    }
    if (is_too_early()) {
        ft_stream.bh_waits = true;
        return;
    }
    if (!ft_stream.starved) {
        return;
    }
    if (ft_stream.control_pending) {
        if (ft_source_next() != FT_CONTROL_POWERDOWN) {
            ft_stream.control_pending = false;
            run_control(true);
        }
    } else if (qatomic_read(&ft_stream.draining) &&
               !ft_source_has_more() && ft_stream.ops.settled()) {
        go_live();
    }
}
