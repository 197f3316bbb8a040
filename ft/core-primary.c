/*
 * The core of a primary.
 *
 * acquiring -> connecting -> handshake -> syncing -> pairing -> protected ->
 * claiming -> alone is the long way, and from alone back to connecting;
 * docs/states.md draws it.  A backup that went live is a primary.
 *
 * Two rules matter: while a partner may win, nothing leaves before it has it
 * (RELEASE is in ack_frame, and where the record names nobody else), and a
 * lease step that may have landed is resolved before anything else is asked
 * of the lease.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "core-internal.h"

static void connect_soon(FtCore *core)
{
    ft_core_timer(core, FT_TIMER_CONNECT, FT_CONNECT_INTERVAL_MS);
}

static void back_to_connecting(FtCore *core, FtReason reason,
                               const char *text)
{
    ft_core_close(core);
    core->session = 0;
    ft_core_set_state(core, FT_STATE_CONNECTING, reason, text);
    connect_soon(core);
}

/* Everything may leave from now on, and the log goes nowhere. */
static void ungate(FtCore *core)
{
    ft_core_act(core, FT_ACTION_SINK_EMPTY);
    ft_core_act(core, FT_ACTION_RELEASE)->position = FT_POSITION_ALL;
    ft_core_act(core, FT_ACTION_LOG_TRIM)->position = FT_POSITION_ALL;
}

void ft_core_primary_alone(FtCore *core, FtReason reason, const char *text)
{
    ft_core_close(core);
    core->connect_stale = core->connect_asked;
    if (core->end_wanted) {
        ungate(core);
        ft_core_exit(core, FT_REASON_VM_ENDED, NULL);
        return;
    }
    ft_core_set_state(core, FT_STATE_ALONE, reason, text);
    ft_core_set_cause(core);
    if (!core->guest_started) {
        core->guest_started = TRUE;
        ft_core_act(core, FT_ACTION_LOG_BEGIN);
        ft_core_act(core, FT_ACTION_START_GUEST);
    }
    ungate(core);
}

static void claim_alone(FtCore *core, FtReason reason, const char *text)
{
    ft_core_close(core);
    ft_core_set_state(core, FT_STATE_CLAIMING, reason, text);
    ft_core_set_cause(core);
    ft_core_lease_step(core, FT_CLAIM_ALONE, 1, core->config.node, "");
}

/* A machine at power-on waits for the next one; a running VM's log grows. */
static void turned_away(FtCore *core, FtReason reason, const char *text)
{
    if (core->guest_started) {
        ft_core_sync_give_up(core, reason, text);
    } else {
        back_to_connecting(core, reason, text);
    }
}

void ft_core_primary_lost(FtCore *core, FtReason reason, const char *text)
{
    switch (core->state) {
    case FT_STATE_HANDSHAKE:
        back_to_connecting(core, reason, text);
        break;
    case FT_STATE_SYNCING:
        turned_away(core, reason, text);
        break;
    case FT_STATE_PAIRING:
        /* The step that names the backup is under way: first its result. */
        ft_core_close(core);
        ft_core_set_state(core, FT_STATE_CLAIMING, reason, text);
        ft_core_set_cause(core);
        break;
    case FT_STATE_PROTECTED:
        claim_alone(core, reason, text);
        break;
    case FT_STATE_ENDING:
        if (core->claim == FT_CLAIM_UNPAIR) {
            ft_core_close(core);        /* the step under way says it all */
        } else {
            core->end_wanted = TRUE;
            claim_alone(core, reason, text);
        }
        break;
    default:
        ft_core_close(core);
        break;
    }
}

/* The lease. */

/* Both the record and the log's end: the backup may execute to it and go. */
static void send_end(FtCore *core, guint32 flags)
{
    const char *text = ft_core_reason_text(flags & FT_FRAME_UNPAIRED
                                           ? FT_REASON_UNPAIRED
                                           : FT_REASON_VM_ENDED);

    ft_core_send(core, FT_FRAME_END, flags, core->sent, text, strlen(text));
}

static void vm_ended(FtCore *core, guint64 position);

static void paired(FtCore *core)
{
    guint8 record[FT_LEASE_RECORD_SIZE];

    if (core->state == FT_STATE_CLAIMING) {
        /* The backup went away meanwhile. */
        ft_core_lease_step(core, FT_CLAIM_UNDO, 1, core->config.node, "");
        return;
    }
    if (core->end_wanted && !core->guest_started) {
        send_end(core, 0);
        ft_core_exit(core, FT_REASON_VM_ENDED, NULL);
        return;
    }
    ft_lease_record_out(&core->lease, record);
    ft_core_send(core, FT_FRAME_PAIRED, 0, 0, record, sizeof(record));
    core->cause_reason = FT_REASON_NONE;
    ft_core_set_state(core, FT_STATE_PROTECTED, FT_REASON_PAIRED, NULL);
    if (!core->guest_started) {
        core->guest_started = TRUE;
        ft_core_act(core, FT_ACTION_START_GUEST);
    }
    if (core->end_wanted) {
        core->end_wanted = FALSE;
        vm_ended(core, core->end_position);
    }
}

static void undone(FtCore *core)
{
    if (core->guest_started) {
        ft_core_primary_alone(core, core->cause_reason,
                              ft_core_won_text(core));
    } else if (core->end_wanted) {
        ft_core_exit(core, FT_REASON_VM_ENDED, NULL);
    } else {
        back_to_connecting(core, core->cause_reason, core->cause);
    }
}

static void unpaired(FtCore *core)
{
    if (core->channel) {
        send_end(core, FT_FRAME_UNPAIRED);
    }
    ft_core_primary_alone(core, FT_REASON_UNPAIRED, NULL);
}

void ft_core_primary_started(FtCore *core)
{
    ft_core_set_state(core, FT_STATE_CONNECTING, FT_REASON_WON, NULL);
    ft_core_sync_connect(core);
}

void ft_core_primary_lease(FtCore *core, const FtEvent *event)
{
    FtClaim claim = core->claim;

    core->claim = FT_CLAIM_NONE;
    if (event->result == FT_LEASE_LOST) {
        ft_core_lease_lost(core);
        return;
    }
    switch (claim) {
    case FT_CLAIM_READ:
        ft_core_start_on_record(core);
        break;
    case FT_CLAIM_START:
        ft_core_fence_begin(core);
        break;
    case FT_CLAIM_PAIR:
        paired(core);
        break;
    case FT_CLAIM_UNDO:
        undone(core);
        break;
    case FT_CLAIM_ALONE:
        ft_core_primary_alone(core, core->cause_reason,
                              ft_core_won_text(core));
        break;
    case FT_CLAIM_UNPAIR:
        unpaired(core);
        break;
    case FT_CLAIM_TAKEOVER:
    case FT_CLAIM_NONE:
        g_assert_not_reached();
    }
}

/* The channel. */

/* The answer to an earlier call, and now another backup is wanted. */
static void call_again(FtCore *core)
{
    if (core->state == FT_STATE_CONNECTING) {
        ft_core_sync_connect(core);
    }
}

static void connected(FtCore *core)
{
    gboolean wanted = ft_core_sync_connect_done(core);

    core->channel = TRUE;
    if (!wanted) {
        ft_core_close(core);            /* too late */
        call_again(core);
        return;
    }
    ft_core_set_state(core, FT_STATE_HANDSHAKE, FT_REASON_PEER_CONNECTED,
                      NULL);
    ft_core_session_begin(core, ft_core_random(core), core->lease.generation);
    ft_core_timer(core, FT_TIMER_HANDSHAKE, FT_HANDSHAKE_MS);
    ft_core_send(core, FT_FRAME_HELLO, 0, 0, core->hello,
                 strlen(core->hello));
}

static void connect_failed(FtCore *core, const char *text)
{
    if (!ft_core_sync_connect_done(core)) {
        call_again(core);
    } else {
        ft_core_set_state(core, FT_STATE_CONNECTING, core->reason,
                          ft_core_keep(core, g_strdup_printf(
                              "can't reach the backup, trying again: %s",
                              text ? text : "unknown error")));
        connect_soon(core);
    }
}

static void hello_frame(FtCore *core, const FtEvent *event)
{
    gboolean bad;
    char *text;

    if (event->frame->session != core->session) {
        ft_core_bad_frame(core, "a HELLO of another session");
        return;
    }
    text = ft_core_hello_compare(core, event->data, event->size, &bad);
    if (bad) {
        ft_core_bad_frame(core, "a HELLO that is no list of lines");
    } else if (text) {
        ft_core_keep(core, text);
        ft_core_send(core, FT_FRAME_REFUSE, 0, 0, text,
                     MIN(strlen(text), FT_REASON_MAX));
        turned_away(core, FT_REASON_PEER_DIFFERS, text);
    } else {
        ft_core_sync_begin(core);
    }
}

/* "peer-busy: text" and "peer-differs: text" say what kind it is. */
static void refuse_frame(FtCore *core, const FtEvent *event)
{
    static const FtReason kinds[] = {
        FT_REASON_PEER_BUSY, FT_REASON_PEER_DIFFERS
    };
    FtReason reason = FT_REASON_PEER_REFUSED;
    const char *text = ft_core_keep(core, ft_core_clean_text(event->data,
                                                             event->size));

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        const char *name = ft_core_reason_name(kinds[i]);
        gsize len = strlen(name);

        if (g_str_has_prefix(text, name) && text[len] == ':') {
            reason = kinds[i];
            text += len + 1;
            text += strspn(text, " ");
            break;
        }
    }
    turned_away(core, reason, text);
}

static void ack_frame(FtCore *core, const FtEvent *event)
{
    guint64 position = event->frame->position;
    FtAck ack;

    if (!ft_wire_ack_in(&ack, event->data, event->size) ||
        position > core->sent || position < core->acknowledged ||
        ack.executed > position || ack.executed < core->executed) {
        ft_core_bad_frame(core, "an acknowledgement that can't be true");
        return;
    }
    core->executed = ack.executed;
    core->icount = ack.icount;
    if (position > core->acknowledged) {
        core->acknowledged = position;
        if (core->hold != FT_HOLD_NONE) {
            ft_core_act(core, FT_ACTION_RELEASE)->position = position;
        }
        ft_core_act(core, FT_ACTION_LOG_TRIM)->position = position;
    }
    if (core->state == FT_STATE_ENDING && core->claim == FT_CLAIM_NONE &&
        position >= core->end_position) {
        ft_core_exit(core, FT_REASON_VM_ENDED, NULL);
    }
    ft_core_sync_check(core);
}

static void failed_frame(FtCore *core, const FtEvent *event)
{
    char *why = ft_core_clean_text(event->data, event->size);
    char *text = *why ? g_strdup_printf("the backup stopped: %s", why) : NULL;

    g_free(why);
    ft_core_primary_lost(core, FT_REASON_PEER_FAILED,
                         ft_core_keep(core, text));
}

void ft_core_primary_frame(FtCore *core, const FtEvent *event)
{
    gboolean handshake = core->state == FT_STATE_HANDSHAKE;

    if (event->frame->type == FT_FRAME_HELLO && handshake) {
        hello_frame(core, event);
    } else if (event->frame->type == FT_FRAME_REFUSE && handshake) {
        refuse_frame(core, event);
    } else if (event->frame->type == FT_FRAME_ACK && !handshake) {
        ack_frame(core, event);
    } else if (event->frame->type == FT_FRAME_FAILED) {
        failed_frame(core, event);
    } else {
        ft_core_bad_frame(core, "a frame that a primary does not expect now");
    }
}

void ft_core_primary_keepalive(FtCore *core)
{
    ft_core_send(core, FT_FRAME_KEEPALIVE, 0, core->appended, NULL, 0);
    ft_core_sync_tick(core);
}

/* Commands and the log. */

void ft_core_primary_send_log(FtCore *core)
{
    FtAction *action;

    if (core->channel && core->appended > core->sent &&
        (core->state == FT_STATE_SYNCING || core->state == FT_STATE_PAIRING ||
         core->state == FT_STATE_PROTECTED ||
         core->state == FT_STATE_ENDING)) {
        action = ft_core_act(core, FT_ACTION_SEND_LOG);
        action->from = core->sent;
        action->to = core->appended;
        core->sent = core->appended;
    }
}

static void appended(FtCore *core, guint64 position)
{
    if (core->state == FT_STATE_ALONE ||
        (!core->guest_started && (core->state == FT_STATE_CONNECTING ||
                                  core->state == FT_STATE_HANDSHAKE))) {
        return;                         /* no session has this log */
    }
    g_assert(position >= core->appended);
    core->appended = position;
    ft_core_primary_send_log(core);
    ft_core_sync_bound(core);
}

static void stop_protecting(FtCore *core)
{
    if (core->state == FT_STATE_PROTECTED) {
        ft_core_set_state(core, FT_STATE_ENDING, FT_REASON_UNPAIRED,
                          "a person stops the protection; the lease is asked");
        ft_core_set_cause(core);
        ft_core_lease_step(core, FT_CLAIM_UNPAIR, 1, core->config.node, "");
    } else if (core->state == FT_STATE_CONNECTING ||
               core->state == FT_STATE_HANDSHAKE ||
               core->state == FT_STATE_SYNCING) {
        if (core->state == FT_STATE_SYNCING) {
            send_end(core, FT_FRAME_UNPAIRED);
        }
        ft_core_primary_alone(core, FT_REASON_UNPAIRED, NULL);
    }
}

static void vm_ended(FtCore *core, guint64 position)
{
    switch (core->state) {
    case FT_STATE_PROTECTED:
        appended(core, MAX(position, core->appended));
        core->end_position = core->sent;
        ft_core_set_state(core, FT_STATE_ENDING, FT_REASON_VM_ENDED,
                          "the VM ended; the backup gets the log's end");
        send_end(core, 0);
        if (core->acknowledged >= core->end_position) {
            ft_core_exit(core, FT_REASON_VM_ENDED, NULL);
        }
        break;
    case FT_STATE_PAIRING:
        appended(core, MAX(position, core->appended));
        core->end_position = core->appended;
        core->end_wanted = TRUE;        /* the lease has to answer first */
        break;
    case FT_STATE_CLAIMING:
    case FT_STATE_ENDING:
        core->end_wanted = TRUE;
        break;
    case FT_STATE_SYNCING:
        send_end(core, 0);
        ungate(core);
        ft_core_exit(core, FT_REASON_VM_ENDED, NULL);
        break;
    default:
        ft_core_exit(core, FT_REASON_VM_ENDED, NULL);
        break;
    }
}

void ft_core_primary_event(FtCore *core, const FtEvent *event)
{
    switch (event->type) {
    case FT_EVENT_START:
        ft_core_set_state(core, FT_STATE_ACQUIRING, FT_REASON_STARTED, NULL);
        ft_core_lease_read(core);
        break;
    case FT_EVENT_CONNECTED:
        connected(core);
        break;
    case FT_EVENT_CONNECT_FAILED:
        connect_failed(core, event->text);
        break;
    case FT_EVENT_APPENDED:
        appended(core, event->position);
        break;
    case FT_EVENT_CMD_FAILOVER:
        if (core->state == FT_STATE_PROTECTED) {
            ft_core_send(core, FT_FRAME_FAILOVER, 0, core->sent, NULL, 0);
        }
        break;
    case FT_EVENT_CMD_STOP:
        stop_protecting(core);
        break;
    case FT_EVENT_CMD_END:
        vm_ended(core, event->position);
        break;
    case FT_EVENT_CMD_PROTECT:
        ft_core_sync_protect(core, event->state_id, event->text);
        break;
    case FT_EVENT_PROTECT_FAILED:
        if (ft_core_sync_running(core)) {
            ft_core_sync_give_up(core, FT_REASON_PROTECT_FAILED, event->text);
        } else if (core->state == FT_STATE_ALONE) {
            ft_core_set_state(core, FT_STATE_ALONE, FT_REASON_PROTECT_FAILED,
                              event->text);
        }
        break;
    case FT_EVENT_HELD:
        ft_core_sync_held(core, event->position);
        break;
    default:
        break;
    }
}
