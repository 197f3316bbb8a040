/*
 * Counts down half a second of timer ticks and powers off by ACPI.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "lib/irq.h"
#include "lib/pit.h"
#include "lib/pm.h"
#include "lib/print.h"
#include "lib/runtime.h"

enum { TICKS = 50, TICKS_PER_REPORT = 10 };

void rom_main(void)
{
    uint32_t next_report = 0;

    pm_init();
    pit_init();
    while (pit_ticks < TICKS) {
        if (pit_ticks >= next_report) {
            print("poweroff in=%u\n", TICKS - next_report);
            next_report += TICKS_PER_REPORT;
        }
        irq_wait();
    }
    print("poweroff now\n");
    pm_power_off();
    irq_wait_forever();             /* it is asked for, not done */
}
