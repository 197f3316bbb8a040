/*
 * The fence of a shared disk, by whoever won the lease and has not run the
 * guest live before.
 *
 * The lease stops decisions, not writes in flight: a machine that was
 * stopped may wake with one in its hands, and a network may deliver one late.
 * So the winner first shuts all others out of the disk, and only then writes.
 * A primary that goes on without its backup needs no fence: that one only
 * read.  With disks of their own there is nothing to fence.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>

#include "core-internal.h"

static void go_on(FtCore *core)
{
    if (core->role == FT_ROLE_PRIMARY) {
        ft_core_primary_started(core);
    } else {
        ft_core_backup_drain(core);
    }
}

void ft_core_fence_begin(FtCore *core)
{
    if (core->lease.disks != FT_LEASE_DISKS_SHARED) {
        go_on(core);
        return;
    }
    ft_core_set_state(core, FT_STATE_FENCING, FT_REASON_WON,
                      core->role == FT_ROLE_BACKUP ? ft_core_won_text(core)
                                                   : NULL);
    ft_core_timer(core, FT_TIMER_FENCE, FT_LEASE_SLOW_MS);
    ft_core_act(core, FT_ACTION_FENCE)->to_record = core->lease;
}

void ft_core_fence_event(FtCore *core, const FtEvent *event)
{
    if (core->state != FT_STATE_FENCING) {
        return;
    }
    ft_core_timer(core, FT_TIMER_FENCE, 0);
    switch (event->result) {
    case FT_LEASE_WON:
        go_on(core);
        break;
    case FT_LEASE_LOST:
        ft_core_halt(core, FT_REASON_LEASE_LOST, event->text);
        break;
    case FT_LEASE_UNKNOWN:
        ft_core_set_state(core, FT_STATE_FENCING, FT_REASON_FENCE_WAITS,
                          event->text);
        break;
    }
}

/* Shown only; the answer comes when storage is back. */
void ft_core_fence_timer(FtCore *core)
{
    if (core->state == FT_STATE_FENCING) {
        ft_core_set_state(core, FT_STATE_FENCING, FT_REASON_FENCE_WAITS,
                          "the shared disk's storage has not answered yet; "
                          "waiting for it");
    }
}
