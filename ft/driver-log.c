/*
 * The driver's part that moves the log: from the engine to the channel on a
 * primary, from the channel to the engine on a backup.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/timerfd.h>
#include "qemu/timer.h"
#include "qemu/units.h"
#include "replay/ft-stream.h"
#include "replay/ft-time.h"
#include "channel.h"
#include "disk-fault.h"
#include "driver-internal.h"
#include "gate.h"
#include "limits.h"
#include "log-sink.h"

/*
 * To send a frame takes each machine's vCPU off its core several times, and
 * costs as much as to carry some 10 KB.  So of a stream, where the last time
 * so much was to be sent or waited to leave, the frames are so far apart;
 * unless so much log has come together, or the guest sleeps.  (As network
 * cards do with interrupts.)
 */
#define BULK_SIZE (16 * KiB)
#define BULK_INTERVAL_US 1000
#define BULK_MAX (512 * KiB)

FtLog ft_driver_log;

static struct {
    uint64_t parsed;            /* backup: entries up to here are well formed */
    uint64_t store_to;          /* backup: committed when the ack is sent */
    uint64_t told;              /* primary: the core knows the log to here */

    /* Primary: log is to be sent. */
    GSource *append;
    int timer;
    gpointer timer_tag;
    /* Atomic. */
    int append_pending;         /* now, or in a moment */
    int append_due;
    int64_t rest_until_us;      /* of the monotonic clock: not before */
} l = { .timer = -1 };

void ft_driver_log_begin(void)
{
    l.parsed = l.store_to = l.told = 0;
}

/* How far outputs are behind the position, for the backup's gate. */
uint32_t ft_driver_log_held(uint64_t position)
{
    uint64_t left = MIN(ft_gate_left(), position);

    return MIN(position - left, UINT32_MAX);
}

void ft_driver_log_send(const FtAction *action)
{
    FtFrame frame = { .type = FT_FRAME_LOG };
    uint64_t at = action->from;
    FtCoreStatus status;
    FtLogView view;

    ft_log_sink_take(&ft_driver_log, action->to);
    ft_driver_core_status(&status);
    frame.session = status.session;
    frame.generation = status.generation;
    /* This thread trims the log. */
    ft_log_view(&ft_driver_log, at, action->to, &view);
    while (at < action->to) {
        frame.length = MIN(action->to - at, FT_FRAME_PAYLOAD_MAX);
        frame.position = at;
        frame.held = ft_driver_log_held(at);
        at += frame.length;
        frame.flags = at < action->to ? FT_FRAME_MORE : 0;
        ft_channel_send(&frame, view.data + (frame.position - action->from));
    }
    ft_log_view_end(&view);
    ft_disk_fault_log(FT_DISK_POINT_SENT, action->to);
}

static void bad_entry(uint64_t position, uint8_t byte, const char *why)
{
    g_autofree char *text = g_strdup_printf(
        "log entry at position %" PRIu64 " (byte 0x%02x) is bad: %s; the "
        "backup stops here", position, byte,
        why ?: "a transaction ends inside it");

    ft_driver_fail(text);
}

/*
 * Entries are looked at before the engine sees them: what is malformed ends
 * this side with a reason.
 */
static bool entries_well_formed(uint64_t position)
{
    const char *why = NULL;
    FtLogView view;
    size_t at = 0;
    ssize_t n;

    /* Nobody trims what is not committed. */
    ft_log_view(&ft_driver_log, l.parsed, position, &view);
    while (at < view.size) {
        n = ft_entry_length(view.data + at, view.size - at, &why);
        if (n <= 0 || !ft_entry_begins(view.data + at, l.parsed + at == 0,
                                       &why)) {
            bad_entry(l.parsed + at, view.data[at], why);
            break;
        }
        ft_time_arrived(view.data + at);
        at += n;
    }
    ft_log_view_end(&view);
    if (at < view.size) {
        return false;
    }
    l.parsed = position;
    return true;
}

/*
 * The engine gets it in ft_driver_log_store(): to wake its threads first would
 * make the primary's outputs wait for that.
 */
void ft_driver_log_commit(uint64_t position)
{
    if (entries_well_formed(position)) {
        l.store_to = position;
    } else {
        /* So that it is in the file. */
        ft_log_sink_take(&ft_driver_log, position);
    }
}

void ft_driver_log_store(void)
{
    if (l.store_to) {
        ft_log_sink_take(&ft_driver_log, l.store_to);
        ft_log_commit(&ft_driver_log, l.store_to);
        ft_stream_published();
        l.store_to = 0;
    }
}

/* --- primary: the engine's threads tell the I/O thread -------------------- */

/* Is this a stream, of which nobody waits for the single packet? */
static bool is_bulk(uint64_t position)
{
    FtGateStatus gate;

    ft_gate_status(&gate);
    return position - l.told >= BULK_SIZE || gate.held_bytes >= BULK_SIZE;
}

static void append_run(void)
{
    FtEvent event = { .type = FT_EVENT_APPENDED };

    qatomic_set(&l.append_due, 0);
    qatomic_set(&l.append_pending, 0);
    smp_mb();
    event.position = ft_log_committed(&ft_driver_log);
    qatomic_set(&l.rest_until_us,
                is_bulk(event.position)
                ? g_get_monotonic_time() + BULK_INTERVAL_US : 0);
    qatomic_set(&l.told, event.position);
    ft_driver_feed(&event);
}

static gboolean append_prepare(GSource *source, gint *timeout_ms)
{
    *timeout_ms = -1;
    return qatomic_read(&l.append_due);
}

static gboolean append_check(GSource *source)
{
    uint64_t times;

    if (g_source_query_unix_fd(source, l.timer_tag) &&
        read(l.timer, &times, sizeof(times)) > 0 &&
        qatomic_read(&l.append_pending)) {
        return true;
    }
    return qatomic_read(&l.append_due);
}

static gboolean append_dispatch(GSource *source, GSourceFunc fn, gpointer data)
{
    append_run();
    return G_SOURCE_CONTINUE;
}

/* One source for all the time: it is asked for at each output. */
void ft_driver_log_start(GMainContext *context)
{
    static GSourceFuncs append_funcs = {
        .prepare = append_prepare,
        .check = append_check,
        .dispatch = append_dispatch,
    };

    l.append = g_source_new(&append_funcs, sizeof(GSource));
    l.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (l.timer >= 0) {
        l.timer_tag = g_source_add_unix_fd(l.append, l.timer, G_IO_IN);
    }
    g_source_set_can_recurse(l.append, true);
    g_source_attach(l.append, context);
}

static void append_now(void)
{
    if (qatomic_xchg(&l.append_due, 1) == 0) {
        g_main_context_wakeup(g_source_get_context(l.append));
    }
}

/* False: there is no reason to wait, or no timer to wait with. */
static bool append_later(void)
{
    int64_t until_us = qatomic_read(&l.rest_until_us);
    struct itimerspec when = {
        .it_value.tv_sec = until_us / G_USEC_PER_SEC,
        .it_value.tv_nsec = until_us % G_USEC_PER_SEC * SCALE_US,
    };

    return until_us > g_get_monotonic_time() &&
        ft_log_committed(&ft_driver_log) - qatomic_read(&l.told) < BULK_MAX &&
        !timerfd_settime(l.timer, TFD_TIMER_ABSTIME, &when, NULL);
}

void ft_driver_appended(bool urgent)
{
    ft_disk_fault_log(FT_DISK_POINT_LOGGED,
                      ft_log_committed(&ft_driver_log));
    if (urgent && qatomic_xchg(&l.append_pending, 1) == 0 &&
        !append_later()) {
        append_now();
    }
}

void ft_driver_vcpu_sleeps(void)
{
    if (qatomic_read(&l.append_pending)) {
        append_now();
    }
}

/*
 * What is not urgent is sent by and by, several transactions together.  A
 * guest that never idles publishes its instruction count here.
 */
gboolean ft_driver_log_batch(gpointer opaque)
{
    FtCoreStatus status;

    ft_driver_core_status(&status);
    if (status.role == FT_ROLE_PRIMARY &&
        ft_log_committed(&ft_driver_log) > l.told) {
        append_run();
    }
    ft_stream_want_publish();
    return G_SOURCE_CONTINUE;
}
