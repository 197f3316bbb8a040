/*
 * Formatted text on the serial port, for the main program only: an interrupt
 * handler that prints would cut a line in two.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_PRINT_H
#define ROM_PRINT_H

/*
 * Knows %s %c %u %x (32 bits), %U %X (64 bits), a width with leading zeros
 * such as %06u, and %%.  A "\n" goes out as CR LF.
 */
void print(const char *format, ...) __attribute__((nonnull(1)));

/* Prints "PANIC: ", the text, and halts for good. */
void panic(const char *format, ...) __attribute__((noreturn, nonnull(1)));

#endif
