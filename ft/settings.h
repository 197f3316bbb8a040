/*
 * What -ft sets so that a machine can be replayed exactly.
 *
 * Thread: the main thread, while the machine is made; the list at any time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_SETTINGS_H
#define FT_SETTINGS_H

#include "qapi/qapi-builtin-types.h"

/* Before the accelerator and devices are made. */
void ft_settings_for_devices(void);
/* After: false, with *errp set, when the user set one otherwise. */
bool ft_settings_check(Error **errp);
/* For query-ft: "what=value: why"; the caller frees it. */
strList *ft_settings_list(void);

#endif
