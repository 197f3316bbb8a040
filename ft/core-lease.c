/*
 * The core's dealings with the lease: one question at a time, asked again
 * with the same nonce until storage says won or lost.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "core-internal.h"

static void lease_ask(FtCore *core)
{
    if (core->claim == FT_CLAIM_READ) {
        ft_core_act(core, FT_ACTION_LEASE_READ);
    } else {
        FtAction *action = ft_core_act(core, FT_ACTION_LEASE_STEP);

        action->from_record = core->from;
        action->to_record = core->to;
    }
    core->lease_asked = TRUE;
    ft_core_timer(core, FT_TIMER_LEASE, FT_LEASE_SLOW_MS);
}

void ft_core_lease_read(FtCore *core)
{
    g_assert(core->claim == FT_CLAIM_NONE);
    core->claim = FT_CLAIM_READ;
    lease_ask(core);
}

void ft_core_lease_step(FtCore *core, FtClaim claim, guint raise,
                        const char *owner, const char *partner)
{
    g_assert(core->claim == FT_CLAIM_NONE);
    core->claim = claim;
    core->from = core->to = core->lease;
    memcpy(core->to.vm_uuid, core->config.vm_uuid, sizeof(core->to.vm_uuid));
    core->to.generation += raise;
    g_strlcpy(core->to.owner, owner, FT_NODE_MAX);
    g_strlcpy(core->to.partner, partner, FT_NODE_MAX);
    core->to.disks = core->config.disks;
    core->to.nonce = ft_core_random(core);
    lease_ask(core);
}

/* An answer that is none to the step under way is worth nothing. */
static gboolean other_question(const FtCore *core, const FtEvent *event)
{
    return event->result == FT_LEASE_WON && core->claim != FT_CLAIM_READ &&
           event->record && event->record->nonce != core->to.nonce;
}

void ft_core_lease_event(FtCore *core, const FtEvent *event)
{
    if (!core->lease_asked) {
        return;
    }
    core->lease_asked = FALSE;
    if (event->result == FT_LEASE_UNKNOWN || other_question(core, event)) {
        /* Neither won nor lost: ask again, with the same nonce, for ever. */
        ft_core_timer(core, FT_TIMER_LEASE, FT_LEASE_RETRY_MS);
        ft_core_set_state(core, core->state, FT_REASON_LEASE_UNREACHABLE,
                          event->text);
        return;
    }
    ft_core_timer(core, FT_TIMER_LEASE, 0);
    if (event->result == FT_LEASE_WON && core->claim != FT_CLAIM_READ) {
        core->lease = core->to;
    } else if (event->record) {
        core->lease = *event->record;
    }
    if (core->role == FT_ROLE_PRIMARY) {
        ft_core_primary_lease(core, event);
    } else {
        ft_core_backup_lease(core, event);
    }
}

void ft_core_lease_timer(FtCore *core)
{
    if (core->claim == FT_CLAIM_NONE) {
        return;
    }
    if (core->lease_asked) {
        ft_core_set_state(core, core->state, FT_REASON_LEASE_UNREACHABLE,
                          "the lease's storage has not answered yet; waiting "
                          "for it");
    } else {
        lease_ask(core);
    }
}

void ft_core_lease_lost(FtCore *core)
{
    const FtLeaseRecord *now = &core->lease;
    char *text;

    if (now->generation == 0) {
        text = g_strdup("the lease's record is gone: it was emptied while "
                        "this machine ran; this machine stopped and released "
                        "nothing more");
    } else {
        text = g_strdup_printf("\"%s\" won generation %" G_GUINT64_FORMAT
                               "; this machine, \"%s\", stopped and released "
                               "nothing more", now->owner, now->generation,
                               core->config.node);
    }
    ft_core_halt(core, FT_REASON_LEASE_LOST, ft_core_keep(core, text));
}

void ft_core_set_cause(FtCore *core)
{
    g_free(core->cause);
    core->cause = g_strdup(core->text);
    core->cause_reason = core->reason;
}

const char *ft_core_won_text(FtCore *core)
{
    return ft_core_keep(core, g_strdup_printf(
        "%s; this machine, \"%s\", won generation %" G_GUINT64_FORMAT,
        core->cause, core->config.node, core->lease.generation));
}
