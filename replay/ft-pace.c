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
/* A vCPU that rested too little for long need not make up for all of it. */
#define REST_MAX_NS (20 * SCALE_MS)
/* It was held up for something else when it was away for longer. */
#define RAN_MAX_NS (20 * SCALE_MS)

static struct {
    /* Atomic. */
    bool stall;
    unsigned rest_permille;

    /* vCPU thread. */
    int64_t ran_since;
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

static void rest(void)
{
    unsigned permille = qatomic_read(&pace.rest_permille);
    int64_t now = get_clock();
    int64_t ran = MIN(now - pace.ran_since, RAN_MAX_NS);

    pace.ran_since = now;
    if (!permille || current_cpu->halted) {
        pace.owed_ns = 0;
        return;
    }
    pace.owed_ns += ran * permille / (FT_REST_WHOLE - permille);
    pace.owed_ns = MIN(pace.owed_ns, REST_MAX_NS);
    while (pace.owed_ns >= REST_STEP_MS * SCALE_MS && !is_wanted()) {
        ft_log_wait(ft_stream.log, UINT64_MAX, REST_STEP_MS);
        now = get_clock();
        pace.owed_ns -= now - pace.ran_since;
        pace.ran_since = now;
    }
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
