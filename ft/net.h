/*
 * The network guard: a filter on every netdev.
 *
 * Purpose: packets that come in become log entries (M2), packets that go out
 *   are held (M5); a backup drops both (M1, M6).
 * Locks: BQL and replay mutex.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_NET_H
#define FT_NET_H

/* Puts the guard on every netdev.  False: *errp names the one that can't. */
bool ft_net_guard_all(Error **errp);
/* Tells the switches where the machine is now. */
void ft_net_announce(void);
/* It has been said often enough: the machine's state is about to be saved. */
void ft_net_announce_end(void);
/* The log begins at a state that was just saved; the machine stands. */
void ft_net_state_saved(void);

#endif
