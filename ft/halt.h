/*
 * How a process that has halted ends, whatever its threads do.
 *
 * Purpose: usually the main thread ends the process in order.  When it can't,
 *   since it or a thread whose locks it needs is parked (ft_stream_fail) or
 *   hangs, a thread of this file ends it: with the message on stderr, the
 *   same exit status, and the last FT_STATE events where the monitor still
 *   takes them.
 * Locks: none are needed; any thread may call, whatever it holds.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_HALT_H
#define FT_HALT_H

#include "core.h"

/* Fail-stop: the process ends, soon and with the reason's exit status. */
void ft_halt_begin(FtReason reason, const char *why);
/*
 * The calling thread is about to stay where it is for ever.  Ends the process
 * even if nobody calls ft_halt_begin().
 */
void ft_halt_parked(const char *why);
/* The main thread ends the process; false: it is being ended already. */
bool ft_halt_take(void);
int ft_halt_status(FtReason reason);

#endif
