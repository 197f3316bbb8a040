/*
 * A LUN for one session at a time, by a persistent reservation.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>

#include "lease-reserve.h"

enum {
    PATIENCE_MS = 1000,
    PAUSE_MAX_US = 4000,        /* between two looks at a busy reservation */
};

#define TYPE FT_RESERVE_WRITE_EXCLUSIVE
#define PARKED G_GUINT64_CONSTANT(1)

void ft_lease_reserve_renew(FtLeaseReserve *reserve)
{
    if (reserve->key) {
        reserve->old_key = reserve->key;
    }
    reserve->key = 0;
    reserve->late = FALSE;
    reserve->seen = 0;
}

static guint64 new_key(void)
{
    guint64 high = g_random_int_range(1, G_MAXINT32);

    return (high << 32 | g_random_int()) & ~PARKED;
}

/* An attention only tells what we look at anyhow. */
static FtIscsiStatus ask(FtIscsiSession *session, FtReserveAction action,
                         guint64 key, guint64 other)
{
    FtIscsiStatus status;

    do {
        status = ft_iscsi_reserve(session, action, TYPE, key, other);
    } while (status == FT_ISCSI_ATTENTION);
    return status;
}

static FtIscsiStatus look(FtIscsiSession *session, guint64 *key)
{
    FtReserveType type;
    FtIscsiStatus status;

    do {
        status = ft_iscsi_holder(session, key, &type);
    } while (status == FT_ISCSI_ATTENTION);
    return status;
}

/* True: this claimer has had the time of several steps. */
static gboolean overdue(FtLeaseReserve *reserve, guint64 key)
{
    gint64 now = g_get_monotonic_time();

    if (reserve->seen != key) {
        reserve->seen = key;
        reserve->seen_us = now;
    }
    return key == reserve->old_key ||
           now - reserve->seen_us > PATIENCE_MS * 1000;
}

/* One move towards the reservation; the next look tells what came of it. */
static FtIscsiStatus move(FtLeaseReserve *reserve, FtIscsiSession *session,
                          guint64 holder)
{
    FtIscsiStatus status;

    if (holder == (reserve->key | PARKED)) {
        return ask(session, FT_RESERVE_CHANGE, holder, reserve->key);
    }
    if (holder && !(holder & PARKED) && !overdue(reserve, holder)) {
        g_usleep(g_random_int_range(PAUSE_MAX_US / 8, PAUSE_MAX_US));
        return FT_ISCSI_GOOD;
    }
    status = ask(session, FT_RESERVE_REGISTER, 0, reserve->key);
    if (status != FT_ISCSI_GOOD) {
        return status;
    }
    if (!holder) {
        return ask(session, FT_RESERVE_RESERVE, reserve->key, 0);
    }
    if (holder & PARKED) {
        return ask(session, FT_RESERVE_PREEMPT, reserve->key, holder);
    }
    /*
     * It did not end.  Its key goes, so what it sends from now on is refused;
     * what it sent before is waited for when we have the reservation.
     */
    reserve->late = TRUE;
    return ask(session, FT_RESERVE_PREEMPT, reserve->key, holder);
}

/* Nothing is under way any more that was let through before. */
static FtIscsiStatus settle(FtLeaseReserve *reserve, FtIscsiSession *session)
{
    FtIscsiStatus status = reserve->late && !reserve->rash
        ? ft_iscsi_reset_lun(session) : FT_ISCSI_GOOD;

    if (status == FT_ISCSI_GOOD) {
        reserve->late = FALSE;
    }
    return status;
}

FtIscsiStatus ft_lease_reserve_take(FtLeaseReserve *reserve,
                                    FtIscsiSession *session, gint64 end_us)
{
    FtIscsiStatus status = FT_ISCSI_GOOD;
    guint64 holder;

    if (!reserve->key) {
        reserve->key = new_key();
    }
    do {
        status = look(session, &holder);
        if (status != FT_ISCSI_GOOD) {
            return status;
        }
        if (holder == reserve->key) {
            return settle(reserve, session);
        }
        status = move(reserve, session, holder);
        /* A conflict: somebody was faster. */
        if (status != FT_ISCSI_GOOD && status != FT_ISCSI_CONFLICT) {
            return status;
        }
    } while (g_get_monotonic_time() < end_us);
    return FT_ISCSI_BUSY;
}

void ft_lease_reserve_park(FtLeaseReserve *reserve, FtIscsiSession *session)
{
    /* If it fails, others wait for PATIENCE_MS. */
    ask(session, FT_RESERVE_CHANGE, reserve->key, reserve->key | PARKED);
}
