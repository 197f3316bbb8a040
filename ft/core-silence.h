/*
 * For how long may a peer be silent before it is suspected?
 *
 * Purpose: a bound from what was measured.  Each sign of the peer ends a
 *   silence; the longest one of the last five minutes is the jitter, made by
 *   the network and by how busy both hosts are.  A peer that is silent for
 *   FT_JITTER_FACTOR times as long is suspected, within a least and a most
 *   (ft/limits.h).  The most counts for a peer that says that its host may
 *   make it late, and for a session that has just begun: the longest of n
 *   silences says that one in n may be longer, so the least that is waited
 *   for falls with the time that was measured.
 *
 *   As in Chen, Toueg and Aguilera, "On the Quality of Service of Failure
 *   Detectors" (2002), and Hayashibara et al., "The phi Accrual Failure
 *   Detector" (2004), a window of arrivals gives the bound.  It is a multiple
 *   of the longest silence and not of the mean's deviation (Jacobson,
 *   "Congestion Avoidance and Control", 1988; RFC 6298): on a busy host
 *   silences have a long tail, in which a mean of many short ones has no
 *   part, and a needless takeover costs the protection.
 * Thread: the core's.
 * Units: ms, counted in ticks of FT_SILENCE_TICK_MS that this process was
 *   awake for: a process that was stopped wakes to one tick, and a host that
 *   is too busy to tick gives its peer as much more time (docs/adr/0002).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_CORE_SILENCE_H
#define FT_CORE_SILENCE_H

#include <glib.h>

#include "limits.h"
#include "wire.h"

typedef struct FtSilence {
    guint ms;                   /* since the last sign, on every path */
    guint channel_ms;           /* since the last frame */
    guint heartbeat_ms;         /* since the last heartbeat */
    guint longest_ms[FT_JITTER_SLOTS];  /* that ended in each slot of time */
    guint slot;                 /* the one that is being measured */
    guint slot_ms;
    guint measured_ms;          /* up to the last sign; at most a window */
    guint peer_bound_ms;        /* as the peer's heartbeats say; 0: unknown */
    guint patience_ms;          /* it is not to be suspected before this */
} FtSilence;

/* Nothing was measured yet, and the peer was just heard. */
void ft_silence_begin(FtSilence *silence);
void ft_silence_tick(FtSilence *silence);
void ft_silence_heard_frame(FtSilence *silence);
void ft_silence_heard_heartbeat(FtSilence *silence,
                                const FtHeartbeat *heartbeat);
/* The longest silence of late. */
guint ft_silence_jitter_ms(const FtSilence *silence);
/* Suspect after this; a backup is slower than its primary. */
guint ft_silence_bound_ms(const FtSilence *silence, gboolean backup);

#endif
