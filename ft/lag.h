/*
 * How far a backup is behind, and how fast the log grows.
 *
 * Purpose: turns positions and times into a lag in ms and a rate (M15).
 * Thread: the caller's; no locks.
 * Units: positions in bytes, times in us, lag in ms, rate in bytes/s.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LAG_H
#define FT_LAG_H

#include <glib.h>

typedef struct FtLag {
    guint64 lag_ms;             /* age of the oldest byte not executed */
    guint64 log_rate;           /* over the last second or so */
    guint rest_permille;        /* of its time the primary is to rest */

    GQueue samples;             /* when the log had reached which position */
    gint64 rate_since_us;
    guint64 rate_position;
} FtLag;

/* A zeroed FtLag is a fresh one. */
void ft_lag_reset(FtLag *lag);
void ft_lag_update(FtLag *lag, guint64 appended, guint64 executed,
                   gint64 now_us);

#endif
