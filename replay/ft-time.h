/*
 * The guest's clocks stay with real time, and go on over a takeover.
 *
 * Purpose: TIME entries, by which a primary moves its guest's virtual clock
 *   forward, and what a backup has to know of its primary's clocks.
 * Units: ns.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef REPLAY_FT_TIME_H
#define REPLAY_FT_TIME_H

#include "system/replay.h"

/* The most that one entry adds. */
#define FT_TIME_STEP_MAX_NS (100 * 1000 * 1000LL)
/* Two centuries; sums of two clocks are numbers still. */
#define FT_TIME_CLOCK_MAX_NS (1LL << 62)
/* The code and the size, in front of every control entry. */
#define FT_TIME_ENTRY_HEADER 5

/* What a TIME entry holds, big-endian. */
typedef struct FtTimeEntry {
    int64_t step;               /* to add to the virtual clock */
    int64_t elapsed;            /* the primary's VIRTUAL_RT clock */
    int64_t host;               /* and its host clock, as the guest sees it */
} QEMU_PACKED FtTimeEntry;

QEMU_BUILD_BUG_ON(sizeof(FtTimeEntry) != 24);

/*
 * The vCPU has left its slice: the primary moves the clock if it is behind,
 * the backup if the log says so here.  vCPU thread, replay mutex and BQL.
 */
void ft_time_step(void);
/* The step of a TIME entry's payload. */
void ft_time_apply(const uint8_t *data);
/* The vCPU waits a little if it is ahead; its thread, no lock held. */
void ft_time_wait(void);
/* Record mode: what to add to a clock of this host's; replay mutex. */
int64_t ft_time_offset(ReplayClockKind kind);
/* Backup: a well-formed entry came in; I/O thread. */
void ft_time_arrived(const uint8_t *entry);
/* The clocks go on from what the log said; main thread, replay mutex. */
void ft_time_go_live(void);

#endif
