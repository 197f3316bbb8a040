/*
 * The fence: nobody but the machine that won the lease writes a shared disk.
 *
 * States, and what holds in them:
 *
 *   IDLE    this machine does not write.  A session that ended is renewed.
 *   DOUBT   requests wait, none is under way once the fence is taken:
 *             if it was held before: read the lease, as below
 *             renew a session that ended or is in doubt
 *             register, preempt whoever has the reservation, look who has it
 *             reset the LUN: what others had under way is done, or never is
 *             read a block
 *             read the lease: is its record one that this process made?
 *   HELD    the reservation is ours, on this session, and was confirmed.
 *           Requests go on.  Any error that may be the session's: DOUBT.
 *
 *   IDLE --won--> DOUBT --confirmed--> HELD --error, end of a session--> DOUBT
 *                   |
 *                   +--the lease is another machine's--> fail-stop
 *
 * A winner that slept before it fenced may preempt its own successor's
 * reservation.  It then finds the lease to be another's and stops; the
 * successor is refused once, finds the lease to be its own, and fences anew.
 *
 * Nothing is ever written in DOUBT: the session does not reconnect by itself
 * (ft_iscsi_borrow), so what is sent after it ended goes nowhere, and is
 * cancelled before there is a new one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/coroutine.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "block/block_int.h"
#include "claim-thread.h"
#include "disks.h"
#include "driver.h"
#include "fence.h"
#include "fence-lun.h"
#include "ft.h"
#include "options.h"
#include "trace.h"

/* A session is looked at, a round that did not do is made again, ... */
#define WATCH_MS 100
#define AGAIN_MS 100
#define PAUSE_MS 2
/* An error that comes as often, each time over a confirmed session, is the
   disk's own. */
#define TRIES 3
typedef enum State { IDLE, DOUBT, HELD } State;

static struct {
    QLIST_HEAD(, FtFenceLun) luns;
    bool unfenced;              /* a shared disk is no LUN */
    bool any;                   /* there are shared disks */
    State state;
    bool was_held;
    bool running;               /* the coroutine that takes it, or renews */
    unsigned under_way;         /* requests */
    CoQueue waiting;
    QEMUTimer *timer;
    FtFenceAnswerFn *answer;    /* NULL: nobody waits */
    char *text;                 /* what it waits for */

    /* The look at the lease. */
    Coroutine *co;
    FtLeaseJob *job;
} f;

/* --- hooks ---------------------------------------------------------------- */

bool ft_fence_lun_opened(BlockDriverState *bs, struct iscsi_context *ctx,
                         int number)
{
    FtFenceLun *lun;

    if (!ft_options.given || ft_options.replay ||
        !(bs->open_flags & BDRV_O_INACTIVE)) {
        return false;
    }
    lun = ft_fence_lun_new(bs, ctx, number);
    QLIST_INSERT_HEAD(&f.luns, lun, next);
    return true;
}

static void forget(FtFenceLun *lun, bool closes)
{
    QLIST_REMOVE(lun, next);
    ft_fence_lun_free(lun, closes);
}

void ft_fence_lun_closed(BlockDriverState *bs)
{
    FtFenceLun *lun, *tmp;

    QLIST_FOREACH_SAFE(lun, &f.luns, next, tmp) {
        if (lun->bs == bs) {
            forget(lun, true);
        }
    }
}

/* --- the lease, once more ------------------------------------------------- */

static void confirm_bh(void *opaque)
{
    f.job = opaque;
    aio_co_wake(f.co);
}

/* In the lease's thread. */
static void confirm_answer(FtLeaseJob *job)
{
    aio_bh_schedule_oneshot(qemu_get_aio_context(), confirm_bh, job);
}

/* Won: it is still what this process made of it. */
static FtLeaseResult coroutine_fn confirm(void)
{
    FtLeaseResult result;

    f.co = qemu_coroutine_self();
    ft_claim_thread_look(confirm_answer);
    qemu_coroutine_yield();
    g_free(f.text);
    if (f.job->result == FT_LEASE_UNKNOWN) {
        f.text = g_strdup(f.job->why);
        result = FT_LEASE_UNKNOWN;
    } else if (!f.job->own) {
        f.text = g_strdup_printf(
            "\"%s\" has won generation %" PRIu64 " of the lease and has the "
            "shared disks; this machine stopped before it wrote anything "
            "more to them", f.job->now.owner, f.job->now.generation);
        result = FT_LEASE_LOST;
    } else {
        f.text = NULL;
        result = FT_LEASE_WON;
    }
    g_clear_pointer(&f.job, ft_claim_thread_job_free);
    return result;
}

/* --- the fence ------------------------------------------------------------ */

/* Requests that an ended session left behind end; the others are awaited. */
static void coroutine_fn wait_requests(void)
{
    FtFenceLun *lun;

    while (f.under_way) {
        QLIST_FOREACH(lun, &f.luns, next) {
            if (ft_fence_lun_is_dropped(lun)) {
                ft_iscsi_cancel(lun->session);
            }
        }
        qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, PAUSE_MS * SCALE_MS);
    }
}

static FtLeaseResult coroutine_fn take_all(void)
{
    FtLeaseResult result = f.was_held ? confirm() : FT_LEASE_WON;
    FtFenceLun *lun;

    if (result != FT_LEASE_WON) {
        return result;                  /* before the winner is disturbed */
    }
    QLIST_FOREACH(lun, &f.luns, next) {
        if (!ft_fence_lun_take(lun, &f.text)) {
            return FT_LEASE_UNKNOWN;
        }
    }
    return confirm();
}

static void tell(FtLeaseResult result)
{
    trace_ft_fence(result == FT_LEASE_WON ? "held"
                   : result == FT_LEASE_LOST ? "lost" : "waits",
                   f.text ?: "");
    if (f.answer) {
        f.answer(result, f.text);
        if (result != FT_LEASE_UNKNOWN) {
            f.answer = NULL;
        }
    } else if (result == FT_LEASE_LOST) {
        ft_driver_fail(f.text);
    }
}

static void coroutine_fn fence_co(void *opaque)
{
    FtLeaseResult result;

    do {
        wait_requests();
        result = take_all();
        tell(result);
        if (result == FT_LEASE_UNKNOWN) {
            qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, AGAIN_MS * SCALE_MS);
        }
    } while (result == FT_LEASE_UNKNOWN);
    f.running = false;
    if (result == FT_LEASE_WON) {
        f.state = HELD;
        f.was_held |= !QLIST_EMPTY(&f.luns);
        g_clear_pointer(&f.text, g_free);
        qemu_co_queue_restart_all(&f.waiting);
    }
}

static void run(CoroutineEntry *entry)
{
    if (!f.running) {
        f.running = true;
        qemu_coroutine_enter(qemu_coroutine_create(entry, NULL));
    }
}

static void doubt(void)
{
    f.state = DOUBT;
    run(fence_co);
}

static void coroutine_fn renew_co(void *opaque)
{
    FtFenceLun *lun;

    QLIST_FOREACH(lun, &f.luns, next) {
        if (ft_fence_lun_is_dropped(lun)) {
            ft_fence_lun_renew(lun, &f.text);
        }
    }
    f.running = false;
    if (f.state == DOUBT) {
        run(fence_co);                  /* it was won meanwhile */
    }
}

static void watch(void *opaque)
{
    FtFenceLun *lun;

    QLIST_FOREACH(lun, &f.luns, next) {
        if (!f.running && ft_fence_lun_is_dropped(lun)) {
            if (f.state == HELD && !lun->useless) {
                doubt();
            } else {
                run(renew_co);
            }
        }
    }
    timer_mod(f.timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + WATCH_MS);
}

/* --- requests ------------------------------------------------------------- */

void coroutine_fn ft_fence_enter(void)
{
    while (f.state == DOUBT) {
        qemu_co_queue_wait(&f.waiting, NULL);
    }
    f.under_way++;
}

/* Not what a disk says of a block: the session's end, or a reservation. */
static bool may_be_session(int ret)
{
    return ret == -EIO || ret == -ECANCELED || ret == -ENOMEM ||
           ret == -EBUSY || ret == -ETIMEDOUT;
}

bool coroutine_fn ft_fence_leave(int ret, unsigned *tries)
{
    f.under_way--;
    if (f.state == IDLE || !may_be_session(ret) || ++*tries >= TRIES) {
        return false;
    }
    if (f.state == HELD) {
        doubt();
    }
    return true;
}

/* --- start ---------------------------------------------------------------- */

static bool mark_shared(BlockDriverState *bs, void *opaque, Error **errp)
{
    FtFenceLun *lun;
    bool found = false;

    QLIST_FOREACH(lun, &f.luns, next) {
        if (lun->bs == bs) {
            lun->shared = found = true;
        }
    }
    f.any = true;
    f.unfenced |= !found;
    return true;
}

void ft_fence_setup(void)
{
    FtFenceLun *lun, *tmp;

    qemu_co_queue_init(&f.waiting);
    ft_disks_foreach_shared(mark_shared, NULL, NULL);
    QLIST_FOREACH_SAFE(lun, &f.luns, next, tmp) {
        if (!lun->shared) {
            forget(lun, false);
        }
    }
    if (!QLIST_EMPTY(&f.luns)) {
        f.timer = timer_new_ms(QEMU_CLOCK_REALTIME, watch, NULL);
        watch(NULL);
    }
}

static void begin_bh(void *opaque)
{
    f.answer = (FtFenceAnswerFn *)opaque;
    if (QLIST_EMPTY(&f.luns) || ft_options.no_fence) {
        f.answer(FT_LEASE_WON, NULL);
        f.answer = NULL;
    } else {
        doubt();
    }
}

void ft_fence_begin(FtFenceAnswerFn *answer)
{
    aio_bh_schedule_oneshot(qemu_get_aio_context(), begin_bh,
                            (void *)answer);
}

char *ft_fence_text(void)
{
    const char *useless = NULL;
    FtFenceLun *lun;

    if (!f.any) {
        return NULL;
    }
    QLIST_FOREACH(lun, &f.luns, next) {
        useless = lun->useless ?: useless;
    }
    if (ft_options.no_fence) {
        useless = "-ft ...,x-fence=off";
    }
    if (f.unfenced || useless) {
        return g_strdup_printf("not fenced: %s; a machine that was overtaken "
                               "could still write to it", useless ?:
                               "a shared disk is no iSCSI LUN");
    }
    switch (f.state) {
    case HELD:
        return g_strdup("fenced: only this machine can write");
    case DOUBT:
        return g_strdup_printf("nothing is written until this machine has "
                               "fenced: %s", f.text ?: "under way");
    default:
        return g_strdup("the machine that runs the guest fences");
    }
}
