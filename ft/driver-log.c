/*
 * The driver's part that moves the log: from the engine to the channel on a
 * primary, from the channel to the engine on a backup.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "replay/ft-stream.h"
#include "replay/ft-time.h"
#include "channel.h"
#include "disk-fault.h"
#include "driver-internal.h"
#include "gate.h"
#include "limits.h"
#include "log-sink.h"

FtLog ft_driver_log;

static struct {
    GByteArray *scratch;        /* log bytes on their way to frames */
    uint64_t parsed;            /* backup: entries up to here are well formed */
    uint64_t store_to;          /* backup: committed when the ack is sent */
    uint64_t told;              /* primary: the core knows the log to here */
    GSource *append;
    gint append_pending;        /* atomic */
} l;

void ft_driver_log_begin(void)
{
    if (!l.scratch) {
        l.scratch = g_byte_array_new();
    }
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

    ft_log_sink_take(&ft_driver_log, action->to);
    ft_driver_core_status(&status);
    frame.session = status.session;
    frame.generation = status.generation;
    while (at < action->to) {
        frame.length = MIN(action->to - at, FT_FRAME_PAYLOAD_MAX);
        frame.position = at;
        frame.held = ft_driver_log_held(at);
        g_byte_array_set_size(l.scratch, frame.length);
        ft_log_copy(&ft_driver_log, at, action->to, l.scratch->data,
                    frame.length);
        at += frame.length;
        frame.flags = at < action->to ? FT_FRAME_MORE : 0;
        ft_channel_send(&frame, l.scratch->data);
    }
    ft_disk_fault_log(FT_DISK_POINT_SENT, action->to);
}

/*
 * Entries are looked at before the engine sees them: what is malformed ends
 * this side with a reason.
 */
static bool entries_well_formed(uint64_t position)
{
    const char *why = NULL;
    size_t at = 0, size = position - l.parsed;
    ssize_t n;

    g_byte_array_set_size(l.scratch, size);
    ft_log_copy(&ft_driver_log, l.parsed, position, l.scratch->data, size);
    while (at < size) {
        n = ft_entry_length(l.scratch->data + at, size - at, &why);
        if (n <= 0 || !ft_entry_begins(l.scratch->data + at,
                                       l.parsed + at == 0, &why)) {
            g_autofree char *text = g_strdup_printf(
                "log entry at position %" PRIu64 " (byte 0x%02x) is bad: %s; "
                "the backup stops here", l.parsed + at, l.scratch->data[at],
                why ?: "a transaction ends inside it");
            ft_driver_fail(text);
            return false;
        }
        ft_time_arrived(l.scratch->data + at);
        at += n;
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

static void append_run(void)
{
    FtEvent event = { .type = FT_EVENT_APPENDED };

    qatomic_set(&l.append_pending, 0);
    smp_mb();
    event.position = l.told = ft_log_committed(&ft_driver_log);
    ft_driver_feed(&event);
}

static gboolean append_prepare(GSource *source, gint *timeout_ms)
{
    *timeout_ms = -1;
    return qatomic_read(&l.append_pending);
}

static gboolean append_check(GSource *source)
{
    return qatomic_read(&l.append_pending);
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
    g_source_set_can_recurse(l.append, true);
    g_source_attach(l.append, context);
}

void ft_driver_appended(bool urgent)
{
    ft_disk_fault_log(FT_DISK_POINT_LOGGED,
                      ft_log_committed(&ft_driver_log));
    if (urgent && qatomic_xchg(&l.append_pending, 1) == 0) {
        g_main_context_wakeup(g_source_get_context(l.append));
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
