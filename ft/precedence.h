/*
 * Threads that a busy host must not make late.
 *
 * Purpose: who sends signs of life, counts the peer's silence and asks the
 *   lease computes little, and a takeover waits for it.
 * Thread: the one that takes precedence.  False: that is not permitted
 *   (CAP_SYS_NICE, RLIMIT_RTPRIO).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_PRECEDENCE_H
#define FT_PRECEDENCE_H

#include <sched.h>

static inline bool ft_precedence_take(void)
{
    struct sched_param param = { .sched_priority = 1 };

    return !sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &param);
}

#endif
