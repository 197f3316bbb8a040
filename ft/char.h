/*
 * The character guard: every chardev that a device of the guest has.
 *
 * Purpose: bytes that come in become log entries (M2), bytes that go out are
 *   held (M5) and a backup drops them (M6).  A backend's opening, closing
 *   and break come through the log, in their place between the bytes.
 * Locks: BQL and replay mutex.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_CHAR_H
#define FT_CHAR_H

/* Guards them all.  False: *errp names one that can't be protected. */
bool ft_char_guard_all(Error **errp);
/*
 * Tells the guest which backends have somebody at their other end; the
 * primary, when the guest begins, and a backup that is live.
 */
void ft_char_tell(void);
/* The VM ends: gives backends a last, bounded time to take their bytes. */
void ft_char_flush(void);

#endif
