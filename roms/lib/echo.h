/*
 * What the echo guests say, whatever card they say it on: as 10.0.2.15, ARP,
 * ping, UDP port 7 (the same bytes back) and UDP port 8 ("echo packets=N", so
 * that a client sees whether the count ever goes back).
 *
 * A frame is answered in the buffer it came in: the two addresses of each
 * layer change places, which leaves the checksums over them as they are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_ECHO_H
#define ROM_ECHO_H

#include <stdint.h>

enum {
    ECHO_FRAME_SIZE_MAX = 1514,
};

/* First of all: the card works, and this is its address.  Prints so. */
void echo_open(const uint8_t mac[6]);
/* Fills buffer with an ARP announcement; returns its size. */
uint32_t echo_announcement(void *buffer);
/*
 * Puts the answer to the frame of `size` bytes in its place; returns the
 * answer's size, 0: there is none.  The buffer has ECHO_FRAME_SIZE_MAX bytes.
 */
uint32_t echo_answer(void *buffer, uint32_t size);
/*
 * Prints the count if it has changed, once a tick at most: the serial port is
 * slower than the network.
 */
void echo_report(void);

#endif
