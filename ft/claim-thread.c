/*
 * The lease, asked from a thread that may hang with its storage.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/thread.h"
#include "claim-thread.h"
#include "precedence.h"
#include "trace.h"

static struct {
    FtLease *lease;
    FtLeaseAnswerFn *answer;
    GAsyncQueue *jobs;
    GHashTable *nonces;         /* of all steps asked for; the thread's */
    QemuThread thread;
} lt;

void ft_claim_thread_job_free(gpointer opaque)
{
    FtLeaseJob *job = opaque;

    g_free(job->why);
    g_free(job);
}

static void carry_out(FtLeaseJob *job)
{
    static const char *const names[] = { "won", "lost", "unknown" };

    if (job->step) {
        g_hash_table_add(lt.nonces, g_memdup2(&job->to.nonce,
                                              sizeof(job->to.nonce)));
        job->result = ft_lease_step(lt.lease, &job->from, &job->to, &job->now,
                                    &job->why);
    } else {
        job->result = ft_lease_read(lt.lease, &job->now, &job->why)
            ? FT_LEASE_WON : FT_LEASE_UNKNOWN;
    }
    job->own = g_hash_table_contains(lt.nonces, &job->now.nonce);
    trace_ft_claim_thread_result(job->step ? names[job->result] : "read",
                                 job->now.generation, job->now.owner,
                                 job->now.partner, job->why ?: "");
}

static void *lease_thread(void *opaque)
{
    ft_precedence_take();
    for (;;) {
        FtLeaseJob *job = g_async_queue_pop(lt.jobs);

        carry_out(job);
        job->answer(job);
    }
    return NULL;
}

void ft_claim_thread_ask(const FtAction *action)
{
    FtLeaseJob *job = g_new0(FtLeaseJob, 1);

    job->answer = lt.answer;
    job->step = action->type == FT_ACTION_LEASE_STEP;
    if (job->step) {
        job->from = action->from_record;
        job->to = action->to_record;
        trace_ft_claim_thread_step(job->to.generation, job->to.owner,
                                   job->to.partner, job->to.nonce);
    }
    g_async_queue_push(lt.jobs, job);
}

void ft_claim_thread_look(FtLeaseAnswerFn *answer)
{
    FtLeaseJob *job = g_new0(FtLeaseJob, 1);

    job->answer = answer;
    g_async_queue_push(lt.jobs, job);
}

void ft_claim_thread_start(FtLease *lease, FtLeaseAnswerFn *answer)
{
    lt.lease = lease;
    lt.answer = answer;
    lt.jobs = g_async_queue_new();
    lt.nonces = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                      NULL);
    qemu_thread_create(&lt.thread, "ft-lease", lease_thread, NULL,
                       QEMU_THREAD_DETACHED);
}
