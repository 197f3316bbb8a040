/*
 * A primary's start: the record says whether this machine may run the VM.
 *
 * No record: a new VM, if a person says so.  Else a cold start, by the owner
 * or by its partner: with disks of their own both have valid copies, the
 * partner's being what it had executed; a shared disk is valid for both.
 * Only the owner may go from the one kind of disks to the other, since it is
 * a person's copying that makes the new disk what the old one was.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "core-internal.h"

static const char *disks_name(FtLeaseDisks disks)
{
    return disks == FT_LEASE_DISKS_SHARED ? "shared" : "own";
}

static char *not_new_text(const FtLeaseRecord *rec)
{
    return g_strdup_printf("new=on, but the lease holds a record: "
                           "generation %" G_GUINT64_FORMAT ", run by "
                           "\"%s\"; leave new=on out, or give a new VM a "
                           "lease of its own", rec->generation, rec->owner);
}

static char *stranger_text(const FtLeaseRecord *rec, const char *node)
{
    return g_strdup_printf("the lease says that \"%s\" ran this VM last, "
                           "and this machine is \"%s\": its disks may be "
                           "old. Start the VM on \"%s\"; if that is this "
                           "machine, with node=%s", rec->owner, node,
                           rec->owner, rec->owner);
}

static char *other_disks_text(const FtCore *core)
{
    const FtLeaseRecord *rec = &core->lease;

    return g_strdup_printf("the lease says that the VM ran with disks=%s, "
                           "and this machine was started with disks=%s; only "
                           "\"%s\", which ran it last, may change that",
                           disks_name(rec->disks),
                           disks_name(core->config.disks), rec->owner);
}

/* Why this machine must not run the VM; NONE: it may. */
static FtReason refusal(const FtCore *core, char **text)
{
    const FtLeaseRecord *rec = &core->lease;
    const char *node = core->config.node;

    if (rec->generation == 0) {
        return core->config.new_vm ? FT_REASON_NONE : FT_REASON_LEASE_NEW;
    }
    if (memcmp(rec->vm_uuid, core->config.vm_uuid, sizeof(rec->vm_uuid))) {
        return FT_REASON_LEASE_OTHER_VM;
    }
    if (core->config.new_vm) {
        *text = not_new_text(rec);
        return FT_REASON_LEASE_NOT_NEW;
    }
    if (!strcmp(rec->owner, node)) {
        return FT_REASON_NONE;
    }
    if (strcmp(rec->partner, node)) {
        *text = stranger_text(rec, node);
        return FT_REASON_LEASE_NOT_ELIGIBLE;
    }
    if (rec->disks != core->config.disks) {
        *text = other_disks_text(core);
        return FT_REASON_LEASE_NOT_ELIGIBLE;
    }
    return FT_REASON_NONE;
}

void ft_core_start_on_record(FtCore *core)
{
    char *text = NULL;
    FtReason reason = refusal(core, &text);

    ft_core_keep(core, text);
    if (reason == FT_REASON_NONE) {
        ft_core_lease_step(core, FT_CLAIM_START, 1, core->config.node, "");
    } else {
        ft_core_halt(core, reason, text);
    }
}
