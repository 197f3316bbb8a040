/*
 * A primary's way to a pair: call the backup, stream the log, hold outputs,
 * name the backup in the lease.
 *
 * One way for both beginnings.  From power-on the log is empty and the guest
 * waits.  A running VM's log began with a state that the backup loads; its
 * guest runs on, and outputs leave at once until they are held:
 *
 *   syncing   the backup executed all that is older than FT_PAIR_LAG_MS
 *             -> HOLD; outputs wait for their acknowledgement
 *   HELD      nothing that left before is unknown to the backup
 *             -> pairing, and the lease is asked
 *
 * So whatever left is in what the backup holds before it may win.  Until the
 * lease is asked every failure leads back to alone, and costs nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "core-internal.h"

/* Calling. */

void ft_core_sync_connect(FtCore *core)
{
    if (!core->connect_asked) {
        core->connect_asked = TRUE;
        ft_core_act(core, FT_ACTION_CONNECT);
    }
}

gboolean ft_core_sync_connect_done(FtCore *core)
{
    gboolean stale = core->connect_stale;

    core->connect_asked = core->connect_stale = FALSE;
    return !stale && core->state == FT_STATE_CONNECTING;
}

void ft_core_sync_protect(FtCore *core, guint64 state_id,
                          const char *identity)
{
    g_assert(state_id);
    if (core->state != FT_STATE_ALONE) {
        return;
    }
    if (identity) {
        g_free(core->identity);
        core->config.identity = core->identity = g_strdup(identity);
    }
    ft_core_hello_set(core, state_id);
    core->appended = core->sent = core->acknowledged = core->executed = 0;
    ft_core_set_state(core, FT_STATE_CONNECTING, FT_REASON_PROTECT, NULL);
    ft_core_timer(core, FT_TIMER_PROTECT, FT_PROTECT_MS);
    ft_core_sync_connect(core);
}

/* Syncing. */

void ft_core_sync_begin(FtCore *core)
{
    ft_core_set_state(core, FT_STATE_SYNCING, FT_REASON_PEER_CONNECTED,
                      core->guest_started
                      ? "the backup executes the running VM's log; it can't "
                        "take over yet"
                      : NULL);
    ft_core_watch_begin(core);
    if (!core->guest_started) {
        ft_core_act(core, FT_ACTION_LOG_BEGIN);
    }
    core->hold = FT_HOLD_NONE;
    for (guint i = 0; i < G_N_ELEMENTS(core->marks); i++) {
        core->marks[i] = core->appended;
    }
    ft_core_primary_send_log(core);
    ft_core_sync_check(core);
}

void ft_core_sync_tick(FtCore *core)
{
    guint last = G_N_ELEMENTS(core->marks) - 1;

    if (core->state == FT_STATE_SYNCING) {
        memmove(core->marks, core->marks + 1, last * sizeof(core->marks[0]));
        core->marks[last] = core->appended;
        ft_core_sync_check(core);
    }
}

void ft_core_sync_check(FtCore *core)
{
    if (core->state != FT_STATE_SYNCING) {
        return;
    }
    if (core->hold == FT_HOLD_NONE && core->executed >= core->marks[0]) {
        core->hold = FT_HOLD_ASKED;
        core->holds++;
        ft_core_act(core, FT_ACTION_HOLD)->position = core->acknowledged;
    }
    if (core->hold == FT_HOLD_HELD && core->acknowledged >= core->left) {
        ft_core_timer(core, FT_TIMER_PROTECT, 0);
        ft_core_set_state(core, FT_STATE_PAIRING, FT_REASON_PEER_CONNECTED,
                          NULL);
        ft_core_lease_step(core, FT_CLAIM_PAIR, 0, core->config.node,
                           core->peer_node);
    }
}

/* The last HOLD's answer counts; an earlier one is of a lost session. */
void ft_core_sync_held(FtCore *core, guint64 position)
{
    if (core->holds) {
        core->holds--;
    }
    if (core->state == FT_STATE_SYNCING && core->hold == FT_HOLD_ASKED &&
        core->holds == 0) {
        core->hold = FT_HOLD_HELD;
        core->left = position;
        ft_core_sync_check(core);
    }
}

void ft_core_sync_give_up(FtCore *core, FtReason reason, const char *text)
{
    const char *why = text && *text ? text : ft_core_reason_text(reason);

    if (core->channel && core->state == FT_STATE_SYNCING) {
        ft_core_send(core, FT_FRAME_REFUSE, 0, 0, why,
                     MIN(strlen(why), FT_REASON_MAX));
    }
    ft_core_primary_alone(core, reason, text);
}

gboolean ft_core_sync_running(const FtCore *core)
{
    return core->guest_started && (core->state == FT_STATE_CONNECTING ||
                                   core->state == FT_STATE_HANDSHAKE ||
                                   core->state == FT_STATE_SYNCING);
}

/* The log may not grow for ever: the guest is not held back for it. */
void ft_core_sync_bound(FtCore *core)
{
    if (ft_core_sync_running(core) &&
        core->appended - core->acknowledged > FT_LOG_BUFFER_MAX) {
        ft_core_sync_give_up(core, FT_REASON_PROTECT_FAILED,
                             ft_core_keep(core, g_strdup_printf(
            "the backup was too slow: %d MiB of log were waiting for it; the "
            "VM runs on alone: give ft-protect again when it is less busy",
            FT_LOG_BUFFER_MAX >> 20)));
    }
}
