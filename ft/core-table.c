/*
 * The core's tables: names, sentences for people, legal changes of state.
 *
 * docs/states.md shows the table of changes; tests/unit/test-core.c compares
 * the two.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>

#include "core-internal.h"

enum { P = 1 << FT_ROLE_PRIMARY, B = 1 << FT_ROLE_BACKUP, BOTH = P | B };

/*
 * edges[from][to]: which roles may go there.  From a state to itself: only
 * its reason changes.
 */
static const guint8 edges[FT_STATE__MAX][FT_STATE__MAX] = {
    [FT_STATE_INIT] = {
        [FT_STATE_ACQUIRING] = P,
        [FT_STATE_LISTENING] = B,
        [FT_STATE_ENDED] = B,
        [FT_STATE_HALTED] = B,
    },
    [FT_STATE_ACQUIRING] = {
        [FT_STATE_ACQUIRING] = P,
        [FT_STATE_CONNECTING] = P,
        [FT_STATE_FENCING] = P,
        [FT_STATE_ENDED] = P,
        [FT_STATE_HALTED] = P,
    },
    [FT_STATE_CONNECTING] = {
        [FT_STATE_CONNECTING] = P,
        [FT_STATE_HANDSHAKE] = P,
        [FT_STATE_ALONE] = P,
        [FT_STATE_ENDED] = P,
        [FT_STATE_HALTED] = P,
    },
    [FT_STATE_LISTENING] = {
        [FT_STATE_HANDSHAKE] = B,
        [FT_STATE_ENDED] = B,
        [FT_STATE_HALTED] = B,
    },
    [FT_STATE_HANDSHAKE] = {
        [FT_STATE_CONNECTING] = P,
        [FT_STATE_LISTENING] = B,
        [FT_STATE_SYNCING] = P,
        [FT_STATE_PAIRING] = B,
        [FT_STATE_ALONE] = P,
        [FT_STATE_ENDED] = BOTH,
        [FT_STATE_HALTED] = BOTH,
    },
    [FT_STATE_SYNCING] = {
        [FT_STATE_CONNECTING] = P,
        [FT_STATE_PAIRING] = P,
        [FT_STATE_ALONE] = P,
        [FT_STATE_ENDED] = P,
        [FT_STATE_HALTED] = P,
    },
    [FT_STATE_PAIRING] = {
        [FT_STATE_LISTENING] = B,
        [FT_STATE_PAIRING] = P,
        [FT_STATE_PROTECTED] = BOTH,
        [FT_STATE_CLAIMING] = BOTH,
        [FT_STATE_ENDED] = BOTH,
        [FT_STATE_HALTED] = BOTH,
    },
    [FT_STATE_PROTECTED] = {
        [FT_STATE_CLAIMING] = BOTH,
        [FT_STATE_ENDING] = BOTH,
        [FT_STATE_ENDED] = B,
        [FT_STATE_HALTED] = BOTH,
    },
    [FT_STATE_CLAIMING] = {
        [FT_STATE_CONNECTING] = P,
        [FT_STATE_LISTENING] = B,
        [FT_STATE_CLAIMING] = BOTH,
        [FT_STATE_FENCING] = B,
        [FT_STATE_DRAINING] = B,
        [FT_STATE_ALONE] = P,
        [FT_STATE_ENDED] = BOTH,
        [FT_STATE_HALTED] = BOTH,
    },
    [FT_STATE_FENCING] = {
        [FT_STATE_CONNECTING] = P,
        [FT_STATE_FENCING] = BOTH,
        [FT_STATE_DRAINING] = B,
        [FT_STATE_ENDED] = BOTH,
        [FT_STATE_HALTED] = BOTH,
    },
    [FT_STATE_DRAINING] = {
        [FT_STATE_ALONE] = B,
        [FT_STATE_ENDED] = B,
        [FT_STATE_HALTED] = B,
    },
    [FT_STATE_ALONE] = {
        [FT_STATE_CONNECTING] = P,
        [FT_STATE_ALONE] = P,
        [FT_STATE_ENDED] = P,
        [FT_STATE_HALTED] = P,
    },
    [FT_STATE_ENDING] = {
        [FT_STATE_CLAIMING] = P,
        [FT_STATE_ALONE] = P,
        [FT_STATE_ENDING] = P,
        [FT_STATE_ENDED] = BOTH,
        [FT_STATE_HALTED] = BOTH,
    },
};

gboolean ft_core_edge_legal(FtRole role, FtState from, FtState to)
{
    return (edges[from][to] & (1 << role)) != 0;
}

static const char *const state_names[FT_STATE__MAX] = {
    [FT_STATE_INIT] = "init",
    [FT_STATE_ACQUIRING] = "acquiring",
    [FT_STATE_CONNECTING] = "connecting",
    [FT_STATE_LISTENING] = "listening",
    [FT_STATE_HANDSHAKE] = "handshake",
    [FT_STATE_SYNCING] = "syncing",
    [FT_STATE_PAIRING] = "pairing",
    [FT_STATE_PROTECTED] = "protected",
    [FT_STATE_CLAIMING] = "claiming",
    [FT_STATE_FENCING] = "fencing",
    [FT_STATE_DRAINING] = "draining",
    [FT_STATE_ALONE] = "alone",
    [FT_STATE_ENDING] = "ending",
    [FT_STATE_ENDED] = "ended",
    [FT_STATE_HALTED] = "halted",
};

static const struct {
    const char *name;
    const char *text;
} reasons[FT_REASON__MAX] = {
    [FT_REASON_NONE] = { "none", "" },
    [FT_REASON_STARTED] = { "started", "just started" },
    [FT_REASON_LEASE_NEW] = { "lease-new",
        "the lease holds no record: if this VM never ran with this lease, "
        "start its primary with new=on; else check lease=" },
    [FT_REASON_LEASE_NOT_NEW] = { "lease-not-new",
        "new=on, but the lease holds a record: leave new=on out, or give a "
        "new VM a lease of its own" },
    [FT_REASON_LEASE_NOT_ELIGIBLE] = { "lease-not-eligible",
        "the lease does not name this machine: its disks may be old; start "
        "the VM on the machine that ran it last" },
    [FT_REASON_LEASE_OTHER_VM] = { "lease-other-vm",
        "the lease is another VM's: give each VM a lease of its own, and the "
        "same -uuid each time" },
    [FT_REASON_LEASE_LOST] = { "lease-lost",
        "the other machine won the lease and runs the VM; this one stopped "
        "and released nothing more" },
    [FT_REASON_LEASE_UNREACHABLE] = { "lease-unreachable",
        "waiting for the lease's storage" },
    [FT_REASON_FENCE_WAITS] = { "fence-waits",
        "waiting for the shared disk's storage, to shut the other machine "
        "out of it" },
    [FT_REASON_PEER_CONNECTED] = { "peer-connected", "the peer is connected" },
    [FT_REASON_PEER_CLOSED] = { "peer-closed",
        "the peer closed the log channel" },
    [FT_REASON_PEER_SILENT] = { "peer-silent",
        "nothing was heard of the peer" },
    [FT_REASON_PEER_BAD_FRAME] = { "peer-bad-frame",
        "the peer sent what is no valid frame" },
    [FT_REASON_PEER_BUSY] = { "peer-busy",
        "the backup is paired with another primary" },
    [FT_REASON_PEER_DIFFERS] = { "peer-differs",
        "the two VMs are not the same: start both with the same options" },
    [FT_REASON_PEER_REFUSED] = { "peer-refused", "the peer refused" },
    [FT_REASON_PEER_FAILED] = { "peer-failed",
        "the backup stopped: it could not go on" },
    [FT_REASON_PAIRED] = { "paired", "the backup follows the primary" },
    [FT_REASON_NOT_PAIRED] = { "not-paired",
        "the lease does not name this machine as the partner; waiting for a "
        "primary" },
    [FT_REASON_WON] = { "won", "this machine won the lease" },
    [FT_REASON_DRAINED] = { "drained",
        "this machine took over and runs the VM, unprotected" },
    [FT_REASON_TEST_FAILOVER] = { "test-failover",
        "a person asked the backup to take over" },
    [FT_REASON_UNPAIRED] = { "unpaired",
        "a person stopped the protection; the primary runs on alone" },
    [FT_REASON_VM_ENDED] = { "vm-ended", "the VM ended" },
    [FT_REASON_PROTECT] = { "protect",
        "a person asked to protect the running VM; its backup is called" },
    [FT_REASON_PROTECT_FAILED] = { "protect-failed",
        "the backup did not follow in time; the VM runs on alone: start a "
        "backup anew and give ft-protect again" },
    [FT_REASON_LOCAL_FAILURE] = { "local-failure",
        "this machine could not go on" },
};

const char *ft_core_state_name(FtState state)
{
    return (guint)state < FT_STATE__MAX ? state_names[state] : "?";
}

const char *ft_core_reason_name(FtReason reason)
{
    return (guint)reason < FT_REASON__MAX ? reasons[reason].name : "?";
}

const char *ft_core_reason_text(FtReason reason)
{
    return (guint)reason < FT_REASON__MAX ? reasons[reason].text : "?";
}
