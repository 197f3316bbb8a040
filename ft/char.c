/*
 * The character guard.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/bitops.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "chardev/char.h"
#include "chardev/char-fe.h"
#include "chardev/chardev-internal.h"
#include "hw/qdev-core.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "system/replay.h"
#include "replay/ft-stream.h"
#include "char.h"
#include "devices.h"
#include "ft.h"
#include "gate.h"

/* A backend that does not take its bytes is tried again after this. */
#define RETRY_MS 5
/* What the guest wrote last is worth waiting for when the VM ends. */
#define LAST_TRIES 100
#define EVENT_SIZE 2
/* What a backend may leave lying before bytes are lost, with a warning. */
#define PENDING_MAX (64 * MiB)

typedef struct FtCharGuard {
    Chardev *chr;
    GByteArray *pending;        /* released, not taken by the backend yet */
    QEMUTimer *retry;
    bool input_queued;
    uint8_t number;
} FtCharGuard;

typedef struct FtCharOutput {
    FtOutput output;
    FtCharGuard *guard;
    uint8_t data[];
} FtCharOutput;

static GHashTable *guards;      /* Chardev -> FtCharGuard */
/*
 * Events go the way of bytes, and so stay in their order: as two bytes, the
 * guard's number and the event, for a chardev of our own.
 */
static struct {
    GPtrArray *guards;          /* by number, the same on both sides */
    Chardev *chr;
    CharBackend frontend;
} events;

static void backend_write(void *opaque)
{
    FtCharGuard *guard = opaque;
    ChardevClass *cc = CHARDEV_GET_CLASS(guard->chr);
    guint done = 0;
    int n;

    while (done < guard->pending->len) {
        n = cc->chr_write(guard->chr, guard->pending->data + done,
                          guard->pending->len - done);
        if (n <= 0) {
            break;
        }
        done += n;
    }
    g_byte_array_remove_range(guard->pending, 0, done);
    if (guard->pending->len) {
        timer_mod(guard->retry,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + RETRY_MS);
    }
}

void ft_char_flush(void)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, guards);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        FtCharGuard *guard = value;

        for (int i = 0; guard->pending->len && i < LAST_TRIES; i++) {
            g_usleep(RETRY_MS * 1000);
            backend_write(guard);
        }
    }
}

static void char_finish(FtOutput *output, bool emit)
{
    FtCharOutput *co = container_of(output, FtCharOutput, output);
    FtCharGuard *guard = co->guard;

    if (emit && guard->pending->len + output->size > PENDING_MAX) {
        warn_report_once("chardev '%s' does not take what the guest writes; "
                         "its output is being lost", guard->chr->label);
    } else if (emit) {
        g_byte_array_append(guard->pending, co->data, output->size);
        backend_write(guard);
    }
    g_free(co);
}

static FtCharGuard *find_guard(Chardev *chr)
{
    return guards ? g_hash_table_lookup(guards, chr) : NULL;
}

/* The engine runs an event. */
static void event_run(void *opaque, const uint8_t *buf, int size)
{
    CharBackend *be;

    if (size != EVENT_SIZE || buf[0] >= events.guards->len) {
        return;                 /* of a damaged log */
    }
    be = ((FtCharGuard *)g_ptr_array_index(events.guards, buf[0]))->chr->be;
    if (be && be->chr_event) {
        be->chr_event(be->opaque, buf[1]);
    }
}

static void event_queue(FtCharGuard *guard, QEMUChrEvent event)
{
    uint8_t bytes[EVENT_SIZE] = { guard->number, event };

    if (ft_stream_started() && replay_mode == REPLAY_MODE_RECORD) {
        replay_chr_be_write(events.chr, bytes, sizeof(bytes));
    }
}

bool ft_char_event(Chardev *chr, int event)
{
    FtCharGuard *guard = find_guard(chr);

    if (guard) {
        event_queue(guard, event);
    }
    return guard;
}

void ft_char_tell(void)
{
    for (guint i = 0; i < events.guards->len; i++) {
        FtCharGuard *guard = g_ptr_array_index(events.guards, i);

        if (guard->chr->be && guard->chr->be->chr_event) {
            event_queue(guard, guard->chr->be_open ? CHR_EVENT_OPENED
                                                   : CHR_EVENT_CLOSED);
        }
    }
}

void ft_char_input_queue(Chardev *chr)
{
    FtCharGuard *guard = find_guard(chr);

    if (guard) {
        guard->input_queued = true;
    }
}

bool ft_char_input_queued(Chardev *chr)
{
    FtCharGuard *guard = find_guard(chr);

    return guard && guard->input_queued;
}

void ft_char_input_arrived(Chardev *chr)
{
    FtCharGuard *guard = find_guard(chr);

    if (guard) {
        guard->input_queued = false;
    }
}

bool ft_char_hold(Chardev *chr, const uint8_t *buf, int len)
{
    FtCharGuard *guard = find_guard(chr);
    FtCharOutput *co;

    if (!guard) {
        return false;
    }
    if (ft_stream_started()) {
        co = g_malloc(sizeof(*co) + len);
        co->output = (FtOutput) { .finish = char_finish, .size = len };
        co->guard = guard;
        memcpy(co->data, buf, len);
        ft_gate_hold(&co->output);
    }
    return true;
}

static void guard_chardev(Chardev *chr)
{
    FtCharGuard *guard = g_new0(FtCharGuard, 1);

    guard->chr = chr;
    guard->pending = g_byte_array_new();
    guard->retry = timer_new_ms(QEMU_CLOCK_REALTIME, backend_write, guard);
    guard->number = events.guards->len;
    g_ptr_array_add(events.guards, guard);
    g_hash_table_insert(guards, chr, guard);
    if (!qemu_chr_replay(chr)) {
        qemu_chr_set_feature(chr, QEMU_CHAR_FEATURE_REPLAY);
        replay_register_char_driver(chr);
    }
}

static bool check_chardev(Chardev *chr, Error **errp)
{
    static const char *const good[] = {
        "chardev-null", "chardev-file", "chardev-socket", "chardev-stdio",
        "chardev-pty", "chardev-pipe", "chardev-ringbuf", "chardev-vc",
    };
    const char *type = object_get_typename(OBJECT(chr));

    for (int i = 0; i < ARRAY_SIZE(good); i++) {
        if (!strcmp(type, good[i])) {
            if (chr->logfd < 0) {
                return true;
            }
            error_setg(errp, "chardev '%s' has a logfile; leave it out and "
                       "use a file or socket backend", chr->label);
            return false;
        }
    }
    error_setg(errp, "chardev '%s' is a '%s' backend; use null, file, socket, "
               "stdio, pty or pipe%s", chr->label, type,
               !strcmp(type, "chardev-mux") ? " (with -nographic: -display "
               "none -serial stdio -monitor none)" : "");
    return false;
}

static bool guard_property(DeviceState *dev, const Property *prop,
                           void *opaque, Error **errp)
{
    CharBackend *be;

    if (prop->info != &qdev_prop_chr) {
        return true;
    }
    be = object_field_prop_ptr(OBJECT(dev), prop);
    if (!be->chr || find_guard(be->chr)) {
        return true;
    }
    if (!check_chardev(be->chr, errp)) {
        return false;
    }
    if (events.guards->len == UINT8_MAX) {
        error_setg(errp, "more than %d chardevs can't be protected",
                   UINT8_MAX);
        return false;
    }
    guard_chardev(be->chr);
    return true;
}

/* What no device has, a qtest or a monitor, is not the guest's. */
static int leave_others(Object *obj, void *opaque)
{
    Chardev *chr = CHARDEV(obj);

    if (!find_guard(chr)) {
        clear_bit(QEMU_CHAR_FEATURE_REPLAY, chr->features);
    }
    return 0;
}

/* Whether somebody is there now depends on the host; ft_char_tell() says it. */
static void forget_open(FtCharGuard *guard)
{
    CharBackend *be = guard->chr->be;

    if (guard->chr->be_open && be && be->chr_event) {
        be->chr_event(be->opaque, CHR_EVENT_CLOSED);
    }
}

static void open_events(void)
{
    for (guint i = 0; i < events.guards->len; i++) {
        forget_open(g_ptr_array_index(events.guards, i));
    }
    events.chr = CHARDEV(object_new(TYPE_CHARDEV_NULL));
    qemu_chr_fe_init(&events.frontend, events.chr, &error_abort);
    qemu_chr_fe_set_handlers(&events.frontend, NULL, event_run, NULL, NULL,
                             NULL, NULL, true);
    replay_register_char_driver(events.chr);
}

bool ft_char_guard_all(Error **errp)
{
    guards = g_hash_table_new(NULL, NULL);
    events.guards = g_ptr_array_new();
    if (!ft_devices_foreach_property(guard_property, NULL, errp)) {
        return false;
    }
    object_child_foreach(get_chardevs_root(), leave_others, NULL);
    open_events();
    return true;
}
