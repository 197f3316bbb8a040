/*
 * What the core decides and the main thread carries out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/qapi-events-ft.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "replay/ft-stream.h"
#include "control.h"
#include "driver.h"
#include "gate.h"
#include "jobs.h"
#include "net.h"

/* An orderly end that hangs is cut off after this: nothing may leave. */
#define HALT_GRACE_S 5

typedef struct Job {
    FtActionType type;
    FtRole role;
    FtState old_state, state;
    FtReason reason;
    uint64_t generation;
    char *text;
} Job;

static GAsyncQueue *jobs;
static QEMUBH *bh;

/* A primary that is refused tries again and again: say it once. */
static bool is_news(const Job *job)
{
    static char *last[FT_STATE__MAX];

    if (!g_strcmp0(last[job->state], job->text)) {
        return false;
    }
    g_free(last[job->state]);
    last[job->state] = g_strdup(job->text);
    return true;
}

static void report_state(const Job *job)
{
    qapi_event_send_ft_state(job->role == FT_ROLE_PRIMARY
                             ? FT_INFO_ROLE_PRIMARY : FT_INFO_ROLE_BACKUP,
                             (FtInfoState)job->old_state,
                             (FtInfoState)job->state,
                             ft_core_reason_name(job->reason), job->text,
                             job->generation);
    if (is_news(job)) {
        info_report("ft: %s: %s", ft_core_state_name(job->state), job->text);
    }
}

static int exit_status(FtReason reason)
{
    switch (reason) {
    case FT_REASON_LEASE_LOST:
        return FT_EXIT_LOST;
    case FT_REASON_LEASE_NEW:
    case FT_REASON_LEASE_NOT_NEW:
    case FT_REASON_LEASE_NOT_ELIGIBLE:
    case FT_REASON_LEASE_OTHER_VM:
        return FT_EXIT_NOT_ELIGIBLE;
    default:
        return FT_EXIT_FAILED;
    }
}

static void *halt_watchdog(void *opaque)
{
    g_usleep(HALT_GRACE_S * G_USEC_PER_SEC);
    _exit(GPOINTER_TO_INT(opaque));
}

static void halt(const Job *job)
{
    int status = exit_status(job->reason);
    QemuThread thread;

    qemu_thread_create(&thread, "ft-halt", halt_watchdog,
                       GINT_TO_POINTER(status), QEMU_THREAD_DETACHED);
    ft_control_halt(status, job->text);
}

static void run(const Job *job)
{
    switch (job->type) {
    case FT_ACTION_STATE:
        report_state(job);
        break;
    case FT_ACTION_LOG_BEGIN:
        ft_gate_begin();
        ft_stream_begin_log();
        break;
    case FT_ACTION_START_GUEST:
        ft_control_start_guest();
        break;
    case FT_ACTION_DRAIN:
        ft_stream_drain();
        break;
    case FT_ACTION_ANNOUNCE:
        ft_net_announce();
        break;
    case FT_ACTION_SINK_EMPTY:
        ft_stream_end_log();
        break;
    case FT_ACTION_HALT:
        halt(job);
        break;
    case FT_ACTION_EXIT:
        ft_control_allow_exit();
        break;
    default:
        g_assert_not_reached();
    }
}

static void jobs_bh(void *opaque)
{
    Job *job;

    while ((job = g_async_queue_try_pop(jobs))) {
        run(job);
        g_free(job->text);
        g_free(job);
    }
}

void ft_jobs_init(void)
{
    jobs = g_async_queue_new();
    bh = qemu_bh_new(jobs_bh, NULL);
}

void ft_jobs_add(const FtAction *action, const FtCoreStatus *status)
{
    Job *job = g_new0(Job, 1);

    job->type = action->type;
    job->old_state = action->old_state;
    job->state = action->state;
    job->reason = action->reason;
    job->text = g_strdup(action->text && *action->text ? action->text
                         : ft_core_reason_text(action->reason));
    if (status) {
        job->role = status->role;
        job->generation = status->generation;
    }
    g_async_queue_push(jobs, job);
    qemu_bh_schedule(bh);
}
