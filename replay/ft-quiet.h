/*
 * What a recording engine need not log.
 *
 * Thread: any that may log; replay mutex.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef REPLAY_FT_QUIET_H
#define REPLAY_FT_QUIET_H

#include "system/replay.h"

/* True: it has no effect, and the engine is to go on with *result. */
bool ft_quiet_checkpoint(ReplayCheckpoint checkpoint, bool *result);
/* True: the engine is to go on with *clock, which this may change. */
bool ft_quiet_clock(ReplayClockKind kind, int64_t *clock);
/*
 * The count is written, and an entry follows: exceptions that came before it
 * at this count are written now.
 */
void ft_quiet_put_exceptions(void);
/* What came before is part of the state that a log begins with. */
void ft_quiet_forget_exceptions(void);

#endif
