/*
 * What devices do when the machine goes on.
 *
 * Purpose: a device that repeats a failed request after "cont" asks the main
 *   loop to call it by and by.  When is not in the log; so it is called at
 *   the end of the change to "running" instead, before the guest executes
 *   another instruction, on both sides.
 * Thread: the main thread, under the BQL and the replay mutex.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_RESTART_H
#define FT_RESTART_H

void ft_restart_init(void);

#endif
