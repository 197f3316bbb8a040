/*
 * The character guard: every chardev that a device of the guest has.
 *
 * Purpose: bytes that come in become log entries (M2), bytes that go out are
 *   held (M5) and a backup drops them (M6).
 * Locks: BQL and replay mutex.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_CHAR_H
#define FT_CHAR_H

/* Guards them all.  False: *errp names one that can't be protected. */
bool ft_char_guard_all(Error **errp);
/* The VM ends: gives backends a last, bounded time to take their bytes. */
void ft_char_flush(void);

#endif
