/*
 * What the core decides and the main thread carries out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/qapi-events-ft.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "replay/ft-stream.h"
#include "control.h"
#include "driver.h"
#include "gate.h"
#include "halt.h"
#include "jobs.h"
#include "net.h"
#include "timeline.h"

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
static QemuMutex report_lock;   /* ft_jobs_tell() is another thread */

/* A primary that is refused tries again and again: say it once. */
static bool is_news_locked(const Job *job)
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
    QEMU_LOCK_GUARD(&report_lock);
    qapi_event_send_ft_state(job->role == FT_ROLE_PRIMARY
                             ? FT_INFO_ROLE_PRIMARY : FT_INFO_ROLE_BACKUP,
                             (FtInfoState)job->old_state,
                             (FtInfoState)job->state,
                             ft_core_reason_name(job->reason), job->text,
                             job->generation);
    if (is_news_locked(job)) {
        info_report("ft: %s: %s", ft_core_state_name(job->state), job->text);
    }
}

static void halt(const Job *job)
{
    if (ft_halt_take()) {
        ft_control_halt(ft_halt_status(job->reason), job->text);
    }
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
        ft_timeline_mark(FT_TIMELINE_ANNOUNCED);
        break;
    case FT_ACTION_SINK_EMPTY:
        ft_stream_end_log();
        ft_control_set_alone(true);
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

static void job_free(Job *job)
{
    g_free(job->text);
    g_free(job);
}

static void jobs_bh(void *opaque)
{
    Job *job;

    while ((job = g_async_queue_try_pop(jobs))) {
        run(job);
        job_free(job);
    }
}

void ft_jobs_tell(void)
{
    Job *job;

    while ((job = g_async_queue_try_pop(jobs))) {
        if (job->type == FT_ACTION_STATE) {
            report_state(job);
        }
        job_free(job);
    }
}

void ft_jobs_init(void)
{
    jobs = g_async_queue_new();
    qemu_mutex_init(&report_lock);
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
