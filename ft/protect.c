/*
 * Protecting a machine that already runs.
 *
 * Its state goes to a new backup, or to a file for one, while it runs.  It
 * stands still from the last of it until the log has begun; then the core
 * calls the backup, and pairs when that has the log.
 *
 * With disks of their own the primary's are copied first, while it runs:
 *
 *   COPYING   the mirror jobs copy; the guest runs
 *   SENDING   little is left: the state is sent; the guest runs
 *   ENDING    the vCPU stands; the jobs copy the rest and end
 *   (none)    the state's last part is sent; the log begins
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-ft.h"
#include "qapi/qapi-commands-migration.h"
#include "migration/ft-state.h"
#include "migration/misc.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "replay/ft-stream.h"
#include "system/runstate.h"
#include "channel.h"
#include "control.h"
#include "driver.h"
#include "gate.h"
#include "identity.h"
#include "limits.h"
#include "mirror.h"
#include "options.h"
#include "protect.h"

typedef enum Stage { NONE, COPYING, SENDING, ENDING } Stage;

static FtChannelPeer *new_peer;

static struct {
    Stage stage;
    char *state_uri;
    QEMUTimer *timer;
    int64_t end_by_ms;
    Error *why;                 /* the state is not wanted any more */
} copy;

/* The copy is over, well or not. */
static void copy_over(void)
{
    copy.stage = NONE;
    if (copy.timer) {
        timer_del(copy.timer);
    }
    g_clear_pointer(&copy.state_uri, g_free);
    ft_state_pause(false);
}

/* It goes on unprotected, as before. */
static void give_up(const char *why)
{
    ft_mirror_abort();
    copy_over();
    ft_channel_peer_free(g_steal_pointer(&new_peer));
    ft_driver_protect_failed(why);
}

static void state_not_saved(void)
{
    g_autoptr(MigrationInfo) info = qmp_query_migrate(NULL);

    if (copy.why) {
        give_up(error_get_pretty(copy.why));
        g_clear_pointer(&copy.why, error_free);
    } else {
        give_up(info && info->error_desc ? info->error_desc
                : "its state could not be sent");
    }
}

static void state_saved(bool saved)
{
    Error *err = NULL;
    char *identity;

    if (!saved) {
        state_not_saved();
        return;
    }
    ft_mirror_abort();          /* it has ended; the state says so */
    copy_over();
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

/* --- own disks ------------------------------------------------------------ */

/* Whatever it is at, the guest goes on without a backup.  Takes err. */
static void copy_fails(Error *err)
{
    if (copy.stage == COPYING) {
        give_up(error_get_pretty(err));
        error_free(err);
        return;
    }
    copy.stage = NONE;          /* the rest is state_not_saved() */
    error_free(copy.why);
    copy.why = err;
    ft_mirror_abort();
    qmp_migrate_cancel(NULL);
}

static void send_state(void)
{
    Error *err = NULL;

    copy.stage = SENDING;
    ft_state_pause(true);
    if (!ft_state_send(copy.state_uri, state_saved, &err)) {
        copy.stage = COPYING;   /* nothing is under way */
        copy_fails(err);
    }
}

static void end_copy(void)
{
    copy.stage = ENDING;
    copy.end_by_ms = g_get_monotonic_time() / 1000 + FT_MIRROR_END_MS;
    ft_mirror_end();
}

static void copy_next(FtMirrorStage mirror, Error **errp)
{
    if (copy.stage == COPYING && mirror == FT_MIRROR_CLOSE) {
        send_state();
    } else if (copy.stage == SENDING && ft_state_paused()) {
        end_copy();
    } else if (copy.stage == ENDING && mirror == FT_MIRROR_EQUAL) {
        copy.stage = NONE;
        qmp_migrate_continue(MIGRATION_STATUS_PRE_SWITCHOVER, errp);
    } else if (copy.stage == ENDING &&
               g_get_monotonic_time() / 1000 > copy.end_by_ms) {
        error_setg(errp, "the rest of the disks was not copied within %d s, "
                   "and the guest does not stand longer for it: give "
                   "ft-protect again when it writes less",
                   FT_MIRROR_END_MS / 1000);
    }
}

static void copy_tick(void *opaque)
{
    Error *err = NULL;
    FtMirrorStage mirror = ft_mirror_look(&err);

    if (!err) {
        copy_next(mirror, &err);
    }
    if (err) {
        copy_fails(err);
    }
    if (copy.stage != NONE) {
        timer_mod(copy.timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  FT_MIRROR_LOOK_MS);
    }
}

static bool copy_begin(const char *state, const char *mirror, Error **errp)
{
    SocketAddress *to = ft_options_address(mirror, errp);
    bool good = to && ft_mirror_begin(to, errp);

    qapi_free_SocketAddress(to);
    if (!good) {
        return false;
    }
    if (!copy.timer) {
        copy.timer = timer_new_ms(QEMU_CLOCK_REALTIME, copy_tick, NULL);
    }
    copy.state_uri = g_strdup(state);
    copy.stage = COPYING;
    copy_tick(NULL);
    return true;
}

bool ft_protect_stop(void)
{
    Error *err = NULL;

    if (copy.stage == NONE) {
        return false;
    }
    error_setg(&err, "a person stopped the copying of the disks");
    copy_fails(err);
    return true;
}

bool ft_protect_copies(uint32_t *percent)
{
    *percent = copy.stage != NONE ? ft_mirror_percent() : 0;
    return copy.stage != NONE;
}

void qmp_ft_protect(const char *peer, const char *state, const char *mirror,
                    Error **errp)
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
    if (ft_options.own_reads && g_str_has_prefix(state, "file:")) {
        error_setg(errp, "with reads=own the guest's writes wait for its "
                   "backup, so that has to be there: send the state to its "
                   "socket (tcp: or unix:), not into a file");
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
    ft_mirror_abort();          /* what an earlier one copied is old */
    if (mirror ? !copy_begin(state, mirror, errp)
               : !ft_state_send(state, state_saved, errp)) {
        ft_channel_peer_free(g_steal_pointer(&new_peer));
        return;
    }
    g_free(ft_options.address_text);
    ft_options.address_text = g_strdup(peer);
}
