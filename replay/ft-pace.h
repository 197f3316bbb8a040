/*
 * The primary's vCPU waits while its backup is late or its buffers are full.
 *
 * Locks: none is held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef REPLAY_FT_PACE_H
#define REPLAY_FT_PACE_H

/* vCPU thread, between two slices. */
void ft_pace_wait(void);

#endif
