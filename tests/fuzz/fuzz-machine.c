/*
 * The stubs around upstream's replay engine.
 *
 * The engine's objects have their data in sections of their own
 * (build.py), which are put back before each input.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-types-ui.h"
#include "qemu/main-loop.h"
#include "qemu/option.h"
#include "qemu/seqlock.h"
#include "qemu/timer.h"
#include "block/aio.h"
#include "chardev/char.h"
#include "hw/core/cpu.h"
#include "net/eth.h"
#include "net/filter.h"
#include "qom/object.h"
#include "system/cpu-timers.h"
#include "system/cpu-timers-internal.h"
#include "system/runstate.h"
#include "ui/input.h"
#include "accel/tcg/ft-tcg.h"
#include "ft/hash.h"
#include "replay/ft-stream-internal.h"
#include "replay/replay-internal.h"
#include "fuzz-machine.h"
#include "fuzz.h"

Machine machine;

/* --- what the linker finds instead of QEMU's (build.py) ------------------ */

struct QEMUBH {
    QEMUBHFunc *fn;
    void *opaque;
    bool scheduled;
};

static QEMUBH stream_bh, device_bh;

QEMUBH *__wrap_qemu_bh_new_full(QEMUBHFunc *cb, void *opaque,
                                const char *name, MemReentrancyGuard *guard);
void __wrap_qemu_bh_schedule(QEMUBH *bh);
void __wrap_aio_bh_call(QEMUBH *bh);
void __wrap_qemu_notify_event(void);
void __wrap_ft_log_wait(FtLog *log, uint64_t position, int timeout_ms);

QEMUBH *__wrap_qemu_bh_new_full(QEMUBHFunc *cb, void *opaque,
                                const char *name, MemReentrancyGuard *guard)
{
    stream_bh = (QEMUBH) { .fn = cb, .opaque = opaque };
    return &stream_bh;
}

void __wrap_qemu_bh_schedule(QEMUBH *bh)
{
    bh->scheduled = true;
}

void __wrap_aio_bh_call(QEMUBH *bh)
{
    bh->fn(bh->opaque);
}

void __wrap_qemu_notify_event(void)
{
}

void __wrap_ft_log_wait(FtLog *log, uint64_t position, int timeout_ms)
{
}

/* What digests compare of the log is no business of the engine's. */
FtHash *ft_hash_new(void)
{
    return NULL;
}

void ft_hash_update(FtHash *hash, const void *data, size_t size)
{
}

uint64_t ft_hash_take(FtHash *hash)
{
    return 0;
}

/* --- devices ------------------------------------------------------------- */

/* Only their addresses count.  A real machine's first is the guard's own. */
static char chardevs[4];
static struct NetFilterState filters[2];

static void device_bh_fn(void *opaque)
{
}

void machine_oneshot(void *opaque)
{
}

/* A device's timer: it comes again, and asks the host for the time. */
static void timer_fired(void *opaque)
{
    REPLAY_CLOCK(REPLAY_CLOCK_HOST, 1);
    timer_mod(machine.timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
              NANOSECONDS_PER_SECOND);
}

void qemu_chr_be_write_impl(Chardev *s, const uint8_t *buf, int len)
{
    MUST((char *)s >= chardevs && (char *)s < chardevs + sizeof(chardevs));
    MUST(len > 0);
    MUST(buf[0] + buf[len - 1] >= 0);
}

ssize_t qemu_netfilter_pass_to_next(NetClientState *sender, unsigned flags,
                                    const struct iovec *iov, int iovcnt,
                                    void *opaque)
{
    MUST(opaque == &filters[0] || opaque == &filters[1]);
    MUST(iovcnt == 1 && iov->iov_len >= ETH_HLEN);
    MUST(!(flags & ~QEMU_NET_PACKET_FLAG_RAW));
    return iov->iov_len;
}

void qemu_input_event_send_impl(QemuConsole *src, InputEvent *evt)
{
    MUST(evt->type < INPUT_EVENT_KIND__MAX);
    switch (evt->type) {
    case INPUT_EVENT_KIND_KEY:
        MUST(evt->u.key.data->key->type < KEY_VALUE_KIND__MAX);
        MUST(evt->u.key.data->key->type == KEY_VALUE_KIND_NUMBER ||
             evt->u.key.data->key->u.qcode.data < Q_KEY_CODE__MAX);
        break;
    case INPUT_EVENT_KIND_BTN:
        MUST(evt->u.btn.data->button < INPUT_BUTTON__MAX);
        break;
    case INPUT_EVENT_KIND_REL:
    case INPUT_EVENT_KIND_ABS:
        MUST(evt->u.rel.data->axis < INPUT_AXIS__MAX);
        break;
    case INPUT_EVENT_KIND_MTT:
        MUST(evt->u.mtt.data->type < INPUT_MULTI_TOUCH_TYPE__MAX);
        MUST(evt->u.mtt.data->axis < INPUT_AXIS__MAX);
        break;
    default:
        break;
    }
}

void qemu_input_event_sync_impl(void)
{
}

/* --- the rest of QEMU ---------------------------------------------------- */

TimersState timers_state;
__thread CPUState *current_cpu;
CPUTailQ cpus_queue = QTAILQ_HEAD_INITIALIZER(cpus_queue);
static int64_t elapsed_ns;

int64_t cpu_get_clock_locked(void)
{
    return elapsed_ns += 1000;
}

int64_t cpu_get_clock(void)
{
    return cpu_get_clock_locked();
}

bool all_cpu_threads_idle(void)
{
    return !machine.running;
}

void cpu_exit(CPUState *cpu)
{
    MUST(cpu == &machine.cpu);
}

void qemu_cpu_kick(CPUState *cpu)
{
    MUST(cpu == &machine.cpu);
}

bool qemu_in_vcpu_thread(void)
{
    return machine.vcpu_thread;
}

bool runstate_is_running(void)
{
    return machine.running;
}

void runstate_replay_enable(void)
{
}

void qemu_system_shutdown_request(ShutdownCause reason)
{
    MUST(reason < SHUTDOWN_CAUSE__MAX);
}

void replay_vmstate_register(void)
{
}

/* --- between inputs ------------------------------------------------------ */

extern uint64_t __start_engine_data[], __stop_engine_data[];
extern uint64_t __start_engine_bss[], __stop_engine_bss[];

static uint64_t *saved_data, *saved_bss;

/* Copies the red zones, too. */
static void __attribute__((no_sanitize("address")))
copy_words(volatile uint64_t *to, const volatile uint64_t *from,
           const volatile uint64_t *end)
{
    while (from < end) {
        *to++ = *from++;
    }
}

static void state_save(void)
{
    saved_data = g_malloc((char *)__stop_engine_data -
                          (char *)__start_engine_data + 8);
    saved_bss = g_malloc((char *)__stop_engine_bss -
                         (char *)__start_engine_bss + 8);
    copy_words(saved_data, __start_engine_data, __stop_engine_data);
    copy_words(saved_bss, __start_engine_bss, __stop_engine_bss);
}

static void state_restore(void)
{
    copy_words(__start_engine_data, saved_data, saved_data +
               (__stop_engine_data - __start_engine_data));
    copy_words(__start_engine_bss, saved_bss, saved_bss +
               (__stop_engine_bss - __start_engine_bss));
}

static void notify(void *opaque, QEMUClockType type)
{
}

static void timers_make(void)
{
    QEMUTimer *warp = timers_state.icount_warp_timer;

    memset(&main_loop_tlg, 0, sizeof(main_loop_tlg));
    init_clocks(notify);
    if (warp) {
        timer_init_full(warp, NULL, QEMU_CLOCK_VIRTUAL_RT, SCALE_NS, 0,
                        warp->cb, warp->opaque);
    }
    timer_init_full(machine.timer, NULL, QEMU_CLOCK_VIRTUAL, SCALE_NS, 0,
                    timer_fired, NULL);
}

void machine_init(void)
{
    static QemuOptsList list = {
        .name = "icount", .head = QTAILQ_HEAD_INITIALIZER(list.head),
        .desc = { { 0 } },
    };
    QemuOpts *opts = qemu_opts_parse(&list, "shift=2", false, &error_abort);

    machine.timer = g_new0(QEMUTimer, 1);
    device_bh.fn = device_bh_fn;
    machine.bh = &device_bh;
    QTAILQ_INSERT_TAIL(&cpus_queue, &machine.cpu, node);
    qemu_spin_init(&timers_state.vm_clock_lock);
    seqlock_init(&timers_state.vm_clock_seqlock);
    timers_make();
    icount_configure(opts, &error_abort);
    replay_mode = REPLAY_MODE_RECORD;
    for (int i = 0; i < ARRAY_SIZE(chardevs); i++) {
        replay_register_char_driver((Chardev *)&chardevs[i]);
    }
    replay_mode = REPLAY_MODE_NONE;
    replay_register_net(&filters[0]);
    replay_register_net(&filters[1]);
    state_save();
}

void machine_begin(FtLog *log, const FtStreamOps *ops)
{
    QEMUTimer *warp = timers_state.icount_warp_timer;
    int16_t shift = timers_state.icount_time_shift;

    state_restore();
    memset(&machine.cpu.neg, 0, sizeof(machine.cpu.neg));
    machine.cpu.running = false;
    machine.cpu.neg.can_do_io = true;
    machine.cpu.icount_budget = machine.cpu.icount_extra = 0;
    machine.running = machine.live = machine.vcpu_thread = false;
    current_cpu = NULL;
    elapsed_ns = 0;
    timers_state = (TimersState) {
        .icount_time_shift = shift, .icount_warp_timer = warp,
        .vm_clock_warp_start = -1,
    };
    qemu_spin_init(&timers_state.vm_clock_lock);
    seqlock_init(&timers_state.vm_clock_seqlock);
    /* As replay_configure() and replay_start(). */
    ft_stream_setup(true, log, ops);
    replay_file = fopen("/dev/null", "wb");
    replay_mode = REPLAY_MODE_RECORD;
    replay_mutex_init();
    replay_state.data_kind = -1;
    ft_stream_hook_enable();
    replay_init_events();
    replay_enable_events();
}

void machine_end(bool longjmped)
{
    if (longjmped) {
        /* Locks of the timers' lists may be held for ever. */
        timers_make();
    } else {
        timer_del(timers_state.icount_warp_timer);
        timer_del(machine.timer);
        replay_mutex_lock();
        replay_finish_events();
        replay_mutex_unlock();
    }
    fclose(replay_file);
    replay_file = NULL;
    current_cpu = NULL;
    ft_stream.active = false;
    if (replay_mutex_locked()) {
        replay_mutex_unlock();
    }
    replay_mode = REPLAY_MODE_NONE;
}

/* There is no guest's code here. */

void ft_blocks_activate(void)
{
}

void machine_run_stream_bh(void)
{
    if (stream_bh.scheduled) {
        stream_bh.scheduled = false;
        stream_bh.fn(stream_bh.opaque);
    }
}
