/*
 * The lease, asked from a thread that may hang with its storage.
 *
 * Thread: ft_claim_thread_ask from the driver's I/O thread; answers come in
 *   the lease thread.  Records that this process asked for are remembered.
 * Ownership: a job belongs to whom it was answered to.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_CLAIM_THREAD_H
#define FT_CLAIM_THREAD_H

#include "core.h"

typedef struct FtLeaseJob FtLeaseJob;
typedef void FtLeaseAnswerFn(FtLeaseJob *job);

typedef struct FtLeaseJob {
    bool step;                  /* a compare-and-set; else only read */
    FtLeaseRecord from, to, now;
    FtLeaseResult result;       /* of a read: won, or unknown */
    char *why;
    bool own;                   /* now is what this process asked for once */
    FtLeaseAnswerFn *answer;
} FtLeaseJob;

/* Takes the lease. */
void ft_claim_thread_start(FtLease *lease, FtLeaseAnswerFn *answer);
/* FT_ACTION_LEASE_STEP or FT_ACTION_LEASE_READ. */
void ft_claim_thread_ask(const FtAction *action);
/* Any thread: only a look at the record, answered to whom is named. */
void ft_claim_thread_look(FtLeaseAnswerFn *answer);
void ft_claim_thread_job_free(gpointer job);

#endif
