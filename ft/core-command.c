/*
 * May a person give this command now, and if not, why?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>

#include "core-internal.h"

gboolean ft_core_can(const FtCore *core, FtEventType command,
                     const char **why)
{
    FtState s = core->state;

    if (s == FT_STATE_HALTED || s == FT_STATE_ENDED) {
        *why = "this side has stopped already";
        return FALSE;
    }
    if (command == FT_EVENT_CMD_FAILOVER && s != FT_STATE_PROTECTED) {
        *why = "the VM is not protected now, so nobody can take over; "
               "query-ft shows the state and its reason";
        return FALSE;
    }
    if (command == FT_EVENT_CMD_STOP && core->role != FT_ROLE_PRIMARY) {
        *why = "this is the backup: stop the protection on the primary";
        return FALSE;
    }
    if (command == FT_EVENT_CMD_PROTECT && s != FT_STATE_ALONE) {
        *why = s == FT_STATE_PROTECTED
               ? "the VM is protected already"
               : core->role == FT_ROLE_PRIMARY && !core->guest_started
               ? "the guest has not begun: start the backup that this primary "
                 "waits for, or give ft-stop first"
               : "only a VM that runs alone can be protected; query-ft shows "
                 "the state and its reason";
        return FALSE;
    }
    if (command == FT_EVENT_CMD_STOP && s != FT_STATE_PROTECTED &&
        s != FT_STATE_CONNECTING && s != FT_STATE_HANDSHAKE &&
        s != FT_STATE_SYNCING) {
        *why = s == FT_STATE_ALONE
               ? "the VM runs alone already, unprotected"
               : "a change is under way; try again when query-ft shows "
                 "\"protected\" or \"connecting\"";
        return FALSE;
    }
    return TRUE;
}
