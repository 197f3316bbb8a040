/*
 * The uplink: the switch port behind which the host's network is.
 *
 * Purpose: network 10.0.2.0/24 by libslirp: gateway and host .2, DNS .3, DHCP
 *   from .15; and forwards from ports of this host to guests.  Its TCP
 *   connections live in this process and so outlive every QEMU.
 * Thread: the main loop's, only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_SWITCH_UPLINK_H
#define FT_SWITCH_UPLINK_H

#include "switch.h"

typedef struct FtUplink FtUplink;

FtUplink *ft_uplink_new(FtSwitch *sw, FtJournal *journal);
void ft_uplink_free(FtUplink *uplink);

/*
 * rule: "tcp|udp:HOSTADDR:PORT-GUESTADDR:PORT", HOSTADDR empty for 127.0.0.1.
 * False: *why (g_free it) says what to write instead.
 */
gboolean ft_uplink_forward(FtUplink *uplink, const char *rule, char **why);

/* Before poll: appends what to wait for (struct pollfd), lowers timeout_ms. */
void ft_uplink_fill(FtUplink *uplink, GArray *fds, guint32 *timeout_ms);
/* After poll, with the same array. */
void ft_uplink_serve(FtUplink *uplink, GArray *fds, gboolean poll_failed);

#endif
