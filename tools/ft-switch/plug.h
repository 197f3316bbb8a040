/*
 * A plug: a switch port that is a stream socket of one QEMU.
 *
 * Purpose: QEMU's framing for `-netdev stream` (4 bytes big-endian length,
 *   then the frame) and a bounded queue of frames to that QEMU, so that one
 *   that is stopped, dead or slow never holds up another port.
 * Thread: the main loop's, only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_SWITCH_PLUG_H
#define FT_SWITCH_PLUG_H

#include "switch.h"

#define FT_PLUG_QUEUE_MAX (1024 * 1024) /* bytes waiting for one port */

typedef struct FtPlug FtPlug;

/* Takes the connected, non-blocking socket fd. */
FtPlug *ft_plug_new(FtSwitch *sw, FtJournal *journal, int fd);
/* Closes the port; why: one line for a person. */
void ft_plug_free(FtPlug *plug, const char *why);

guint ft_plug_number(const FtPlug *plug);
int ft_plug_fd(const FtPlug *plug);
short ft_plug_poll_events(const FtPlug *plug);
/*
 * Does what poll found.  False: the port is over, and *why (g_free it) says
 * why; the caller frees the plug.
 */
gboolean ft_plug_serve(FtPlug *plug, short revents, char **why);

#endif
