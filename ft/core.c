/*
 * The protocol core: what both roles share.
 *
 * An event comes in, ft_core_event() gives it to the role the process has,
 * and the actions that came up are returned.  Each change of
 * state goes through ft_core_set_state(), which asserts that the table in
 * core-table.c allows it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "core-internal.h"

#define KEEPALIVE_BEATS (FT_KEEPALIVE_INTERVAL_MS / FT_HEARTBEAT_INTERVAL_MS)

FtCore *ft_core_new(const FtCoreConfig *config)
{
    FtCore *core = g_new0(FtCore, 1);

    g_assert(config->role == FT_ROLE_PRIMARY ||
             config->role == FT_ROLE_BACKUP);
    g_assert(config->node[0]);
    core->config = *config;
    core->identity = g_strdup(config->identity);
    ft_core_hello_set(core, 0);
    core->role = config->role;
    core->random = config->seed;
    core->text = g_strdup("");
    core->actions = g_array_new(FALSE, TRUE, sizeof(FtAction));
    core->keep = g_ptr_array_new_with_free_func(g_free);
    return core;
}

void ft_core_free(FtCore *core)
{
    if (core) {
        g_array_free(core->actions, TRUE);
        g_ptr_array_free(core->keep, TRUE);
        g_free(core->hello);
        g_free(core->identity);
        g_free(core->text);
        g_free(core->cause);
        g_free(core);
    }
}

void ft_core_set_late(FtCore *core)
{
    core->late = TRUE;
}

/* splitmix64: never 0, so that 0 means "no session" and "no nonce". */
guint64 ft_core_random(FtCore *core)
{
    guint64 z;

    core->random += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    z = core->random;
    z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    z ^= z >> 31;
    return z ? z : 1;
}

/* The pointer is valid until the next action is added. */
FtAction *ft_core_act(FtCore *core, FtActionType type)
{
    g_array_set_size(core->actions, core->actions->len + 1);
    FtAction *action = &g_array_index(core->actions, FtAction,
                                      core->actions->len - 1);

    action->type = type;
    action->old_state = action->state = core->state;
    return action;
}

/* Keeps an allocation until the next event. */
const char *ft_core_keep(FtCore *core, char *owned)
{
    g_ptr_array_add(core->keep, owned);
    return owned;
}

void ft_core_set_state(FtCore *core, FtState state, FtReason reason,
                       const char *text)
{
    FtState old = core->state;
    FtAction *action;
    char *copy = g_strdup(text && *text ? text : ft_core_reason_text(reason));

    if (state == old && reason == core->reason && !strcmp(copy, core->text)) {
        g_free(copy);
        return;
    }
    g_assert(ft_core_edge_legal(core->role, old, state));
    ft_core_keep(core, core->text);     /* an earlier action may point to it */
    core->text = copy;
    core->state = state;
    core->reason = reason;
    action = ft_core_act(core, FT_ACTION_STATE);
    action->old_state = old;
    action->reason = reason;
    action->text = copy;
}

void ft_core_timer(FtCore *core, FtTimer timer, guint delay_ms)
{
    FtAction *action = ft_core_act(core, FT_ACTION_TIMER);

    action->timer = timer;
    action->delay_ms = delay_ms;
}

void ft_core_send(FtCore *core, FtFrameType type, guint32 flags,
                  guint64 position, const void *data, gsize size)
{
    char *copy = size ? g_memdup2(data, size) : NULL;
    FtAction *action = ft_core_act(core, FT_ACTION_SEND);

    action->frame = (FtFrame) {
        .type = type,
        .flags = flags,
        .session = core->session,
        .generation = core->session_generation,
        .position = position,
        .length = size,
    };
    action->data = (const guint8 *)copy;
    action->size = size;
    if (copy) {
        ft_core_keep(core, copy);
    }
}

void ft_core_close(FtCore *core)
{
    if (core->channel) {
        core->channel = FALSE;
        ft_core_act(core, FT_ACTION_CLOSE);
    }
}

void ft_core_halt(FtCore *core, FtReason reason, const char *text)
{
    FtAction *action;

    ft_core_set_state(core, FT_STATE_HALTED, reason, text);
    ft_core_close(core);
    action = ft_core_act(core, FT_ACTION_HALT);
    action->reason = reason;
    action->text = core->text;
}

void ft_core_exit(FtCore *core, FtReason reason, const char *text)
{
    FtAction *action;

    ft_core_set_state(core, FT_STATE_ENDED, reason, text);
    ft_core_close(core);
    action = ft_core_act(core, FT_ACTION_EXIT);
    action->reason = reason;
    action->text = core->text;
}

/* The session. */

void ft_core_session_begin(FtCore *core, guint64 session, guint64 generation)
{
    core->session = session;
    core->session_generation = generation;
    if (!core->guest_started) {
        core->appended = 0;             /* else the log has begun already */
    }
    core->sent = core->received = 0;
    core->committed = core->acknowledged = core->executed = 0;
    core->icount = 0;
    core->heartbeat_sequence = 0;
    ft_core_timer(core, FT_TIMER_HEARTBEAT, FT_HEARTBEAT_INTERVAL_MS);
}

void ft_core_watch_begin(FtCore *core)
{
    ft_silence_begin(&core->silence);
    ft_core_timer(core, FT_TIMER_HANDSHAKE, 0);
    ft_core_timer(core, FT_TIMER_SILENCE, FT_SILENCE_TICK_MS);
}

static gboolean is_primary(const FtCore *core)
{
    return core->role == FT_ROLE_PRIMARY;
}

static void peer_lost(FtCore *core, FtReason reason, const char *text)
{
    if (is_primary(core)) {
        ft_core_primary_lost(core, reason, text);
    } else {
        ft_core_backup_lost(core, reason, text);
    }
}

/*
 * This side can't go on.  A backup tells its primary why: that one goes on
 * alone at once, and its people read the reason there.
 */
static void stop_here(FtCore *core, FtReason reason, const char *text)
{
    const char *why = text && *text ? text : ft_core_reason_text(reason);

    if (!is_primary(core) && core->channel && core->session) {
        ft_core_send(core, FT_FRAME_FAILED, 0, core->received, why,
                     MIN(strlen(why), FT_REASON_MAX));
    }
    ft_core_halt(core, reason, text);
}

/*
 * A backup whose log is not to be trusted must not execute any more of it
 * and must not go live on half of it: it halts, and the primary goes on
 * alone.  A primary only loses its backup by it, and so does a backup whose
 * log has not begun.
 */
void ft_core_bad_frame(FtCore *core, const char *text)
{
    if (!is_primary(core) &&
        (core->state == FT_STATE_PROTECTED ||
         (core->state == FT_STATE_PAIRING && core->guest_started))) {
        stop_here(core, FT_REASON_PEER_BAD_FRAME, text);
    } else {
        peer_lost(core, FT_REASON_PEER_BAD_FRAME, text);
    }
}

/* Is the peer's silence a reason to suspect it? */
static gboolean watching(const FtCore *core)
{
    return core->channel && (core->state == FT_STATE_SYNCING ||
                             core->state == FT_STATE_PAIRING ||
                             core->state == FT_STATE_PROTECTED ||
                             (core->state == FT_STATE_ENDING &&
                              is_primary(core)));
}

/*
 * A backup with a full ring stops reading, so the silence of the channel is
 * then its own doing.  Half the ring: the driver decides when it is full.
 */
static gboolean backlogged(const FtCore *core)
{
    return !is_primary(core) &&
           core->received - core->executed >= FT_RING_MAX / 2;
}

/* After this much silence the peer is suspected. */
static guint bound_ms(const FtCore *core)
{
    return ft_silence_bound_ms(&core->silence, !is_primary(core));
}

/*
 * Silence is counted in ticks of this timer and not by a clock: a process
 * that was stopped for long has seen one tick, and not the peer's silence.
 */
static void silence_timer(FtCore *core)
{
    FtSilence *silence = &core->silence;

    if (!watching(core)) {
        return;
    }
    ft_core_timer(core, FT_TIMER_SILENCE, FT_SILENCE_TICK_MS);
    ft_silence_tick(silence);
    if (silence->ms >= bound_ms(core)) {
        peer_lost(core, FT_REASON_PEER_SILENT, ft_core_keep(core,
                  g_strdup_printf("nothing was heard of \"%s\" for %u ms, "
                                  "neither log channel nor heartbeats (the "
                                  "longest silence of late was %u ms)",
                                  core->peer_node, silence->ms,
                                  ft_silence_jitter_ms(silence))));
    } else if (silence->channel_ms >= FT_CHANNEL_SILENCE_MS &&
               !backlogged(core)) {
        peer_lost(core, FT_REASON_PEER_SILENT, ft_core_keep(core,
                  g_strdup_printf("the log channel to \"%s\" was silent for "
                                  "%u ms, although heartbeats arrive",
                                  core->peer_node, silence->channel_ms)));
    }
}

static void heartbeat_timer(FtCore *core)
{
    FtAction *action;

    /* A backup that is ending needs no channel, but its driver tells how far
     * it got at a timer. */
    if (core->channel || core->state == FT_STATE_ENDING) {
        ft_core_timer(core, FT_TIMER_HEARTBEAT, FT_HEARTBEAT_INTERVAL_MS);
    }
    if (!core->channel || !core->session) {
        return;
    }
    action = ft_core_act(core, FT_ACTION_SEND_HEARTBEAT);
    action->heartbeat = (FtHeartbeat) {
        .session = core->session,
        .generation = core->session_generation,
        .sequence = ++core->heartbeat_sequence,
        .position = is_primary(core) ? core->appended : core->received,
        .bound_ms = watching(core) ? bound_ms(core) : 0,
        .patience_ms = core->late ? FT_SILENCE_MAX_MS : FT_SILENCE_MIN_MS,
        .role = core->role,
    };
    if ((core->heartbeat_sequence - 1) % KEEPALIVE_BEATS) {
        return;
    }
    if (is_primary(core)) {
        ft_core_primary_keepalive(core);
    } else {
        ft_core_backup_keepalive(core);
    }
}

gboolean ft_core_peer_sent(const FtCore *core, const FtHeartbeat *heartbeat)
{
    return core->session && heartbeat->session == core->session &&
        heartbeat->role != core->role;
}

static void heartbeat_event(FtCore *core, const FtHeartbeat *heartbeat)
{
    if (ft_core_peer_sent(core, heartbeat)) {
        ft_silence_heard_heartbeat(&core->silence, heartbeat);
    }
}

static void frame_event(FtCore *core, const FtEvent *event)
{
    FtFrameType type = event->frame->type;

    if (!core->channel || core->state == FT_STATE_CLAIMING) {
        return;                         /* of a channel we gave up */
    }
    ft_silence_heard_frame(&core->silence);
    if (type != FT_FRAME_HELLO && type != FT_FRAME_REFUSE &&
        (event->frame->session != core->session ||
         event->frame->generation != core->session_generation)) {
        ft_core_bad_frame(core, "a frame of another session");
    } else if (is_primary(core)) {
        ft_core_primary_frame(core, event);
    } else {
        ft_core_backup_frame(core, event);
    }
}

/* Events. */

static void timer_event(FtCore *core, const FtEvent *event)
{
    switch (event->timer) {
    case FT_TIMER_HEARTBEAT:
        heartbeat_timer(core);
        break;
    case FT_TIMER_SILENCE:
        silence_timer(core);
        break;
    case FT_TIMER_HANDSHAKE:
        if (core->state == FT_STATE_HANDSHAKE) {
            peer_lost(core, FT_REASON_PEER_SILENT,
                      "the peer did not say HELLO in time");
        }
        break;
    case FT_TIMER_CONNECT:
        if (core->state == FT_STATE_CONNECTING) {
            ft_core_sync_connect(core);
        }
        break;
    case FT_TIMER_PROTECT:
        if (ft_core_sync_running(core)) {
            ft_core_sync_give_up(core, FT_REASON_PROTECT_FAILED, NULL);
        }
        break;
    case FT_TIMER_LEASE:
        ft_core_lease_timer(core);
        break;
    case FT_TIMER_FENCE:
        ft_core_fence_timer(core);
        break;
    case FT_TIMER__MAX:
        g_assert_not_reached();
    }
}

static void dispatch(FtCore *core, const FtEvent *event)
{
    switch (event->type) {
    case FT_EVENT_FRAME:
        frame_event(core, event);
        break;
    case FT_EVENT_BAD_FRAME:
        if (core->channel && core->state != FT_STATE_CLAIMING) {
            ft_core_bad_frame(core, event->text);
        }
        break;
    case FT_EVENT_CLOSED:
        if (core->channel) {
            core->channel = FALSE;
            peer_lost(core, FT_REASON_PEER_CLOSED, event->text);
        }
        break;
    case FT_EVENT_HEARTBEAT:
        heartbeat_event(core, event->heartbeat);
        break;
    case FT_EVENT_TIMER:
        timer_event(core, event);
        break;
    case FT_EVENT_LEASE:
        ft_core_lease_event(core, event);
        break;
    case FT_EVENT_FENCED:
        ft_core_fence_event(core, event);
        break;
    case FT_EVENT_FAIL:
        stop_here(core, FT_REASON_LOCAL_FAILURE, event->text);
        break;
    default:
        if (is_primary(core)) {
            ft_core_primary_event(core, event);
        } else {
            ft_core_backup_event(core, event);
        }
        break;
    }
}

/* A backup that loads its state: it knows nobody, but it may end. */
static void before_start(FtCore *core, const FtEvent *event)
{
    if (event->type == FT_EVENT_START ||
        (!is_primary(core) && (event->type == FT_EVENT_FAIL ||
                               event->type == FT_EVENT_CMD_END))) {
        dispatch(core, event);
    }
}

const FtAction *ft_core_event(FtCore *core, const FtEvent *event, guint *count)
{
    g_array_set_size(core->actions, 0);
    g_ptr_array_set_size(core->keep, 0);
    g_assert(event->type != FT_EVENT_START || core->state == FT_STATE_INIT);
    if (core->state == FT_STATE_INIT) {
        before_start(core, event);
    } else if (core->state != FT_STATE_HALTED &&
               core->state != FT_STATE_ENDED) {
        dispatch(core, event);
    }
    *count = core->actions->len;
    return (const FtAction *)core->actions->data;
}

void ft_core_status(const FtCore *core, FtCoreStatus *status)
{
    gboolean primary = is_primary(core);

    *status = (FtCoreStatus) {
        .role = core->role,
        .state = core->state,
        .hello = core->hello,
        .reason = core->reason,
        .cause = core->cause_reason,
        .text = core->text,
        .session = core->session,
        .generation = core->lease.generation,
        .session_generation = core->session_generation,
        .appended = primary ? core->appended
                            : MAX(core->appended, core->received),
        .sent = primary ? core->sent : core->received,
        .acknowledged = core->acknowledged,
        .executed = core->executed,
        .peer_icount = core->icount,
        .lease = core->lease,
        .peer_node = core->peer_node,
        .heartbeats_seen = watching(core) &&
                           core->silence.heartbeat_ms < FT_SILENCE_MAX_MS,
        .jitter_ms = watching(core) ? ft_silence_jitter_ms(&core->silence)
                                    : 0,
        .suspect_ms = watching(core) ? bound_ms(core) : 0,
    };
}
