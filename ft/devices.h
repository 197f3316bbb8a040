/*
 * The devices of the machine: walking them, and which can be protected.
 *
 * Thread: the main thread, after the machine was created.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DEVICES_H
#define FT_DEVICES_H

#include "hw/qdev-core.h"

/* Returns false, with *errp set, to end the walk. */
typedef bool FtPropertyFn(DeviceState *dev, const Property *prop,
                          void *opaque, Error **errp);

/* Every static property of every device, in the machine tree's order. */
bool ft_devices_foreach_property(FtPropertyFn *fn, void *opaque, Error **errp);

/* False: *errp names what can't be protected and what to use instead. */
bool ft_devices_check(Error **errp);

/* For "-ft help": the devices that can be protected, one a line. */
void ft_devices_print(void);

#endif
