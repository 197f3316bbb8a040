/*
 * Fuzzes what a peer and the lease's storage send: frames, heartbeats and
 * records, into the protocol core of either role.
 *
 * The input is a list of steps.  This driver does what QEMU's does, so that
 * each step is one that can happen, and checks what has to hold after it:
 * nothing leaves that is not acknowledged, nothing is committed that was not
 * stored, nobody is live who has not won.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>

#include "fuzz.h"
#include "ft/bytes.h"
#include "ft/core-internal.h"
#include "ft/wire.h"

#define STEPS_MAX 400

typedef struct Driver {
    FtCore *core;
    FtCoreConfig config;
    FtCoreConfig peer;          /* of a peer that fits */
    guint64 state_id;           /* what the log begins with */

    /* What the driver knows. */
    gboolean channel, connecting;
    gboolean lease_asked, lease_reads, won_any;
    FtLeaseRecord from, to;     /* of the step that is asked */
    guint armed[FT_TIMER__MAX];
    guint holds;                /* HOLD without an answer yet */
    guint64 appended;
    guint64 acknowledged;       /* P: by frames that the core has seen */
    guint64 stored, committed;
    gboolean committed_all, log_begun, fencing, draining, stopped, halted;
} Driver;

static gboolean is_primary(const Driver *d)
{
    FtCoreStatus status;

    ft_core_status(d->core, &status);
    return status.role == FT_ROLE_PRIMARY;
}

/* --- what the core wants ------------------------------------------------- */

static void check_text(const char *text)
{
    MUST(text && g_utf8_validate(text, -1, NULL));
    for (; *text; text++) {
        MUST(!g_ascii_iscntrl(*text));
    }
}

static void send_action(Driver *d, const FtAction *action)
{
    guint8 header[FT_FRAME_HEADER_SIZE];
    FtFrame frame = action->frame, back;
    const char *why;

    MUST(d->channel);
    frame.length = action->size;
    ft_wire_frame_out(&frame, action->data, header);
    MUST(ft_wire_frame_in(&back, header, &why));
    MUST(ft_wire_frame_check(&back, action->data, &why));
    if (frame.type == FT_FRAME_ACK) {
        MUST(frame.position <= d->committed);
    }
}

static void release_action(Driver *d, const FtAction *action)
{
    FtCoreStatus status;

    if (action->position == FT_POSITION_ALL) {
        ft_core_status(d->core, &status);
        MUST(d->won_any);
        MUST(status.state == FT_STATE_ALONE ||
             status.state == FT_STATE_ENDED ||
             status.state == FT_STATE_ENDING);
    } else {
        MUST(action->position <= d->acknowledged);
    }
}

static void carry_out(Driver *d, const FtAction *action)
{
    MUST(!d->stopped || action->type == FT_ACTION_TIMER);
    switch (action->type) {
    case FT_ACTION_STATE:
        check_text(action->text);
        MUST(ft_core_state_name(action->state));
        MUST(ft_core_reason_name(action->reason));
        MUST(action->state != FT_STATE_ALONE || d->won_any);
        break;
    case FT_ACTION_CONNECT:
        MUST(is_primary(d) && !d->channel && !d->connecting);
        d->connecting = TRUE;
        break;
    case FT_ACTION_CLOSE:
        MUST(d->channel);
        d->channel = FALSE;
        break;
    case FT_ACTION_SEND:
        send_action(d, action);
        break;
    case FT_ACTION_SEND_LOG:
        MUST(d->channel && action->from <= action->to);
        MUST(action->to <= d->appended);
        break;
    case FT_ACTION_SEND_HEARTBEAT:
        MUST(action->heartbeat.session);
        break;
    case FT_ACTION_TIMER:
        d->armed[action->timer] = action->delay_ms;
        break;
    case FT_ACTION_LEASE_STEP:
    case FT_ACTION_LEASE_READ:
        MUST(!d->lease_asked);
        d->lease_asked = TRUE;
        d->lease_reads = action->type == FT_ACTION_LEASE_READ;
        d->from = action->from_record;
        d->to = action->to_record;
        MUST(d->lease_reads || d->to.nonce);
        break;
    case FT_ACTION_FENCE:
        MUST(d->won_any && !d->fencing);
        d->fencing = TRUE;
        break;
    case FT_ACTION_LOG_BEGIN:
        d->log_begun = TRUE;
        d->draining = FALSE;
        d->appended = d->acknowledged = d->stored = d->committed = 0;
        break;
    case FT_ACTION_HOLD:
        MUST(action->position <= d->acknowledged);
        d->holds++;
        break;
    case FT_ACTION_START_GUEST:
        MUST(d->log_begun);
        break;
    case FT_ACTION_STORE:
        MUST(action->position == d->stored && !d->draining);
        d->stored += action->size;
        break;
    case FT_ACTION_COMMIT:
        MUST(action->position <= d->stored &&
             action->position >= d->committed);
        d->committed = action->position;
        break;
    case FT_ACTION_RELEASE:
        release_action(d, action);
        break;
    case FT_ACTION_LOG_TRIM:
        MUST(action->position == FT_POSITION_ALL ||
             action->position <= d->acknowledged);
        break;
    case FT_ACTION_DRAIN:
        MUST(d->won_any && action->position == d->committed);
        d->draining = TRUE;
        break;
    case FT_ACTION_ANNOUNCE:
    case FT_ACTION_SINK_EMPTY:
        MUST(d->won_any);
        break;
    case FT_ACTION_HALT:
        d->halted = TRUE;
        check_text(action->text);
        break;
    case FT_ACTION_EXIT:
        break;
    }
    MUST(action->type != FT_ACTION_RELEASE || !d->halted);
}

static void feed(Driver *d, const FtEvent *event)
{
    FtCoreStatus status;
    const FtAction *actions;
    guint count;

    actions = ft_core_event(d->core, event, &count);
    for (guint i = 0; i < count; i++) {
        carry_out(d, &actions[i]);
    }
    ft_core_status(d->core, &status);
    d->stopped = status.state == FT_STATE_HALTED ||
        status.state == FT_STATE_ENDED;
    check_text(status.text);
    check_text(status.peer_node);
    MUST(status.executed <= MAX(status.appended, d->committed));
}

static void feed_type(Driver *d, FtEventType type, guint64 position)
{
    FtEvent event = { .type = type, .position = position, .text = "why",
                      .state_id = d->state_id };

    feed(d, &event);
}

/* --- frames -------------------------------------------------------------- */

/* As the channel does it; a peer controls every byte. */
static void deliver(Driver *d, const guint8 *bytes, gsize size)
{
    FtFrame frame;
    const char *why = NULL;
    FtEvent event = { .type = FT_EVENT_FRAME, .frame = &frame };

    if (!d->channel || size < FT_FRAME_HEADER_SIZE) {
        return;
    }
    if (!ft_wire_frame_in(&frame, bytes, &why) ||
        (size - FT_FRAME_HEADER_SIZE >= frame.length &&
         !ft_wire_frame_check(&frame, bytes + FT_FRAME_HEADER_SIZE, &why))) {
        FtEvent bad = { .type = FT_EVENT_BAD_FRAME, .text = why };

        check_text(why);
        feed(d, &bad);
        return;
    }
    if (size - FT_FRAME_HEADER_SIZE < frame.length) {
        return;                         /* the rest may come yet */
    }
    event.data = bytes + FT_FRAME_HEADER_SIZE;
    event.size = frame.length;
    if (frame.type == FT_FRAME_ACK && is_primary(d) &&
        d->log_begun && frame.position <= d->appended) {
        d->acknowledged = MAX(d->acknowledged, frame.position);
    }
    feed(d, &event);
    feed_type(d, FT_EVENT_IDLE, 0);
}

static void make_and_deliver(Driver *d, FtFrame *frame, const void *payload)
{
    g_autofree guint8 *bytes = g_malloc(FT_FRAME_HEADER_SIZE + frame->length);

    ft_wire_frame_out(frame, payload, bytes);
    if (frame->length) {
        memcpy(bytes + FT_FRAME_HEADER_SIZE, payload, frame->length);
    }
    deliver(d, bytes, FT_FRAME_HEADER_SIZE + frame->length);
}

/* A frame of the session, more or less right. */
static void frame_step(Driver *d, Input *in)
{
    guint8 flavour = input_byte(in);
    FtCoreStatus status;
    FtFrame frame = {
        .type = 1 + input_byte(in) % (FT_FRAME_FAILED + 1),
        .flags = flavour & 1 ? input_byte(in) % 4 : 0,
    };
    size_t size;
    const guint8 *payload;

    ft_core_status(d->core, &status);
    frame.session = flavour & 2 ? input_byte(in) : status.session ?: 5;
    frame.generation = flavour & 4 ? input_byte(in)
                                   : d->core->session_generation ?: 1;
    frame.position = is_primary(d) ? d->appended : d->stored;
    if (flavour & 8) {
        frame.position = input_number(in, flavour & 16 ? 8 : 1);
    }
    if (flavour & 32) {
        frame.held = input_byte(in);
    }
    payload = input_bytes(in, input_byte(in), &size);
    frame.length = size;
    make_and_deliver(d, &frame, payload);
}

static void good_hello_step(Driver *d)
{
    g_autofree char *hello = ft_core_hello_new(&d->peer, d->state_id);
    FtCoreStatus status;
    FtFrame frame = { .type = FT_FRAME_HELLO };

    ft_core_status(d->core, &status);
    frame.session = status.session ?: 5;
    frame.generation = d->core->session_generation ?: 1;
    frame.length = strlen(hello);
    make_and_deliver(d, &frame, hello);
}

static void good_paired_step(Driver *d)
{
    FtLeaseRecord record = {
        .generation = d->core->session_generation ?: 1, .nonce = 1,
        .disks = d->config.disks, .owner = "peer", .partner = "us",
    };
    guint8 sector[FT_LEASE_RECORD_SIZE];
    FtFrame frame = {
        .type = FT_FRAME_PAIRED, .length = sizeof(sector),
        .session = d->core->session,
        .generation = d->core->session_generation,
    };

    memcpy(record.vm_uuid, d->config.vm_uuid, sizeof(record.vm_uuid));
    ft_lease_record_out(&record, sector);
    make_and_deliver(d, &frame, sector);
}

static void good_ack_step(Driver *d, Input *in)
{
    FtAck ack = { .executed = input_byte(in), .icount = input_byte(in) };
    guint8 payload[FT_ACK_SIZE];
    FtFrame frame = {
        .type = FT_FRAME_ACK, .length = sizeof(payload),
        .session = d->core->session,
        .generation = d->core->session_generation,
        .position = input_number(in, 2),
    };

    ft_wire_ack_out(&ack, payload);
    make_and_deliver(d, &frame, payload);
}

static void heartbeat_step(Driver *d, Input *in)
{
    guint8 datagram[FT_HEARTBEAT_SIZE] = { 0 };
    FtHeartbeat heartbeat = {
        .session = d->core->session, .generation = 1, .sequence = 1,
        .role = is_primary(d) ? FT_ROLE_BACKUP : FT_ROLE_PRIMARY,
    };
    FtEvent event = { .type = FT_EVENT_HEARTBEAT, .heartbeat = &heartbeat };
    const char *why;
    size_t size;
    const guint8 *bytes;

    if (input_byte(in) & 1) {
        bytes = input_bytes(in, FT_HEARTBEAT_SIZE, &size);
        memcpy(datagram, bytes, size);
    } else {
        ft_wire_heartbeat_out(&heartbeat, datagram);
    }
    if (ft_wire_heartbeat_in(&heartbeat, datagram, sizeof(datagram), &why)) {
        feed(d, &event);
    } else {
        check_text(why);
    }
}

/* --- the lease ----------------------------------------------------------- */

/* A record as storage may hold it: bytes that passed the check. */
static gboolean storage_record(Driver *d, Input *in, FtLeaseRecord *record)
{
    static const char *const nodes[] = { "us", "peer", "third", "" };
    guint8 sector[FT_LEASE_RECORD_SIZE] = { 0 };
    const char *why;
    guint8 kind = input_byte(in);
    size_t size;
    const guint8 *bytes;

    if (kind & 1) {
        bytes = input_bytes(in, sizeof(sector), &size);
        memcpy(sector, bytes, size);
        ft_put32(sector + sizeof(sector) - 4,
                 ft_wire_crc32c(0, sector, sizeof(sector) - 4));
        return ft_lease_record_in(record, sector, &why);
    }
    *record = (FtLeaseRecord) {
        .generation = input_byte(in), .nonce = 1 + input_byte(in),
        .disks = d->config.disks,
    };
    if (!(kind & 2)) {
        memcpy(record->vm_uuid, d->config.vm_uuid, sizeof(record->vm_uuid));
    }
    g_strlcpy(record->owner, nodes[(kind >> 2) & 3], FT_NODE_MAX);
    g_strlcpy(record->partner, nodes[(kind >> 4) & 3], FT_NODE_MAX);
    return record->generation == 0 || record->owner[0];
}

static void lease_step(Driver *d, Input *in)
{
    FtLeaseRecord record = { 0 };
    FtEvent event = { .type = FT_EVENT_LEASE, .record = &record };

    if (!d->lease_asked) {
        return;
    }
    switch (input_byte(in) % 4) {
    case 0:
    case 1:
        event.result = FT_LEASE_WON;
        if (!d->lease_reads) {
            record = d->to;
            d->won_any = d->won_any || !strcmp(record.owner, "us");
        } else if (!storage_record(d, in, &record)) {
            return;
        }
        break;
    case 2:
        event.result = FT_LEASE_LOST;
        if (d->lease_reads || !storage_record(d, in, &record)) {
            return;
        }
        break;
    default:
        event.result = FT_LEASE_UNKNOWN;
        event.record = NULL;
        event.text = "storage is away";
    }
    d->lease_asked = FALSE;
    feed(d, &event);
}

/* --- steps --------------------------------------------------------------- */

static void connect_step(Driver *d, Input *in)
{
    FtCoreStatus status;

    ft_core_status(d->core, &status);
    if (d->connecting) {
        d->connecting = FALSE;
        if (input_byte(in) & 1) {
            feed_type(d, FT_EVENT_CONNECT_FAILED, 0);
            return;
        }
    } else if (status.role == FT_ROLE_PRIMARY ||
               status.state != FT_STATE_LISTENING) {
        return;
    }
    d->channel = TRUE;
    feed_type(d, FT_EVENT_CONNECTED, 0);
}

static void timer_step(Driver *d, Input *in)
{
    FtEvent executed = { .type = FT_EVENT_EXECUTED,
                         .position = d->committed };
    FtEvent event = { .type = FT_EVENT_TIMER,
                      .timer = input_byte(in) % FT_TIMER__MAX };

    if (!d->armed[event.timer]) {
        return;
    }
    d->armed[event.timer] = 0;
    if (!is_primary(d)) {
        feed(d, &executed);
    }
    feed(d, &event);
}

static void close_step(Driver *d)
{
    if (d->channel) {
        d->channel = FALSE;
        feed_type(d, FT_EVENT_CLOSED, 0);
    }
}

static void command_step(Driver *d, Input *in)
{
    static const FtEventType commands[] = {
        FT_EVENT_CMD_FAILOVER, FT_EVENT_CMD_STOP, FT_EVENT_CMD_END,
        FT_EVENT_CMD_PROTECT, FT_EVENT_FAIL,
    };
    FtEventType type = commands[input_byte(in) % G_N_ELEMENTS(commands)];
    const char *why;

    if (type == FT_EVENT_FAIL) {
        feed_type(d, type, 0);
    } else if (ft_core_can(d->core, type, &why)) {
        if (type == FT_EVENT_CMD_PROTECT) {
            d->state_id = 1 + input_byte(in);
            d->appended = d->acknowledged = 0;
            d->log_begun = TRUE;
        }
        feed_type(d, type, d->appended);
    } else {
        check_text(why);
    }
}

static void step(Driver *d, Input *in)
{
    size_t size;
    const guint8 *bytes;

    switch (input_byte(in) % 16) {
    case 0:
        bytes = input_bytes(in, input_number(in, 2), &size);
        deliver(d, bytes, size);
        break;
    case 1:
    case 2:
        frame_step(d, in);
        break;
    case 3:
        good_hello_step(d);
        break;
    case 4:
        good_paired_step(d);
        break;
    case 5:
        good_ack_step(d, in);
        break;
    case 6:
        heartbeat_step(d, in);
        break;
    case 7:
        lease_step(d, in);
        break;
    case 8:
        connect_step(d, in);
        break;
    case 9:
        timer_step(d, in);
        break;
    case 10:
        close_step(d);
        break;
    case 11:
        command_step(d, in);
        break;
    case 12:
        if (d->log_begun && is_primary(d)) {
            d->appended += input_byte(in);
            feed_type(d, FT_EVENT_APPENDED, d->appended);
        } else if (d->log_begun) {
            feed_type(d, FT_EVENT_EXECUTED,
                      MIN(d->committed, input_byte(in)));
        }
        break;
    case 13:
        if (d->fencing) {
            d->fencing = FALSE;
            feed_type(d, FT_EVENT_FENCED, 0);
        } else if (d->draining) {
            d->draining = FALSE;
            feed_type(d, FT_EVENT_DRAINED, 0);
        }
        break;
    case 14:
        if (d->holds) {
            d->holds--;
            feed_type(d, FT_EVENT_HELD, MIN(d->appended, d->acknowledged +
                                            input_byte(in)));
        }
        break;
    case 15:
        if (is_primary(d)) {
            feed_type(d, FT_EVENT_PROTECT_FAILED, 0);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size };
    guint8 kind = input_byte(&in);
    Driver d = {
        .config = {
            .role = kind & 1 ? FT_ROLE_PRIMARY : FT_ROLE_BACKUP,
            .new_vm = kind & 2, .node = "us", .vm_uuid = { 1, 2, 3 },
            .disks = kind & 8 ? FT_LEASE_DISKS_SHARED : FT_LEASE_DISKS_OWN,
            .identity = "cpu=x\nram=16\n",
            .seed = kind,
        },
    };

    d.peer = d.config;
    g_strlcpy(d.peer.node, "peer", sizeof(d.peer.node));
    /* A backup may have loaded a running machine's state. */
    d.state_id = (kind & 5) == 4 ? 7 : 0;
    d.core = ft_core_new(&d.config);
    feed_type(&d, FT_EVENT_START, 0);
    for (int i = 0; i < STEPS_MAX && in.size && !d.stopped; i++) {
        step(&d, &in);
    }
    ft_core_free(d.core);
    return 0;
}
