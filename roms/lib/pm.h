/*
 * ACPI power management of the PIIX4: its timer, and power off.  Without a
 * BIOS nobody has switched it on, so pm_init() does.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_PM_H
#define ROM_PM_H

#include <stdint.h>

enum {
    PM_TIMER_BITS = 24,             /* at 3.58 MHz: wraps every 4.7 s */
};

void pm_init(void);
uint32_t pm_timer(void);
void pm_power_off(void);

#endif
