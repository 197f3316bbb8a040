/*
 * One shared LUN, as the fence sees it: its session and its reservation.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/coroutine.h"
#include "qemu/error-report.h"
#include "qobject/qdict.h"
#include "fence-lun.h"

/* Between two looks for an answer: short ones at first, when a takeover is
   waited for. */
#define SHORT_PAUSE_US 300
#define SHORT_PAUSES 50
#define PAUSE_US 2000
#define REST_US 50000
/* One command; longer and longer: what others have under way may take long. */
#define COMMAND_MS 5000
#define COMMAND_MAX_MS 60000
/* Others may be at it too. */
#define MOVES 16
/* What can't be on a target that works is seen so often before it counts. */
#define STRANGE 3

static void pause_co(void)
{
    static int64_t last_us;
    static unsigned pauses;
    int64_t now_us = g_get_monotonic_time();

    pauses = now_us - last_us > REST_US ? 0 : pauses + 1;
    last_us = now_us;
    qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, SCALE_US *
                     (pauses < SHORT_PAUSES ? SHORT_PAUSE_US : PAUSE_US));
}

FtFenceLun *ft_fence_lun_new(BlockDriverState *bs, struct iscsi_context *ctx,
                             int number)
{
    FtFenceLun *lun = g_new0(FtFenceLun, 1);

    lun->bs = bs;
    lun->name = g_strdup_printf(
        "iscsi://%s/%s/%d", qdict_get_try_str(bs->options, "portal") ?: "?",
        qdict_get_try_str(bs->options, "target") ?: "?", number);
    lun->command_ms = COMMAND_MS;
    lun->session = ft_iscsi_borrow(ctx, number, COMMAND_MS, pause_co);
    return lun;
}

void ft_fence_lun_free(FtFenceLun *lun, bool closes)
{
    if (closes) {
        ft_iscsi_end(lun->session);
    } else {
        ft_iscsi_give_back(lun->session);
    }
    g_free(lun->useless);
    g_free(lun->name);
    g_free(lun);
}

bool ft_fence_lun_is_dropped(const FtFenceLun *lun)
{
    return lun->renew || ft_iscsi_is_dropped(lun->session);
}

static uint64_t new_key(void)
{
    return (uint64_t)g_random_int_range(1, INT32_MAX) << 32 | g_random_int();
}

static void say(const FtFenceLun *lun, const char *doing, char **why)
{
    g_free(*why);
    *why = g_strdup_printf("can't %s %s: %s; waiting for the target", doing,
                           lun->name, ft_iscsi_error(lun->session));
}

bool coroutine_fn ft_fence_lun_renew(FtFenceLun *lun, char **why)
{
    if (ft_iscsi_renew(lun->session) != FT_ISCSI_GOOD) {
        say(lun, "log in to", why);
        return false;
    }
    lun->renew = false;
    return true;
}

static FtIscsiStatus coroutine_fn reserve(FtFenceLun *lun, FtReserveAction action,
                                          uint64_t key, uint64_t other)
{
    FtIscsiStatus status;

    do {
        status = ft_iscsi_reserve(lun->session, action,
                                  FT_RESERVE_WRITE_EXCLUSIVE, key, other);
    } while (status == FT_ISCSI_ATTENTION);
    return status;
}

static FtIscsiStatus coroutine_fn look(FtFenceLun *lun, uint64_t *holder)
{
    FtReserveType type;
    FtIscsiStatus status;

    do {
        status = ft_iscsi_holder(lun->session, holder, &type);
    } while (status == FT_ISCSI_ATTENTION);
    return status;
}

/*
 * One move towards the reservation; a look tells what came of it.  *taken:
 * the holder's place, by the target's word.
 */
static FtIscsiStatus coroutine_fn move(FtFenceLun *lun, uint64_t holder, bool *taken)
{
    FtIscsiStatus status = reserve(lun, FT_RESERVE_REGISTER, 0, lun->key);

    *taken = false;
    if (status == FT_ISCSI_GOOD) {
        status = holder ? reserve(lun, FT_RESERVE_PREEMPT, lun->key, holder)
            : reserve(lun, FT_RESERVE_RESERVE, lun->key, 0);
        *taken = holder && status == FT_ISCSI_GOOD;
    }
    return status == FT_ISCSI_CONFLICT ? FT_ISCSI_GOOD : status;
}

/* Nobody has it afterwards: else everybody may be shut out. */
static FtIscsiStatus coroutine_fn broken(FtFenceLun *lun)
{
    reserve(lun, FT_RESERVE_REGISTER, 0, lun->key);
    reserve(lun, FT_RESERVE_CLEAR, lun->key, 0);
    lun->useless = g_strdup("its target's reservations do not work");
    return FT_ISCSI_UNSUPPORTED;
}

/*
 * The look says that it is ours.  Is it?  A flush is refused to whoever has
 * not got it.  Busy: yes and no; but others may have taken it since.
 */
static FtIscsiStatus coroutine_fn try_it(FtFenceLun *lun)
{
    FtIscsiStatus status = ft_iscsi_flush(lun->session);

    return status == FT_ISCSI_CONFLICT ? FT_ISCSI_BUSY
        : status == FT_ISCSI_UNSUPPORTED ? FT_ISCSI_GOOD : status;
}

/*
 * That the target's reservations are broken is said only when it can't be
 * another machine's doing: keys are used once, so a key that was preempted
 * does not come back, and one that is ours before and after a refusal was
 * ours in between.
 */
static FtIscsiStatus coroutine_fn take_reservation(FtFenceLun *lun)
{
    uint64_t holder, preempted = 0;
    unsigned strange = 0;
    bool taken = false, refused = false;

    for (int i = 0; i < MOVES && strange < STRANGE; i++) {
        FtIscsiStatus status = look(lun, &holder);

        if (status != FT_ISCSI_GOOD) {
            return status;
        }
        if (!lun->key || (i == 0 && holder != lun->key)) {
            lun->key = new_key();
        }
        strange += refused && holder == lun->key;
        strange += taken && holder == preempted && holder != lun->key;
        refused = false;
        if (holder == lun->key && lun->tried) {
            status = try_it(lun);
            refused = status == FT_ISCSI_BUSY;
            if (!refused) {
                return status;
            }
            continue;
        }
        /*
         * Also its own place has to be taken once: where that is broken
         * (istgt), it shows now, and not when another machine takes over.
         */
        lun->tried |= holder == lun->key;
        preempted = holder;
        status = move(lun, holder, &taken);
        if (status != FT_ISCSI_GOOD) {
            return status;
        }
    }
    return strange < STRANGE ? FT_ISCSI_BUSY : broken(lun);
}

/* What got through before the reservation was ours has landed. */
static FtIscsiStatus coroutine_fn settle(FtFenceLun *lun)
{
    g_autofree guint8 *block = g_malloc0(BDRV_SECTOR_SIZE);
    FtIscsiStatus status = ft_iscsi_reset_lun(lun->session);

    if (status == FT_ISCSI_UNSUPPORTED) {
        lun->useless = g_strdup("its target can't say when writes of others "
                                "that are under way are done");
    }
    if (status == FT_ISCSI_GOOD) {
        status = ft_iscsi_ready(lun->session);
    }
    if (status == FT_ISCSI_GOOD) {
        status = ft_iscsi_read(lun->session, 0, 1, block);
    }
    /* What is wrong with the block is none of the fence's business. */
    return status == FT_ISCSI_ERROR ? FT_ISCSI_GOOD : status;
}

static FtIscsiStatus coroutine_fn take(FtFenceLun *lun)
{
    FtIscsiStatus status = ft_iscsi_ready(lun->session);

    if (status == FT_ISCSI_GOOD) {
        status = take_reservation(lun);
    }
    return status == FT_ISCSI_GOOD ? settle(lun) : status;
}

bool coroutine_fn ft_fence_lun_take(FtFenceLun *lun, char **why)
{
    FtIscsiStatus status;

    if (ft_fence_lun_is_dropped(lun) && !ft_fence_lun_renew(lun, why)) {
        return false;
    }
    if (lun->useless) {
        return true;
    }
    status = take(lun);
    lun->command_ms = status == FT_ISCSI_BROKEN
        ? MIN(lun->command_ms * 2, COMMAND_MAX_MS) : COMMAND_MS;
    ft_iscsi_set_deadline(lun->session, lun->command_ms);
    if (status == FT_ISCSI_UNSUPPORTED) {
        lun->useless = lun->useless
            ?: g_strdup("its target has no persistent reservations");
        warn_report("ft: %s is not fenced: %s", lun->name, lun->useless);
    } else if (status != FT_ISCSI_GOOD) {
        lun->renew = status == FT_ISCSI_BROKEN;
        say(lun, "reserve", why);
    }
    return status == FT_ISCSI_GOOD || lun->useless;
}
