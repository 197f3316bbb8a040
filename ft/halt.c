/*
 * How a process that has halted ends, whatever its threads do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/thread.h"
#include "control.h"
#include "halt.h"
#include "jobs.h"

/* An orderly end that hangs is cut off after this: nothing may leave. */
#define GRACE_US (5 * G_USEC_PER_SEC)
/* With a thread parked there is no orderly end; this is for the channel. */
#define PARKED_GRACE_US (G_USEC_PER_SEC / 2)
/* And this for the monitor. */
#define LAST_WORDS_US G_USEC_PER_SEC

static struct {
    bool taken;                 /* atomic: somebody has said why */

    /* Protected by lock. */
    bool begun, parked, told;
    gint64 deadline_us;         /* monotonic; 0: no end is in sight */
    int status;
    char *why;
} halt = { .status = FT_EXIT_FAILED };

static GMutex lock;
static GCond cond;

int ft_halt_status(FtReason reason)
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

bool ft_halt_take(void)
{
    return !qatomic_xchg(&halt.taken, true);
}

/* May block for ever: what a parked thread holds is not known. */
static void *last_words(void *opaque)
{
    ft_jobs_tell();
    if (ft_halt_take()) {
        error_report("ft: %s", halt.why);
    }
    g_mutex_lock(&lock);
    halt.told = true;
    g_cond_broadcast(&cond);
    g_mutex_unlock(&lock);
    return NULL;
}

static void start_thread(const char *name, void *(*run)(void *))
{
    QemuThread thread;

    qemu_thread_create(&thread, name, run, NULL, QEMU_THREAD_DETACHED);
}

static void say_and_end(void)
{
    gint64 until = g_get_monotonic_time() + LAST_WORDS_US;
    g_autofree char *line = g_strdup_printf("ft: %s\n", halt.why);

    start_thread("ft-last-words", last_words);
    while (!halt.told && g_cond_wait_until(&cond, &lock, until)) {
        ;
    }
    if (ft_halt_take() && write(STDERR_FILENO, line, strlen(line)) < 0) {
        ;                       /* nobody is left to be told */
    }
    _exit(halt.status);
}

static void *watchdog(void *opaque)
{
    g_mutex_lock(&lock);
    while (g_get_monotonic_time() < halt.deadline_us) {
        g_cond_wait_until(&cond, &lock, halt.deadline_us);
    }
    say_and_end();
    return NULL;
}

static void end_within_locked(gint64 grace_us, const char *why)
{
    gint64 deadline_us = g_get_monotonic_time() + grace_us;
    bool watched = halt.deadline_us;

    if (!watched || deadline_us < halt.deadline_us) {
        halt.deadline_us = deadline_us;
    }
    if (watched) {
        g_cond_broadcast(&cond);
    } else {
        halt.why = g_strdup(why);
        start_thread("ft-halt", watchdog);
    }
}

void ft_halt_begin(FtReason reason, const char *why)
{
    g_mutex_lock(&lock);
    halt.begun = true;
    halt.status = ft_halt_status(reason);
    end_within_locked(halt.parked ? PARKED_GRACE_US : GRACE_US, why);
    g_mutex_unlock(&lock);
}

void ft_halt_parked(const char *why)
{
    g_mutex_lock(&lock);
    halt.parked = true;
    end_within_locked(halt.begun ? PARKED_GRACE_US : GRACE_US, why);
    g_mutex_unlock(&lock);
}
