/*
 * What the core decides and the main thread carries out.
 *
 * Purpose: an ordered queue from the I/O thread to the main thread.
 * Thread: ft_jobs_add from the I/O thread; the jobs run in the main thread
 *   under the BQL and the replay mutex.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_JOBS_H
#define FT_JOBS_H

#include "core.h"

void ft_jobs_init(void);
/* Copies what it needs.  status goes with FT_ACTION_STATE. */
void ft_jobs_add(const FtAction *action, const FtCoreStatus *status);
/*
 * The main thread will not run any more: reports the states that wait and
 * drops the rest.  Any thread, no locks.
 */
void ft_jobs_tell(void);

#endif
