/*
 * QEMU as the driver of the protocol core.
 *
 *   vCPU, main thread --closures--> I/O thread: core --jobs--> main thread
 *                                       |    ^
 *                                       v    |
 *                                   lease thread (may block for long)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "migration/ft-state.h"
#include "replay/ft-stream.h"
#include "channel.h"
#include "claim-thread.h"
#include "control.h"
#include "disk.h"
#include "driver-internal.h"
#include "evidence.h"
#include "fence.h"
#include "gate.h"
#include "halt.h"
#include "jobs.h"
#include "lag.h"
#include "limits.h"
#include "log-sink.h"
#include "offline.h"
#include "options.h"
#include "precedence.h"
#include "progress.h"
#include "timeline.h"
#include "trace.h"

static struct {
    FtCore *core;
    GMainContext *context;
    GMainLoop *loop;
    QemuThread thread;
    GSource *timers[FT_TIMER__MAX];

    FtLag lag;                  /* I/O thread */

    QemuMutex status_lock;
    FtDriverStatus status;      /* protected by status_lock */
} d;

/* --- to the I/O thread --------------------------------------------------- */

typedef struct Closure {
    FtEvent event;
    char *text;
} Closure;

static void closure_free(gpointer opaque)
{
    Closure *closure = opaque;

    g_free(closure->text);
    g_free(closure);
}

static gboolean closure_run(gpointer opaque)
{
    Closure *closure = opaque;

    closure->event.text = closure->text;
    ft_driver_feed(&closure->event);
    return G_SOURCE_REMOVE;
}

void ft_driver_in_io_thread(GSourceFunc fn, gpointer data,
                            GDestroyNotify notify)
{
    GSource *source = g_idle_source_new();

    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, fn, data, notify);
    g_source_attach(source, d.context);
    g_source_unref(source);
}

void ft_driver_post(FtEventType type, uint64_t position, const char *text)
{
    Closure *closure = g_new0(Closure, 1);

    closure->event.type = type;
    closure->event.position = position;
    closure->text = g_strdup(text);
    ft_driver_in_io_thread(closure_run, closure, closure_free);
}

/* --- lease --------------------------------------------------------------- */

/* The answer, in the I/O thread. */
static gboolean lease_answer(gpointer opaque)
{
    const FtLeaseJob *job = opaque;
    FtEvent event = {
        .type = FT_EVENT_LEASE,
        .result = job->result,
        .record = job->result == FT_LEASE_UNKNOWN ? NULL : &job->now,
        .text = job->why,
    };

    ft_driver_feed(&event);
    return G_SOURCE_REMOVE;
}

static void lease_answered(FtLeaseJob *job)
{
    ft_driver_in_io_thread(lease_answer, job, ft_claim_thread_job_free);
}

/* In the main thread. */
static void fenced(FtLeaseResult result, const char *text)
{
    Closure *closure = g_new0(Closure, 1);

    closure->event.type = FT_EVENT_FENCED;
    closure->event.result = result;
    closure->text = g_strdup(text);
    ft_driver_in_io_thread(closure_run, closure, closure_free);
}

/* --- timers -------------------------------------------------------------- */

static gboolean timer_fired(gpointer opaque)
{
    FtEvent event = {
        .type = FT_EVENT_TIMER,
        .timer = GPOINTER_TO_INT(opaque),
    };

    g_clear_pointer(&d.timers[event.timer], g_source_unref);
    ft_driver_feed(&event);
    return G_SOURCE_REMOVE;
}

static void timer_arm(FtTimer timer, guint delay_ms)
{
    if (d.timers[timer]) {
        g_source_destroy(d.timers[timer]);
        g_clear_pointer(&d.timers[timer], g_source_unref);
    }
    if (delay_ms) {
        d.timers[timer] = g_timeout_source_new(delay_ms);
        g_source_set_callback(d.timers[timer], timer_fired,
                              GINT_TO_POINTER(timer), NULL);
        g_source_attach(d.timers[timer], d.context);
    }
}

/* --- actions ------------------------------------------------------------- */

/*
 * The vCPU waits while buffers are full (M4), or its backup is late (M15).
 * Nobody executes while a claim is under way: then only the buffer counts.
 */
static void stall_primary(FtCoreStatus *core)
{
    bool follows = core->state == FT_STATE_SYNCING ||
                   core->state == FT_STATE_PAIRING ||
                   core->state == FT_STATE_PROTECTED;

    if (core->role != FT_ROLE_PRIMARY ||
        (!follows && core->state != FT_STATE_CLAIMING)) {
        return;
    }
    core->appended = ft_log_end(&ft_driver_log);
    if (follows) {
        ft_lag_update(&d.lag, core->appended, core->executed,
                      g_get_monotonic_time());
    }
    ft_stream_set_rest(follows ? d.lag.rest_permille : 0);
    ft_stream_set_stall(
        core->appended - core->acknowledged > FT_LOG_BUFFER_MAX ||
        (follows && (core->appended - core->executed > FT_RING_MAX ||
                     d.lag.lag_ms > FT_LAG_STALL_MS)));
}

static void update_status(void)
{
    FtCoreStatus core;
    FtDriverStatus *status = &d.status;

    ft_core_status(d.core, &core);
    if (core.role == FT_ROLE_PRIMARY) {
        ft_disk_executed(core.executed);
    }
    stall_primary(&core);
    QEMU_LOCK_GUARD(&d.status_lock);
    status->core = core;
    g_strlcpy(status->text, core.text && *core.text ? core.text
              : ft_core_reason_text(core.reason), sizeof(status->text));
    g_strlcpy(status->peer_node, core.peer_node ?: "",
              sizeof(status->peer_node));
    status->core.text = status->text;
    status->core.peer_node = status->peer_node;
    status->log_rate = d.lag.log_rate;
    status->lag_ms = d.lag.lag_ms;
}

/* The log that goes to a file begins and ends with the session. */
static void steer_sink(FtActionType type)
{
    FtCoreStatus status;

    ft_core_status(d.core, &status);
    if (type == FT_ACTION_LOG_BEGIN) {
        ft_log_sink_begin(status.role, status.hello, status.session,
                          status.session_generation);
    } else {
        ft_log_sink_take(&ft_driver_log, ft_log_committed(&ft_driver_log));
        ft_log_sink_end(status.text && *status.text ? status.text
                        : ft_core_reason_text(status.reason));
    }
}

static void state_action(const FtAction *action)
{
    FtCoreStatus status;

    ft_core_status(d.core, &status);
    ft_timeline_state(action, status.generation);
    trace_ft_driver_state(ft_core_state_name(action->old_state),
                          ft_core_state_name(action->state),
                          ft_core_reason_name(action->reason),
                          status.session, status.generation,
                          action->text ?: "");
    /* A running VM's log began where its state was taken. */
    if (action->state == FT_STATE_SYNCING && action->old_state !=
        FT_STATE_SYNCING && status.role == FT_ROLE_PRIMARY) {
        steer_sink(FT_ACTION_LOG_BEGIN);
    }
    /* Who hears the event may ask at once. */
    update_status();
    ft_jobs_add(action, &status);
}

/* Does the action leave alone what was received and is not stored yet? */
static bool may_precede_store(FtActionType type)
{
    return type == FT_ACTION_STORE || type == FT_ACTION_COMMIT ||
        type == FT_ACTION_SEND;
}

static void carry_out(const FtAction *action)
{
    if (!may_precede_store(action->type)) {
        ft_driver_log_store();
    }
    switch (action->type) {
    case FT_ACTION_STATE:
        state_action(action);
        break;
    case FT_ACTION_CONNECT:
        ft_channel_connect();
        break;
    case FT_ACTION_CLOSE:
        ft_channel_close();
        break;
    case FT_ACTION_SEND: {
        FtFrame frame = action->frame;

        frame.length = action->size;
        if (frame.type == FT_FRAME_KEEPALIVE) {
            frame.held = ft_driver_log_held(frame.position);
        }
        ft_channel_send(&frame, action->data);
        break;
    }
    case FT_ACTION_SEND_LOG:
        ft_driver_log_send(action);
        break;
    case FT_ACTION_SEND_HEARTBEAT:
        ft_channel_send_heartbeat(&action->heartbeat);
        break;
    case FT_ACTION_TIMER:
        timer_arm(action->timer, action->delay_ms);
        break;
    case FT_ACTION_LEASE_STEP:
    case FT_ACTION_LEASE_READ:
        ft_claim_thread_ask(action);
        break;
    case FT_ACTION_FENCE:
        ft_fence_begin(fenced);
        break;
    case FT_ACTION_STORE:
        ft_log_append(&ft_driver_log, action->data, action->size);
        break;
    case FT_ACTION_COMMIT:
        ft_driver_log_commit(action->position);
        break;
    case FT_ACTION_RELEASE:
        trace_ft_driver_release(action->position);
        ft_gate_release(action->position);
        break;
    case FT_ACTION_HOLD:
        ft_driver_post(FT_EVENT_HELD, ft_gate_shut(action->position), NULL);
        break;
    case FT_ACTION_LOG_TRIM:
        ft_log_trim(&ft_driver_log, action->position);
        break;
    case FT_ACTION_HALT:
        steer_sink(action->type);
        ft_gate_close();
        ft_halt_begin(action->reason, action->text);
        ft_jobs_add(action, NULL);
        break;
    case FT_ACTION_LOG_BEGIN:
        ft_log_reset(&ft_driver_log);
        ft_driver_log_begin();
        steer_sink(action->type);
        ft_jobs_add(action, NULL);
        break;
    case FT_ACTION_SINK_EMPTY:
    case FT_ACTION_EXIT:
        steer_sink(action->type);
        ft_jobs_add(action, NULL);
        break;
    case FT_ACTION_START_GUEST:
    case FT_ACTION_DRAIN:
    case FT_ACTION_ANNOUNCE:
        ft_jobs_add(action, NULL);
        break;
    }
}

static void feed_one(const FtEvent *event)
{
    guint count;
    const FtAction *actions = ft_core_event(d.core, event, &count);

    for (guint i = 0; i < count; i++) {
        carry_out(&actions[i]);
    }
}

/* The backup's progress is reported with what it acknowledges. */
void ft_driver_feed(const FtEvent *event)
{
    if (event->type == FT_EVENT_IDLE || event->type == FT_EVENT_TIMER) {
        FtEvent executed = {
            .type = FT_EVENT_EXECUTED,
            .position = ft_stream_executed(),
            .icount = ft_stream_icount(),
        };

        feed_one(&executed);
    }
    feed_one(event);
    if (event->type != FT_EVENT_FRAME) {
        ft_driver_log_store();          /* IDLE follows frames */
    }
    update_status();
}

void ft_driver_core_status(FtCoreStatus *status)
{
    ft_core_status(d.core, status);
}

bool ft_driver_core_can(FtEventType command, const char **why)
{
    return ft_core_can(d.core, command, why);
}

bool ft_driver_runs(void)
{
    return d.core;
}

void ft_driver_lag_begin(void)
{
    ft_lag_reset(&d.lag);
}

/* --- channel callbacks --------------------------------------------------- */

static const char *on_refuse(void)
{
    FtCoreStatus status;

    ft_core_status(d.core, &status);
    return status.state == FT_STATE_LISTENING ? NULL :
        "peer-busy: this backup is paired with another primary";
}

static void feed_text(FtEventType type, const char *text)
{
    FtEvent event = { .type = type, .text = text };

    ft_driver_feed(&event);
}

static void on_connected(void)
{
    ft_timeline_heard();
    feed_text(FT_EVENT_CONNECTED, NULL);
}

static void on_connect_failed(const char *why)
{
    feed_text(FT_EVENT_CONNECT_FAILED, why);
}

static void on_closed(const char *why)
{
    feed_text(FT_EVENT_CLOSED, why);
}

static void on_bad_frame(const char *why)
{
    feed_text(FT_EVENT_BAD_FRAME, why);
}

static void on_idle(void)
{
    feed_text(FT_EVENT_IDLE, NULL);
}

static void on_frame(const FtFrame *frame, const uint8_t *payload)
{
    FtEvent event = {
        .type = FT_EVENT_FRAME,
        .frame = frame,
        .data = payload,
        .size = frame->length,
    };
    FtCoreStatus status;

    ft_timeline_heard();
    ft_core_status(d.core, &status);
    if (ft_wire_tells_held(frame->type) && status.role == FT_ROLE_BACKUP &&
        status.session == frame->session) {
        ft_gate_left_primary(frame->position - frame->held);
    }
    ft_driver_feed(&event);
}

static bool on_heartbeat(const FtHeartbeat *heartbeat)
{
    FtEvent event = { .type = FT_EVENT_HEARTBEAT, .heartbeat = heartbeat };

    if (!ft_core_peer_sent(d.core, heartbeat)) {
        return false;
    }
    ft_timeline_heard();
    ft_driver_feed(&event);
    return true;
}

static const FtChannelOps channel_ops = {
    .refuse = on_refuse,
    .connected = on_connected,
    .connect_failed = on_connect_failed,
    .closed = on_closed,
    .frame = on_frame,
    .bad_frame = on_bad_frame,
    .idle = on_idle,
    .heartbeat = on_heartbeat,
};

/* --- other threads ------------------------------------------------------- */

void ft_driver_status(FtDriverStatus *status)
{
    if (ft_options.replay) {
        ft_offline_status(status);
        return;
    }
    QEMU_LOCK_GUARD(&d.status_lock);
    *status = d.status;
    status->core.text = status->text;
    status->core.peer_node = status->peer_node;
}

void ft_driver_end(void)
{
    if (ft_options.replay) {
        ft_offline_end();
        return;
    }
    if (!d.core) {
        ft_control_allow_exit();
        return;
    }
    /* What is in the open transaction belongs before the end. */
    ft_driver_post(FT_EVENT_CMD_END, ft_stream_flush(), NULL);
}

void ft_driver_fail(const char *why)
{
    g_autofree char *evidence = NULL, *text = NULL;

    if (ft_options.replay) {
        ft_offline_fail(why);
        return;
    }
    if (!d.context) {
        return;                 /* too early; ft/halt.c ends the process */
    }
    if (ft_stream_follows()) {
        evidence = ft_evidence_write(why);
    }
    text = g_strconcat(why, evidence, NULL);
    ft_driver_post(FT_EVENT_FAIL, 0, text);
}

void ft_driver_drained(void)
{
    ft_driver_post(FT_EVENT_DRAINED, 0, NULL);
}

/*
 * A backup that hangs holds its primary back; a primary whose main thread
 * hangs serves nobody, and its backup can.
 */
static gboolean watch_timer(gpointer opaque)
{
    g_autofree char *why = ft_progress_tick();

    if (why && (ft_stream_follows() ||
                d.status.core.state == FT_STATE_PROTECTED)) {
        ft_driver_fail(why);
    }
    return G_SOURCE_CONTINUE;
}

static void add_timer(guint interval_ms, GSourceFunc fn)
{
    GSource *source = g_timeout_source_new(interval_ms);

    g_source_set_callback(source, fn, NULL, NULL);
    g_source_attach(source, d.context);
    g_source_unref(source);
}

static void *io_thread(void *opaque)
{
    FtEvent start = {
        .type = FT_EVENT_START,
        .state_id = ft_state_id(),
    };

    g_main_context_push_thread_default(d.context);
    if (!ft_precedence_take()) {
        ft_core_set_late(d.core);       /* the peer is told to be patient */
    }
    add_timer(FT_DRIVER_BATCH_MS, ft_driver_log_batch);
    add_timer(FT_WATCH_TICK_MS, watch_timer);
    ft_channel_start(d.context, &channel_ops);
    ft_driver_feed(&start);
    g_main_loop_run(d.loop);
    return NULL;
}

void ft_driver_init(void)
{
    ft_log_init(&ft_driver_log);
    qemu_mutex_init(&d.status_lock);
    ft_timeline_init();
    d.status.core.role = ft_options.role;
    d.status.core.text = d.status.text;
    d.status.core.peer_node = d.status.peer_node;
    g_strlcpy(d.status.text, "waits for the machine's state (-incoming)",
              sizeof(d.status.text));
}

void ft_driver_start(const FtCoreConfig *config, FtLease *lease)
{
    d.core = ft_core_new(config);
    d.context = g_main_context_new();
    d.loop = g_main_loop_new(d.context, FALSE);
    ft_driver_log_begin();
    ft_driver_log_start(d.context);
    update_status();
    ft_claim_thread_start(lease, lease_answered);
    qemu_thread_create(&d.thread, "ft-io", io_thread, NULL,
                       QEMU_THREAD_DETACHED);
}
