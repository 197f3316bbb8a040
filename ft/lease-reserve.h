/*
 * A LUN for one session at a time, by a persistent reservation.
 *
 * Purpose: what makes a read and a write one compare-and-set on targets
 *   without COMPARE AND WRITE.
 * Thread: as the session's.
 *
 * A claimer's key is a random even number while it is at work, and that plus
 * one when it is done: "parked".  Nobody ever releases.  So:
 *  1. a write is only taken from the session that has the reservation, and
 *     there always is one: a claimer that slept through others' steps is
 *     refused, whatever it missed;
 *  2. a parked key may be preempted at once: its owner's writes are done;
 *  3. a busy one only when it stays for PATIENCE_MS, and then its owner's
 *     commands that may still be under way are waited for: a write that had
 *     reached the target before could land later, on top of ours.
 * No time-out decides about safety: patience is for claimers that died.
 *
 * Source: SPC-4, 5.13 (persistent reservations), SAM-5, 7.7 (LUN reset).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LEASE_RESERVE_H
#define FT_LEASE_RESERVE_H

#include "iscsi-session.h"

typedef struct FtLeaseReserve {
    guint64 key;                /* of this session, even; 0: none yet */
    guint64 old_key;            /* of the session before, which is gone */
    gboolean late;              /* of the one before us something may land */
    gboolean rash;              /* nor is that waited for: for tests */
    guint64 seen;               /* somebody's busy key, */
    gint64 seen_us;             /* and since when */
} FtLeaseReserve;

/* A new session: what the old one held is known as our own. */
void ft_lease_reserve_renew(FtLeaseReserve *reserve);

/*
 * Good: the session has the reservation.  Busy: others had it till end_us.
 * Attention: begin anew.
 */
FtIscsiStatus ft_lease_reserve_take(FtLeaseReserve *reserve,
                                    FtIscsiSession *session, gint64 end_us);
/* After the last command under it was answered. */
void ft_lease_reserve_park(FtLeaseReserve *reserve, FtIscsiSession *session);

#endif
