/*
 * The guest's clocks stay with real time, and go on over a takeover.
 *
 * Purpose: TIME entries, by which a primary makes its guest's virtual clock
 *   run faster and slower, and what a backup has to know of the clocks of its
 *   primary.
 * Units: ns.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef REPLAY_FT_TIME_H
#define REPLAY_FT_TIME_H

#include "system/replay.h"

/* Upstream's bound of -icount shift=N. */
#define FT_TIME_SHIFT_MAX 10
/* Two centuries; sums of two clocks are numbers still. */
#define FT_TIME_CLOCK_MAX_NS (1LL << 62)
/* The code and the size, in front of every control entry. */
#define FT_TIME_ENTRY_HEADER 5

/* What a TIME entry holds, big-endian. */
typedef struct FtTimeEntry {
    int64_t shift;              /* an instruction counts 2^shift ns */
    int64_t elapsed;            /* the primary's VIRTUAL_RT clock */
    int64_t host;               /* and its host clock, as the guest sees it */
} QEMU_PACKED FtTimeEntry;

QEMU_BUILD_BUG_ON(sizeof(FtTimeEntry) != 24);

/*
 * The vCPU has left its slice: the primary looks at the clock,
 * the backup does what the log says here.  vCPU thread, replay mutex and BQL.
 */
void ft_time_step(void);
/* A well-formed TIME entry's payload. */
void ft_time_apply(const uint8_t *data);
/*
 * Before the machine's state is saved, which has no place for another shift
 * than the configured one.  No log; replay mutex and BQL, the vCPU stopped.
 */
void ft_time_quiesce(void);
/* The vCPU waits a little if it is far ahead; its thread, no lock held. */
void ft_time_wait(void);
/* Record mode: what to add to a clock of this host's; replay mutex. */
int64_t ft_time_offset(ReplayClockKind kind);
/* Backup: a well-formed entry came in; I/O thread. */
void ft_time_arrived(const uint8_t *entry);
/* The clocks go on from what the log said; main thread, replay mutex. */
void ft_time_go_live(void);

#endif
