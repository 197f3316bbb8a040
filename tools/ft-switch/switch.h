/*
 * The switch: ports and the table of which port has which MAC.
 *
 * Purpose: Ethernet learning switch.  A source MAC belongs to the port that
 *   used it last, so that the table follows a VM from its primary to its
 *   backup with the first frame the backup sends.  Frames to an unknown or
 *   a group MAC go to every other port.
 * Thread: the main loop's, only.
 * Ownership: a port belongs to who made it; the switch only refers to it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_SWITCH_H
#define FT_SWITCH_H

#include <glib.h>

#include "journal.h"

#define FT_SWITCH_MACS_MAX 1024     /* one more evicts the longest unheard */
#define FT_SWITCH_FRAME_MIN 14      /* bytes of an Ethernet header */
#define FT_SWITCH_FRAME_MAX 65535

typedef struct FtSwitch FtSwitch;
typedef struct FtPort FtPort;

/*
 * Takes one frame for the world behind the port, without blocking and
 * without freeing any port.  False: no room, the frame is dropped.
 */
typedef gboolean FtPortDeliver(FtPort *port, const guint8 *frame, gsize size);

struct FtPort {
    guint number;                   /* never reused; for people and the log */
    FtPortDeliver *deliver;
    FtSwitch *sw;
    guint64 rx_frames, tx_frames;   /* from the port, to the port */
    guint64 rx_drops;               /* frames without an Ethernet header */
    guint64 tx_drops;               /* frames its queue had no room for */
};

FtSwitch *ft_switch_new(FtJournal *journal);
void ft_switch_free(FtSwitch *sw);

void ft_switch_port_add(FtSwitch *sw, FtPort *port, FtPortDeliver *deliver);
void ft_switch_port_remove(FtPort *port);
/* One frame that came from the port. */
void ft_switch_input(FtPort *port, const guint8 *frame, gsize size);
guint ft_switch_port_count(const FtSwitch *sw);
/* Writes every port's counters into the journal. */
void ft_switch_report(FtSwitch *sw);

#endif
