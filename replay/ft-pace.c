/*
 * The vCPU waits for its backup.
 *
 * Only the host sees it: the vCPU holds nothing and is between two slices,
 * which end anywhere, and the guest's time goes on by what TIME entries say.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "ft-pace.h"
#include "ft-stream-internal.h"

/* A wait is looked at again after this. */
#define STALL_STEP_MS 2
#define REST_STEP_MS 1
/* A vCPU that rested too little need not make up for more than this. */
#define OWED_MAX_NS (20 * SCALE_MS)

static struct {
    /* Atomic. */
    bool stall;
    unsigned rest_permille;

    /* vCPU thread. */
    bool rests;                 /* the next three mean something */
    int64_t looked_at;          /* real time */
    int64_t used_ns;            /* CPU time of its thread, then */
    int64_t owed_ns;            /* rest that it has not had */
} pace;

void ft_stream_set_stall(bool stall)
{
    if (qatomic_xchg(&pace.stall, stall) && !stall) {
        ft_log_wake(ft_stream.log);
    }
}

void ft_stream_set_rest(unsigned permille)
{
    qatomic_set(&pace.rest_permille, permille);
}

static bool is_wanted(void)
{
    return qatomic_read(&current_cpu->stop) ||
        qatomic_read(&ft_stream.input);
}

static int64_t used_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * NANOSECONDS_PER_SECOND + ts.tv_nsec;
}

/* Rest is also what the guest slept, or had no core. */
static void account(unsigned permille)
{
    int64_t now = get_clock(), used = used_ns();
    int64_t ran = used - pace.used_ns;
    int64_t away = now - pace.looked_at - ran;

    pace.owed_ns += ran * permille / (FT_REST_WHOLE - permille) - away;
    pace.owed_ns = pace.rests ? MIN(MAX(pace.owed_ns, 0), OWED_MAX_NS) : 0;
    pace.rests = true;
    pace.looked_at = now;
    pace.used_ns = used;
}

static void rest(void)
{
    unsigned permille;

    while ((permille = qatomic_read(&pace.rest_permille))) {
        account(permille);
        if (pace.owed_ns < REST_STEP_MS * SCALE_MS || is_wanted()) {
            return;
        }
        ft_log_wait(ft_stream.log, UINT64_MAX, REST_STEP_MS);
    }
    pace.rests = false;
}

void ft_pace_wait(void)
{
    if (!ft_stream_records()) {
        return;
    }
    rest();
    while (qatomic_read(&pace.stall) && !qatomic_read(&current_cpu->stop)) {
        ft_log_wait(ft_stream.log, UINT64_MAX, STALL_STEP_MS);
    }
}
