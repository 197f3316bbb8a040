/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io.h"
#include "irq.h"
#include "pit.h"

enum {
    IRQ = 0,
    CHANNEL0 = 0x40,
    CONTROL = 0x43,
    CONTROL_RATE = 0x34,            /* channel 0, low then high byte, mode 2 */
    CONTROL_LATCH = 0x00,
};

volatile uint32_t pit_ticks;

static void tick(void)
{
    pit_ticks++;
}

void pit_init(void)
{
    io_out8(CONTROL, CONTROL_RATE);
    io_out8(CHANNEL0, PIT_RELOAD & 0xff);
    io_out8(CHANNEL0, PIT_RELOAD >> 8);
    irq_handle(IRQ, tick);
}

uint16_t pit_counter(void)
{
    uint8_t low;

    io_out8(CONTROL, CONTROL_LATCH);
    low = io_in8(CHANNEL0);
    return io_in8(CHANNEL0) << 8 | low;
}
