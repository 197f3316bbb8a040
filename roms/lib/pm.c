/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io.h"
#include "pci.h"
#include "pm.h"
#include "print.h"

enum {
    PIIX4_VENDOR = 0x8086,
    PIIX4_PM_DEVICE = 0x7113,
    PM_BASE = 0x40,                 /* configuration: first port, bit 0 set */
    PM_ENABLE = 0x80,               /* configuration: bit 0 switches it on */

    PORT = 0x600,
    CONTROL = PORT + 0x04,
    TIMER = PORT + 0x08,
    CONTROL_SLEEP_ENABLE = 1 << 13, /* sleep type 0 is "off" here */
};

void pm_init(void)
{
    PciFunction pm;

    if (!pci_find(PIIX4_VENDOR, PIIX4_PM_DEVICE, &pm)) {
        panic("pm: no PIIX4 power management; these guests need -M pc,acpi=on");
    }
    pci_write32(pm, PM_BASE, PORT | 1);
    pci_write32(pm, PM_ENABLE, pci_read32(pm, PM_ENABLE) | 1);
}

uint32_t pm_timer(void)
{
    return io_in32(TIMER) & ((1 << PM_TIMER_BITS) - 1);
}

void pm_power_off(void)
{
    io_out16(CONTROL, CONTROL_SLEEP_ENABLE);
}
