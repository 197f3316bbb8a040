/*
 * What the live stream tells TCG.  Main thread, before the guest begins.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ACCEL_TCG_FT_TCG_H
#define ACCEL_TCG_FT_TCG_H

/* From now on blocks are found, and code is fetched, as ft-blocks.h says. */
void ft_blocks_activate(void);

#endif
