/*
 * Fuzzes what a log contains: upstream's replay engine, icount code and our
 * live stream, as a backup runs them, under a machine of stubs.
 *
 * The input is a script for the machine and a log.  Where the script is 0 the
 * machine does what the log asks for next, so that real logs are followed to
 * their end; any other byte makes it do something else, as a machine that has
 * diverged would.  Everything may end in ft_stream_fail(), and nothing in an
 * exit, an abort or a broken assertion.
 *
 * One thread plays the vCPU, the main loop and the I/O thread.  The engine's
 * static data is put back between inputs (fuzz-state.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <setjmp.h>
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/main-loop.h"
#include "qemu/option.h"
#include "qemu/seqlock.h"
#include "qemu/timer.h"
#include "chardev/char.h"
#include "hw/core/cpu.h"
#include "net/eth.h"
#include "net/filter.h"
#include "system/cpu-timers.h"
#include "system/cpu-timers-internal.h"
#include "replay/ft-stream-internal.h"
#include "replay/replay-internal.h"
#include "accel/tcg/tcg-accel-ops-icount.h"
#include "fuzz-machine.h"
#include "fuzz.h"

#define TURNS_MAX 3000
#define ENTRIES_A_COMMIT 16

static Input script, script_start;
static Input unread;            /* of the log */
static uint64_t parsed;
static bool log_broken;
static FtLog log_memory;
static jmp_buf failed;
static bool verbose;

static uint8_t script_byte(void)
{
    if (!script.size) {
        script = script_start;
    }
    return input_byte(&script);
}

/* --- the I/O thread ------------------------------------------------------ */

/* The next entries become a transaction; as commit_log() in ft/driver.c. */
static void commit_some(void)
{
    unsigned entries = 1 + script_byte() % ENTRIES_A_COMMIT;
    size_t at = 0;
    const char *why = NULL;

    while (entries-- && at < unread.size && !log_broken) {
        ssize_t n = ft_entry_length(unread.data + at, unread.size - at, &why);

        MUST(n >= 0 || why);
        if (n <= 0 || !ft_entry_begins(unread.data + at, parsed + at == 0,
                                       &why)) {
            log_broken = true;          /* the rest is never seen */
        } else {
            MUST((size_t)n <= unread.size - at);
            at += n;
        }
    }
    if (at) {
        ft_log_append(&log_memory, unread.data, at);
        ft_log_commit(&log_memory, ft_log_end(&log_memory));
        unread.data += at;
        unread.size -= at;
        parsed += at;
        ft_stream_published();
    }
}

static bool all_committed(void)
{
    return log_broken || !unread.size;
}

/* --- the stream's callbacks ---------------------------------------------- */

static void control(FtControl code, const uint8_t *data, size_t size)
{
    switch (code) {
    case FT_CONTROL_START:
        ft_stream_set_started();
        machine.running = !data[0];
        break;
    case FT_CONTROL_PAUSE:
        machine.running = false;
        break;
    case FT_CONTROL_CONTINUE:
        machine.running = true;
        break;
    default:
        break;
    }
}

static void appended(bool urgent)
{
}

static void live(void)
{
    machine.live = true;
    if (!ft_stream_started()) {         /* as ft_control_live() */
        ft_stream_set_started();
        machine.running = true;
    }
}

static void fetched(uint64_t position)
{
    MUST(position <= ft_log_committed(&log_memory));
}

static void fail(const char *why)
{
    MUST(why && *why);
    if (verbose) {
        fprintf(stderr, "%s\n", why);
    }
    longjmp(failed, 1);
}

static bool settled(void)
{
    return true;
}

static const FtStreamOps ops = {
    .control = control, .appended = appended, .live = live,
    .fetched = fetched, .fail = fail, .settled = settled,
};

/* --- the guest ----------------------------------------------------------- */

static void read_random(bool as_logged)
{
    uint8_t head[8], buf[256];
    size_t size = script_byte();

    if (as_logged && ft_log_copy(&log_memory, ft_source_position(),
                                 UINT64_MAX, head, 8) == 8) {
        size = ldl_be_p(head + 4);
    }
    if (size <= sizeof(buf)) {
        if (replay_mode == REPLAY_MODE_PLAY) {
            replay_read_random(buf, size);
        } else {
            replay_save_random(0, buf, size);
        }
    }
}

static void execute(uint32_t count)
{
    CPUState *cpu = &machine.cpu;

    while (count) {
        uint32_t now = MIN(count, cpu->neg.icount_decr.u16.low);
        uint32_t more;

        cpu->neg.icount_decr.u16.low -= now;
        count -= now;
        if (!count || !cpu->icount_extra) {
            break;
        }
        icount_update(cpu);
        more = MIN(0xffff, cpu->icount_budget);
        cpu->neg.icount_decr.u16.low = more;
        cpu->icount_extra = cpu->icount_budget - more;
    }
}

static uint32_t instructions_left(void)
{
    return machine.cpu.neg.icount_decr.u16.low + machine.cpu.icount_extra;
}

/* What a device does when the guest touches it. */
static void touch_device(uint8_t what)
{
    switch (what % 10) {
    case 0:
        REPLAY_CLOCK(REPLAY_CLOCK_HOST, 12345);
        break;
    case 1:
        REPLAY_CLOCK(REPLAY_CLOCK_VIRTUAL_RT, 1234);
        break;
    case 2:
        read_random(false);
        break;
    case 3:
        replay_interrupt();
        break;
    case 4:
        replay_exception();
        break;
    case 5:
        ft_stream_output_position();
        break;
    case 6:
        replay_block_event(machine.bh, script_byte());
        break;
    case 7:
        replay_bh_schedule_event(machine.bh);
        break;
    case 8:
        replay_bh_schedule_oneshot_event(NULL, machine_oneshot, NULL);
        break;
    case 9:
        timer_mod(machine.timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
                  ((int64_t)script_byte() << (script_byte() % 56)));
        break;
    }
}

/* The log's next entry is for a device: do what it asks for. */
static bool follow_in_guest(void)
{
    unsigned kind = replay_state.data_kind;

    if (replay_mode != REPLAY_MODE_PLAY || replay_state.instruction_count) {
        return false;
    }
    switch (kind) {
    case EVENT_INTERRUPT:
        return replay_interrupt();
    case EVENT_EXCEPTION:
        return replay_exception();
    case EVENT_RANDOM:
        read_random(true);
        return true;
    case EVENT_CLOCK ... EVENT_CLOCK_LAST:
        replay_read_clock(kind - EVENT_CLOCK, icount_get_raw());
        return true;
    case EVENT_CHECKPOINT + CHECKPOINT_CLOCK_VIRTUAL:
        return replay_checkpoint(CHECKPOINT_CLOCK_VIRTUAL);
    }
    return false;
}

static void run_slice(void)
{
    unsigned ops_left = 20;

    machine.cpu.running = true;
    while (ops_left--) {
        uint8_t what = script_byte();

        if (what >= 0xc0) {
            execute(MIN(instructions_left(), (what & 0x3f) + 1u));
        } else if (what) {
            touch_device(what);
        } else {
            execute(instructions_left());
            replay_account_executed_instructions();
            if (!follow_in_guest()) {
                break;
            }
        }
    }
    machine.cpu.running = false;
}

/* An asynchronous event that waits for a device to have asked for it. */
static void follow_async(void)
{
    uint8_t id[8];

    if (replay_mode != REPLAY_MODE_PLAY ||
        ft_log_copy(&log_memory, ft_source_position(), UINT64_MAX, id, 8)
        != 8) {
        return;
    }
    switch ((int)replay_state.data_kind - EVENT_ASYNC) {
    case REPLAY_ASYNC_EVENT_BH:
        replay_add_event(REPLAY_ASYNC_EVENT_BH, machine.bh, NULL,
                         ldq_be_p(id));
        break;
    case REPLAY_ASYNC_EVENT_BH_ONESHOT:
        replay_add_event(REPLAY_ASYNC_EVENT_BH_ONESHOT,
                         (void *)machine_oneshot, NULL, ldq_be_p(id));
        break;
    case REPLAY_ASYNC_EVENT_BLOCK:
        replay_block_event(machine.bh, ldq_be_p(id));
        break;
    default:
        break;
    }
}

/* As rr_cpu_thread_fn() in upstream's accel/tcg/tcg-accel-ops-rr.c. */
static void vcpu_turn(void)
{
    int64_t budget;

    current_cpu = &machine.cpu;
    machine.vcpu_thread = true;
    replay_mutex_lock();
    if (!script_byte()) {
        follow_async();
    }
    icount_account_warp_timer();
    icount_handle_deadline();
    budget = icount_percpu_budget(1);
    replay_mutex_unlock();
    if (machine.running) {
        icount_prepare_for_run(&machine.cpu, budget);
        run_slice();
        icount_process_data(&machine.cpu);
    }
    machine.vcpu_thread = false;
    current_cpu = NULL;
}

/* --- the main loop ------------------------------------------------------- */

static void main_turn(void)
{
    unsigned kind;
    uint8_t what = script_byte();

    replay_mutex_lock();
    kind = replay_state.data_kind;
    if (what) {
        replay_checkpoint(what % CHECKPOINT_COUNT);
    } else if (kind >= EVENT_CHECKPOINT && kind <= EVENT_CHECKPOINT_LAST &&
               kind != EVENT_CHECKPOINT + CHECKPOINT_CLOCK_WARP_ACCOUNT &&
               kind != EVENT_CHECKPOINT + CHECKPOINT_CLOCK_VIRTUAL &&
               ft_stream_started() && !ft_stream.starved) {
        replay_checkpoint(kind - EVENT_CHECKPOINT);
    }
    if (kind >= EVENT_CLOCK && kind <= EVENT_CLOCK_LAST && !what &&
        replay_mode == REPLAY_MODE_PLAY) {
        replay_read_clock(kind - EVENT_CLOCK, icount_get_raw());
    }
    icount_start_warp_timer();
    qemu_clock_run_timers(QEMU_CLOCK_HOST);
    qemu_clock_run_timers(QEMU_CLOCK_VIRTUAL_RT);
    ft_stream_take_powerdown();
    machine_run_stream_bh();
    replay_mutex_unlock();
}

/* For a person who wonders how far an input got. */
static void tell(const char *how)
{
    if (verbose) {
        fprintf(stderr, "%s: executed %" PRIu64 " of %" PRIu64 " bytes, %" PRId64
               " instructions\n", how, ft_stream_executed(),
               ft_log_end(&log_memory), ft_stream_icount());
    }
}

/* --- one input ----------------------------------------------------------- */

static void check(void)
{
    MUST(!replay_mutex_locked());
    MUST(ft_stream_executed() <= ft_log_committed(&log_memory));
    MUST(replay_mode == REPLAY_MODE_RECORD ||
         ft_source_position() <= ft_log_committed(&log_memory));
    MUST(replay_state.instruction_count >= 0);
    MUST(machine.live == (replay_mode == REPLAY_MODE_RECORD));
}

static void run(uint8_t flags)
{
    unsigned after = 0;

    for (int turn = 0; turn < TURNS_MAX; turn++) {
        uint64_t before = ft_stream_executed();
        bool was_live = machine.live;
        int64_t icount = ft_stream_icount();

        commit_some();
        main_turn();
        check();
        vcpu_turn();
        check();
        if (all_committed() && !machine.live && (flags & 1) && !log_broken) {
            ft_stream_drain();
        }
        if (ft_stream_executed() == before && all_committed() &&
            (was_live || ft_stream_icount() == icount) && after++ > 8) {
            break;                      /* executed, starved or stuck */
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size };
    uint8_t flags = input_byte(&in);

    script_start.data = input_bytes(&in, input_byte(&in),
                                    &script_start.size);
    script = script_start;
    unread = in;
    parsed = 0;
    log_broken = false;
    ft_log_reset(&log_memory);
    machine_begin(&log_memory, &ops);
    replay_mutex_unlock();
    if (!setjmp(failed)) {
        run(flags);
        tell(machine.live ? "live" : "end");
        machine_end(false);
    } else {
        tell("failed");
        machine_end(true);
    }
    return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    verbose = getenv("FT_FUZZ_VERBOSE");
    ft_log_init(&log_memory);
    machine_init();
    return 0;
}
