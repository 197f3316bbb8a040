/*
 * The first serial port, a 16550 at 0x3f8, 115200 8N1.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_SERIAL_H
#define ROM_SERIAL_H

#define SERIAL_IRQ 4

void serial_init(void);
/* Waits until the port takes the byte. */
void serial_put(char byte);
/* The port raises SERIAL_IRQ for each byte it receives. */
void serial_interrupt_on_receive(void);
/* The next byte received, or -1: none is waiting. */
int serial_get(void);

#endif
