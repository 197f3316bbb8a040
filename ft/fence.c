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
#include "ft.h"
#include "iscsi-session.h"
#include "options.h"
#include "trace.h"

/* A session is looked at, a round that did not do is made again, ... */
#define WATCH_MS 100
#define AGAIN_MS 100
#define PAUSE_MS 2
#define COMMAND_MS 5000
#define COMMAND_MAX_MS 60000
/* An error that comes as often, each time over a confirmed session, is the
   disk's own. */
#define TRIES 3
/* A reservation is ours after at most so many moves, unless it is broken. */
#define MOVES 8

typedef struct Lun {
    BlockDriverState *bs;
    FtIscsiSession *session;
    uint64_t key;               /* of this session */
    unsigned command_ms;
    bool tried;                 /* preempting works */
    bool shared;
    const char *useless;        /* why it can't be fenced; NULL: it can */
    bool renew;                 /* its session is in doubt */
    QLIST_ENTRY(Lun) next;
} Lun;

typedef enum State { IDLE, DOUBT, HELD } State;

static struct {
    QLIST_HEAD(, Lun) luns;
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

/* --- one LUN -------------------------------------------------------------- */

static void pause_co(void)
{
    qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, PAUSE_MS * SCALE_MS);
}

bool ft_fence_lun_opened(BlockDriverState *bs, struct iscsi_context *ctx,
                         int number)
{
    Lun *lun;

    if (!ft_options.given || ft_options.replay ||
        !(bs->open_flags & BDRV_O_INACTIVE)) {
        return false;
    }
    lun = g_new0(Lun, 1);
    lun->bs = bs;
    lun->command_ms = COMMAND_MS;
    lun->session = ft_iscsi_borrow(ctx, number, COMMAND_MS, pause_co);
    QLIST_INSERT_HEAD(&f.luns, lun, next);
    return true;
}

static void lun_free(Lun *lun)
{
    QLIST_REMOVE(lun, next);
    ft_iscsi_give_back(lun->session);
    g_free(lun);
}

void ft_fence_lun_closed(BlockDriverState *bs)
{
    Lun *lun, *tmp;

    QLIST_FOREACH_SAFE(lun, &f.luns, next, tmp) {
        if (lun->bs == bs) {
            lun_free(lun);
        }
    }
}

static bool is_dropped(const Lun *lun)
{
    return lun->renew || ft_iscsi_is_dropped(lun->session);
}

/* What a machine registers is new for each session: tgt knows no other. */
static uint64_t new_key(void)
{
    return (uint64_t)g_random_int_range(1, INT32_MAX) << 32 | g_random_int();
}

static void say(const char *doing, const Lun *lun)
{
    g_free(f.text);
    f.text = g_strdup_printf("can't %s %s: %s; waiting for the target", doing,
                             lun->bs->filename, ft_iscsi_error(lun->session));
}

static bool coroutine_fn renew(Lun *lun)
{
    if (ft_iscsi_renew(lun->session) != FT_ISCSI_GOOD) {
        say("log in to", lun);
        return false;
    }
    lun->renew = false;
    lun->key = new_key();
    return true;
}

static FtIscsiStatus coroutine_fn reserve(Lun *lun, FtReserveAction action,
                                          uint64_t key, uint64_t other)
{
    FtIscsiStatus status;

    do {
        status = ft_iscsi_reserve(lun->session, action,
                                  FT_RESERVE_WRITE_EXCLUSIVE, key, other);
    } while (status == FT_ISCSI_ATTENTION);
    return status;
}

static FtIscsiStatus coroutine_fn look(Lun *lun, uint64_t *holder)
{
    FtReserveType type;
    FtIscsiStatus status;

    do {
        status = ft_iscsi_holder(lun->session, holder, &type);
    } while (status == FT_ISCSI_ATTENTION);
    return status;
}

/* One move towards the reservation; a look tells what came of it. */
static FtIscsiStatus coroutine_fn move(Lun *lun, uint64_t holder)
{
    FtIscsiStatus status = reserve(lun, FT_RESERVE_REGISTER, 0, lun->key);

    if (status == FT_ISCSI_GOOD) {
        status = holder ? reserve(lun, FT_RESERVE_PREEMPT, lun->key, holder)
            : reserve(lun, FT_RESERVE_RESERVE, lun->key, 0);
    }
    return status == FT_ISCSI_CONFLICT ? FT_ISCSI_GOOD : status;
}

/* Nobody has it afterwards: else everybody may be shut out. */
static FtIscsiStatus coroutine_fn broken(Lun *lun)
{
    reserve(lun, FT_RESERVE_REGISTER, 0, lun->key);
    reserve(lun, FT_RESERVE_CLEAR, lun->key, 0);
    lun->useless = "its target's reservations do not work";
    return FT_ISCSI_UNSUPPORTED;
}

static FtIscsiStatus coroutine_fn take_reservation(Lun *lun)
{
    uint64_t holder;

    for (int i = 0; i < MOVES; i++) {
        FtIscsiStatus status = look(lun, &holder);

        if (status == FT_ISCSI_GOOD && holder == lun->key && lun->tried) {
            /* It is refused to whoever has not got it, whatever they say. */
            status = ft_iscsi_flush(lun->session);
            return status == FT_ISCSI_CONFLICT ? broken(lun)
                : status == FT_ISCSI_UNSUPPORTED ? FT_ISCSI_GOOD : status;
        }
        if (status != FT_ISCSI_GOOD) {
            return status;
        }
        /*
         * Also its own place has to be taken once: where that is broken
         * (istgt), it shows now, and not when another machine takes over.
         */
        lun->tried = holder == lun->key;
        status = move(lun, holder);
        if (status != FT_ISCSI_GOOD) {
            return status;
        }
    }
    return broken(lun);
}

/* What got through before the reservation was ours has landed. */
static FtIscsiStatus coroutine_fn settle(Lun *lun)
{
    g_autofree guint8 *block = g_malloc0(BDRV_SECTOR_SIZE);
    FtIscsiStatus status = ft_iscsi_reset_lun(lun->session);

    if (status == FT_ISCSI_UNSUPPORTED) {
        lun->useless = "its target can't say when writes of others that are "
                       "under way are done";
    }
    if (status == FT_ISCSI_GOOD) {
        status = ft_iscsi_ready(lun->session);
    }
    return status == FT_ISCSI_GOOD
        ? ft_iscsi_read(lun->session, 0, 1, block) : status;
}

static bool coroutine_fn take(Lun *lun)
{
    FtIscsiStatus status;

    if (is_dropped(lun) && !renew(lun)) {
        return false;
    }
    if (lun->useless) {
        return true;
    }
    status = ft_iscsi_ready(lun->session);
    if (status == FT_ISCSI_GOOD) {
        status = take_reservation(lun);
    }
    if (status == FT_ISCSI_GOOD) {
        status = settle(lun);
    }
    if (status == FT_ISCSI_UNSUPPORTED) {
        lun->useless = lun->useless ?: "its target has no persistent "
                                       "reservations";
        warn_report("ft: %s is not fenced: %s", lun->bs->filename,
                    lun->useless);
        return true;
    }
    if (status != FT_ISCSI_GOOD) {
        lun->renew = status == FT_ISCSI_BROKEN;
        say("reserve", lun);
    }
    /* What others have under way may take long. */
    lun->command_ms = status == FT_ISCSI_BROKEN
        ? MIN(lun->command_ms * 2, COMMAND_MAX_MS) : COMMAND_MS;
    ft_iscsi_set_deadline(lun->session, lun->command_ms);
    return status == FT_ISCSI_GOOD;
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
    Lun *lun;

    while (f.under_way) {
        QLIST_FOREACH(lun, &f.luns, next) {
            if (is_dropped(lun)) {
                ft_iscsi_cancel(lun->session);
            }
        }
        qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, PAUSE_MS * SCALE_MS);
    }
}

static FtLeaseResult coroutine_fn take_all(void)
{
    FtLeaseResult result = f.was_held ? confirm() : FT_LEASE_WON;
    bool fenced = false;
    Lun *lun;

    if (result != FT_LEASE_WON) {
        return result;                  /* before the winner is disturbed */
    }
    QLIST_FOREACH(lun, &f.luns, next) {
        if (!take(lun)) {
            return FT_LEASE_UNKNOWN;
        }
        fenced |= !lun->useless;
    }
    return fenced ? confirm() : FT_LEASE_WON;
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
    Lun *lun;

    QLIST_FOREACH(lun, &f.luns, next) {
        if (is_dropped(lun)) {
            renew(lun);
        }
    }
    f.running = false;
    if (f.state == DOUBT) {
        run(fence_co);                  /* it was won meanwhile */
    }
}

static void watch(void *opaque)
{
    Lun *lun;

    QLIST_FOREACH(lun, &f.luns, next) {
        if (!f.running && is_dropped(lun)) {
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
    Lun *lun;

    f.under_way--;
    if (f.state == IDLE || !may_be_session(ret) || ++*tries >= TRIES) {
        return false;
    }
    if (f.state == HELD) {
        QLIST_FOREACH(lun, &f.luns, next) {
            lun->renew = true;
        }
        doubt();
    }
    return true;
}

/* --- start ---------------------------------------------------------------- */

static bool mark_shared(BlockDriverState *bs, void *opaque, Error **errp)
{
    Lun *lun;
    bool found = false;

    QLIST_FOREACH(lun, &f.luns, next) {
        if (lun->bs == bs) {
            lun->shared = found = true;
            lun->key = new_key();
        }
    }
    f.any = true;
    f.unfenced |= !found;
    return true;
}

void ft_fence_setup(void)
{
    Lun *lun, *tmp;

    qemu_co_queue_init(&f.waiting);
    ft_disks_foreach_shared(mark_shared, NULL, NULL);
    QLIST_FOREACH_SAFE(lun, &f.luns, next, tmp) {
        if (!lun->shared) {
            lun_free(lun);
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
    Lun *lun;

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
