/*
 * The time line of the last takeover, or of the last loss of a backup.
 *
 *   heard .. suspected .. won .. fenced .. executed .. live .. announced
 *     detection     lease   fence     drain     switch  announcement
 *
 * Purpose: what a client's blackout is made of, for query-ft.  A primary that
 *   goes on alone has nothing to execute and nothing to announce.
 * Thread: heard in the driver's I/O thread; the rest in any.
 * Units: microseconds of the host's CLOCK_MONOTONIC; to the outside, of its
 *   CLOCK_REALTIME.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_TIMELINE_H
#define FT_TIMELINE_H

#include "core.h"
#include "qapi/qapi-types-ft.h"

typedef enum FtTimelineMark {
    FT_TIMELINE_HEARD,          /* the last sign of the peer */
    FT_TIMELINE_SUSPECTED,      /* the lease is asked */
    FT_TIMELINE_WON,
    FT_TIMELINE_FENCED,         /* nobody else writes a shared disk */
    FT_TIMELINE_EXECUTED,       /* all that was received */
    FT_TIMELINE_LIVE,           /* outputs may leave */
    FT_TIMELINE_ANNOUNCED,      /* the first announcement has left */
    FT_TIMELINE__MAX
} FtTimelineMark;

void ft_timeline_init(void);
void ft_timeline_heard(void);
/* The core's state changed. */
void ft_timeline_state(const FtAction *action, uint64_t generation);
/* Ignored while no takeover is under way, and the second time. */
void ft_timeline_mark(FtTimelineMark mark);
/* NULL: nobody was lost yet.  qapi_free_FtTakeover. */
FtTakeover *ft_timeline_query(void);

#endif
