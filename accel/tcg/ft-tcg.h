/*
 * What the live stream tells TCG.  Main thread, before the guest begins.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ACCEL_TCG_FT_TCG_H
#define ACCEL_TCG_FT_TCG_H

/* From now on the guest alone decides what a fetch is (ft-fetch.h). */
void ft_fetch_activate(void);

#endif
