/*
 * Protecting a machine that already runs: the command ft-protect.
 *
 * Thread: the main thread, BQL.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_PROTECT_H
#define FT_PROTECT_H

/* A person wants no backup any more.  False: no disks are being copied. */
bool ft_protect_stop(void);
/* Are disks being copied to a new backup, and how far? */
bool ft_protect_copies(uint32_t *percent);

#endif
