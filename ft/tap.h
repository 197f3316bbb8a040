/*
 * A guarded tap: packets out and in without the main loop.
 *
 * Purpose: what arrives is read by a thread of its own and taken by the vCPU
 *   when it next looks for events; what leaves is written by whoever releases
 *   it.  The main loop would have to wait for the vCPU's slice to end, and
 *   the vCPU for the main loop.
 * Locks: say the functions.
 * Ownership: a tap is never freed; its thread ends when it is closed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_TAP_H
#define FT_TAP_H

#include "net/net.h"

typedef struct FtTap FtTap;

/* One packet for the guest; the vCPU's thread, BQL and replay mutex. */
typedef void FtTapPacketFn(void *opaque, const void *data, size_t size);

/*
 * Main thread: takes over the netdev's tap.  NULL: it is none, or has another
 * format than its device, and is left to the main loop.
 */
FtTap *ft_tap_new(NetClientState *netdev, FtTapPacketFn *fn, void *opaque);
/* BQL: fn is not called any more. */
void ft_tap_close(FtTap *tap);
/* Any thread.  False: there is no room. */
bool ft_tap_write(FtTap *tap, const void *data, size_t size);
/* The vCPU's thread, BQL and replay mutex: gives all that arrived to fn. */
void ft_tap_take_all(void);

#endif
