/*
 * The core of a process that was started as the backup.
 *
 * listening -> handshake -> pairing -> protected -> claiming -> fencing ->
 * draining -> alone is the long way; docs/states.md draws it.  Two rules matter: only a
 * whole transaction is committed and acknowledged, and after the claim began
 * no byte of log is taken any more, so that what was acknowledged is what is
 * executed before going live.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "core-internal.h"

/* The state that it loaded, and perhaps executed on, is of no use again. */
static void not_needed(FtCore *core, FtReason reason, const char *text)
{
    ft_core_halt(core, reason, text ? text :
                 "the lease does not name this machine as the partner, and "
                 "the primary it followed is gone: start the backup anew and "
                 "give ft-protect again");
}

static void back_to_listening(FtCore *core, FtReason reason, const char *text)
{
    if (core->guest_started) {
        not_needed(core, reason, text);
        return;
    }
    ft_core_close(core);
    core->session = 0;
    ft_core_set_state(core, FT_STATE_LISTENING, reason, text);
}

static void take_over(FtCore *core)
{
    core->received = core->committed;   /* half a transaction is nothing */
    ft_core_lease_step(core, FT_CLAIM_TAKEOVER, 1, core->config.node, "");
}

static void claim(FtCore *core, FtReason reason, const char *text)
{
    ft_core_set_state(core, FT_STATE_CLAIMING, reason, text);
    ft_core_set_cause(core);
    take_over(core);
}

void ft_core_backup_lost(FtCore *core, FtReason reason, const char *text)
{
    switch (core->state) {
    case FT_STATE_HANDSHAKE:
        back_to_listening(core, reason, text);
        break;
    case FT_STATE_PAIRING:
        /* Was it named already?  Only the record knows. */
        ft_core_close(core);
        ft_core_set_state(core, FT_STATE_CLAIMING, reason, text);
        ft_core_set_cause(core);
        ft_core_lease_read(core);
        break;
    case FT_STATE_PROTECTED:
        ft_core_close(core);
        claim(core, reason, text);
        break;
    default:
        /* ENDING: the log's end has arrived, nobody is needed any more. */
        ft_core_close(core);
        break;
    }
}

/*
 * A test failover leaves the channel open and takes nothing from it, so
 * that the primary does not suspect this side and race it for the lease.
 */
static void test_failover(FtCore *core)
{
    if (core->state == FT_STATE_PROTECTED) {
        claim(core, FT_REASON_TEST_FAILOVER, NULL);
    }
}

/* The lease. */

static gboolean named_by(const FtCore *core, const FtLeaseRecord *rec)
{
    return rec->generation == core->session_generation &&
           !memcmp(rec->vm_uuid, core->config.vm_uuid,
                   sizeof(rec->vm_uuid)) &&
           !strcmp(rec->owner, core->peer_node) &&
           !strcmp(rec->partner, core->config.node);
}

static void start_guest(FtCore *core)
{
    if (!core->guest_started) {
        core->guest_started = TRUE;
        ft_core_act(core, FT_ACTION_START_GUEST);
    }
}

void ft_core_backup_drain(FtCore *core)
{
    ft_core_set_state(core, FT_STATE_DRAINING, FT_REASON_WON,
                      ft_core_won_text(core));
    start_guest(core);
    ft_core_act(core, FT_ACTION_DRAIN)->position = core->committed;
}

void ft_core_backup_lease(FtCore *core, const FtEvent *event)
{
    FtClaim was = core->claim;

    core->claim = FT_CLAIM_NONE;
    if (was == FT_CLAIM_READ && named_by(core, &core->lease)) {
        take_over(core);
    } else if (was == FT_CLAIM_READ ||
               (event->result == FT_LEASE_LOST && !core->guest_started)) {
        back_to_listening(core, FT_REASON_NOT_PAIRED, NULL);
    } else if (event->result == FT_LEASE_WON) {
        ft_core_close(core);
        ft_core_fence_begin(core);
    } else {
        ft_core_lease_lost(core);
    }
}

static void drained(FtCore *core)
{
    if (core->state != FT_STATE_DRAINING) {
        return;
    }
    core->executed = core->acknowledged = core->committed;
    core->appended = core->sent = core->committed;
    ft_core_set_state(core, FT_STATE_ALONE, FT_REASON_DRAINED,
                      ft_core_won_text(core));
    core->role = FT_ROLE_PRIMARY;
    ft_core_act(core, FT_ACTION_SINK_EMPTY);
    ft_core_act(core, FT_ACTION_RELEASE)->position = FT_POSITION_ALL;
    ft_core_act(core, FT_ACTION_ANNOUNCE);
}

/* The channel. */

static void connected(FtCore *core)
{
    if (core->state != FT_STATE_LISTENING) {
        return;                         /* the driver refuses a second one */
    }
    core->channel = TRUE;
    ft_core_set_state(core, FT_STATE_HANDSHAKE, FT_REASON_PEER_CONNECTED,
                      NULL);
    ft_core_timer(core, FT_TIMER_HANDSHAKE, FT_HANDSHAKE_MS);
}

static void hello_frame(FtCore *core, const FtEvent *event)
{
    gboolean bad = event->frame->session == 0;
    char *text = NULL;

    if (!bad) {
        text = ft_core_hello_compare(core, event->data, event->size, &bad);
    }
    if (bad) {
        ft_core_bad_frame(core, "a HELLO that is no list of lines");
        return;
    }
    ft_core_session_begin(core, event->frame->session,
                          event->frame->generation);
    if (text) {
        char *payload = g_strdup_printf("%s: %s", ft_core_reason_name(
                                        FT_REASON_PEER_DIFFERS), text);

        ft_core_keep(core, text);
        ft_core_keep(core, payload);
        ft_core_send(core, FT_FRAME_REFUSE, 0, 0, payload,
                     MIN(strlen(payload), FT_REASON_MAX));
        back_to_listening(core, FT_REASON_PEER_DIFFERS, text);
        return;
    }
    ft_core_send(core, FT_FRAME_HELLO, 0, 0, core->hello,
                 strlen(core->hello));
    ft_core_set_state(core, FT_STATE_PAIRING, FT_REASON_PEER_CONNECTED, NULL);
    ft_core_watch_begin(core);
    ft_core_act(core, FT_ACTION_LOG_BEGIN);
    if (core->state_id) {
        start_guest(core);              /* it has to catch up */
    }
}

static void refuse_frame(FtCore *core, const FtEvent *event)
{
    /* It refused before it asked the lease for us. */
    back_to_listening(core, FT_REASON_PEER_REFUSED,
                      ft_core_keep(core, ft_core_clean_text(event->data,
                                                            event->size)));
}

static void paired_frame(FtCore *core, const FtEvent *event)
{
    FtLeaseRecord record;
    const char *why;

    if (event->size != FT_LEASE_RECORD_SIZE ||
        !ft_lease_record_in(&record, event->data, &why) ||
        !named_by(core, &record)) {
        ft_core_bad_frame(core, "PAIRED without a record that names us");
        return;
    }
    core->lease = record;
    core->cause_reason = FT_REASON_NONE;
    ft_core_set_state(core, FT_STATE_PROTECTED, FT_REASON_PAIRED, NULL);
    start_guest(core);
}

static void log_frame(FtCore *core, const FtEvent *event)
{
    FtAction *action;

    if (event->frame->position != core->received || event->size == 0) {
        ft_core_bad_frame(core, ft_core_keep(core, g_strdup_printf(
            "log at position %" G_GUINT64_FORMAT ", expected was %"
            G_GUINT64_FORMAT, event->frame->position, core->received)));
        return;
    }
    action = ft_core_act(core, FT_ACTION_STORE);
    action->position = core->received;
    action->data = event->data;
    action->size = event->size;
    core->received += event->size;
    if (!(event->frame->flags & FT_FRAME_MORE)) {
        core->committed = core->received;
        ft_core_act(core, FT_ACTION_COMMIT)->position = core->committed;
    }
}

static void send_ack(FtCore *core)
{
    FtAck ack = { .executed = core->executed, .icount = core->icount };
    guint8 payload[FT_ACK_SIZE];

    ft_wire_ack_out(&ack, payload);
    core->acknowledged = core->committed;
    ft_core_send(core, FT_FRAME_ACK, 0, core->committed, payload,
                 sizeof(payload));
}

void ft_core_backup_keepalive(FtCore *core)
{
    if (core->state == FT_STATE_PAIRING || core->state == FT_STATE_PROTECTED ||
        core->state == FT_STATE_ENDING) {
        send_ack(core);
    }
}

static void exit_when_executed(FtCore *core)
{
    if (core->state == FT_STATE_ENDING &&
        core->executed >= core->end_position) {
        ft_core_exit(core, FT_REASON_VM_ENDED, NULL);
    }
}

static void end_frame(FtCore *core, const FtEvent *event)
{
    gboolean pairing = core->state == FT_STATE_PAIRING;

    if (event->frame->flags & FT_FRAME_UNPAIRED) {
        ft_core_exit(core, FT_REASON_UNPAIRED,
                     "the primary stopped the protection and runs on alone");
        return;
    }
    if (event->frame->position != core->committed ||
        core->committed != core->received) {
        ft_core_bad_frame(core, "an END that is not where the log ends");
        return;
    }
    send_ack(core);
    if (pairing) {
        ft_core_exit(core, FT_REASON_VM_ENDED, NULL);
        return;
    }
    core->end_position = event->frame->position;
    ft_core_set_state(core, FT_STATE_ENDING, FT_REASON_VM_ENDED,
                      "the VM ended; the rest of the log is executed");
    exit_when_executed(core);
}

static void keepalive_frame(FtCore *core, const FtEvent *event)
{
    if (event->frame->position < core->received) {
        ft_core_bad_frame(core, "a KEEPALIVE behind the log");
    } else {
        core->appended = event->frame->position;
    }
}

void ft_core_backup_frame(FtCore *core, const FtEvent *event)
{
    FtFrameType type = event->frame->type;
    gboolean pairing = core->state == FT_STATE_PAIRING;
    gboolean protected = core->state == FT_STATE_PROTECTED;

    if (type == FT_FRAME_HELLO && core->state == FT_STATE_HANDSHAKE) {
        hello_frame(core, event);
    } else if (type == FT_FRAME_LOG &&
               (protected || (pairing && core->guest_started))) {
        log_frame(core, event);
    } else if (type == FT_FRAME_KEEPALIVE && (pairing || protected)) {
        keepalive_frame(core, event);
    } else if (type == FT_FRAME_PAIRED && pairing) {
        paired_frame(core, event);
    } else if (type == FT_FRAME_REFUSE && pairing) {
        refuse_frame(core, event);
    } else if (type == FT_FRAME_FAILOVER && protected) {
        test_failover(core);
    } else if (type == FT_FRAME_END && (pairing || protected)) {
        end_frame(core, event);
    } else if (core->state != FT_STATE_ENDING) {
        ft_core_bad_frame(core, "a frame that a backup does not expect now");
    }
}

void ft_core_backup_event(FtCore *core, const FtEvent *event)
{
    switch (event->type) {
    case FT_EVENT_START:
        ft_core_hello_set(core, event->state_id);
        ft_core_set_state(core, FT_STATE_LISTENING, FT_REASON_STARTED, NULL);
        break;
    case FT_EVENT_CONNECTED:
        connected(core);
        break;
    case FT_EVENT_IDLE:
        if (core->channel && core->committed > core->acknowledged &&
            (core->state == FT_STATE_PAIRING ||
             core->state == FT_STATE_PROTECTED ||
             core->state == FT_STATE_ENDING)) {
            send_ack(core);
        }
        break;
    case FT_EVENT_EXECUTED:
        core->executed = MIN(event->position, core->committed);
        core->icount = event->icount;
        exit_when_executed(core);
        break;
    case FT_EVENT_DRAINED:
        drained(core);
        break;
    case FT_EVENT_CMD_FAILOVER:
        test_failover(core);
        break;
    case FT_EVENT_CMD_END:
        /* Else it ends, as the VM did, when it has executed the rest. */
        if (core->state != FT_STATE_ENDING) {
            ft_core_exit(core, FT_REASON_VM_ENDED,
                         "this process was told to end");
        }
        break;
    default:
        break;
    }
}
