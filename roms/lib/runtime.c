/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irq.h"
#include "print.h"
#include "runtime.h"
#include "serial.h"

void runtime_main(void);

void runtime_main(void)
{
    serial_init();
    irq_init();
    rom_main();
    panic("the guest's main program returned");
}
