/*
 * The 8254 timer's channel 0: periodic interrupts and its raw counter.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_PIT_H
#define ROM_PIT_H

#include <stdint.h>

enum {
    PIT_HZ = 1193182,               /* the input clock */
    PIT_TICKS_PER_S = 100,
    PIT_RELOAD = PIT_HZ / PIT_TICKS_PER_S,
};

/* Ticks since pit_init(); an interrupt handler counts it. */
extern volatile uint32_t pit_ticks;

/* PIT_TICKS_PER_S interrupts a second from here. */
void pit_init(void);
/* Counts down from PIT_RELOAD to 1, once a tick. */
uint16_t pit_counter(void);

#endif
