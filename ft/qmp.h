/*
 * The subsystem's QMP and HMP side.
 *
 * Locks: BQL and replay mutex; main thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_QMP_H
#define FT_QMP_H

void ft_qmp_init(const char *node);

#endif
