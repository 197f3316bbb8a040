/*
 * Protecting a machine that already runs.
 *
 * Its state goes to a new backup, or to a file for one, while it runs.  It
 * stands still from the last of it until the log has begun; then the core
 * calls the backup, and pairs when that has the log.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-ft.h"
#include "qapi/qapi-commands-migration.h"
#include "migration/ft-state.h"
#include "migration/misc.h"
#include "replay/ft-stream.h"
#include "system/runstate.h"
#include "channel.h"
#include "control.h"
#include "driver.h"
#include "gate.h"
#include "identity.h"
#include "options.h"

static FtChannelPeer *new_peer;

/* It goes on unprotected, as before. */
static void give_up(const char *why)
{
    ft_channel_peer_free(g_steal_pointer(&new_peer));
    ft_driver_protect_failed(why);
}

static void state_saved(bool saved)
{
    Error *err = NULL;
    char *identity;

    if (!saved) {
        g_autoptr(MigrationInfo) info = qmp_query_migrate(NULL);

        give_up(info && info->error_desc ? info->error_desc
                : "its state could not be sent");
        return;
    }
    identity = migration_block_activate(&err) ? ft_identity_make(&err) : NULL;
    if (!identity) {
        ft_stream_abandon_state();
        if (ft_state_ran()) {
            vm_start();
        }
        give_up(error_get_pretty(err));
        error_free(err);
        return;
    }
    ft_gate_begin_open();
    ft_driver_protect(g_steal_pointer(&new_peer), ft_state_id(), identity);
    ft_control_begin_at_state(!ft_state_ran());
}

void qmp_ft_protect(const char *peer, const char *state, Error **errp)
{
    SocketAddress *address;
    const char *why;

    if (!ft_options.given) {
        error_setg(errp, "QEMU runs without -ft; this machine can't be "
                   "protected: start it with -ft primary and ft-stop it");
        return;
    }
    why = ft_driver_cannot_protect();
    if (why || new_peer) {
        error_setg(errp, "%s", why ?: "it is being protected already");
        return;
    }
    address = ft_options_address(peer, errp);
    if (!address) {
        return;
    }
    new_peer = ft_channel_peer_new(address, errp);
    qapi_free_SocketAddress(address);
    if (!new_peer) {
        return;
    }
    if (!ft_state_send(state, state_saved, errp)) {
        ft_channel_peer_free(g_steal_pointer(&new_peer));
        return;
    }
    g_free(ft_options.address_text);
    ft_options.address_text = g_strdup(peer);
}
