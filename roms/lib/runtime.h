/*
 * What every guest starts with.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_RUNTIME_H
#define ROM_RUNTIME_H

/* A variable that a reset of the machine leaves as it is. */
#define RUNTIME_NOINIT __attribute__((section(".noinit")))

/* The guest.  Serial port and interrupt table are set up; interrupts off. */
void rom_main(void);

#endif
