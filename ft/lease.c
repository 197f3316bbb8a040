/*
 * The lease record's bytes, and the choice of a backend by its URI.
 *
 * See lease.h.  The offsets below are the format on disk; changing one means
 * a new RECORD_VERSION.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "bytes.h"
#include "lease.h"
#include "lease-dir.h"
#include "lease-iscsi.h"
#include "wire.h"

#define RECORD_MAGIC 0x4c544651u        /* "QFTL" as bytes */
#define RECORD_VERSION 1

enum {
    RECORD_MAGIC_AT = 0,                /* u32 */
    RECORD_VERSION_AT = 4,              /* u32 */
    RECORD_UUID_AT = 8,                 /* 16 bytes */
    RECORD_GENERATION_AT = 24,          /* u64 */
    RECORD_NONCE_AT = 32,               /* u64 */
    RECORD_DISKS_AT = 40,               /* u32 */
    RECORD_OWNER_AT = 64,               /* text, padded with zeros */
    RECORD_PARTNER_AT = RECORD_OWNER_AT + FT_NODE_MAX,
    RECORD_CRC_AT = FT_LEASE_RECORD_SIZE - 4, /* u32; all else is 0 */
};

G_STATIC_ASSERT(RECORD_PARTNER_AT + FT_NODE_MAX <= RECORD_CRC_AT);

void ft_lease_record_out(const FtLeaseRecord *rec, guint8 *sector)
{
    memset(sector, 0, FT_LEASE_RECORD_SIZE);
    ft_put32(sector + RECORD_MAGIC_AT, RECORD_MAGIC);
    ft_put32(sector + RECORD_VERSION_AT, RECORD_VERSION);
    memcpy(sector + RECORD_UUID_AT, rec->vm_uuid, sizeof(rec->vm_uuid));
    ft_put64(sector + RECORD_GENERATION_AT, rec->generation);
    ft_put64(sector + RECORD_NONCE_AT, rec->nonce);
    ft_put32(sector + RECORD_DISKS_AT, rec->disks);
    g_strlcpy((char *)sector + RECORD_OWNER_AT, rec->owner, FT_NODE_MAX);
    g_strlcpy((char *)sector + RECORD_PARTNER_AT, rec->partner, FT_NODE_MAX);
    ft_put32(sector + RECORD_CRC_AT, ft_wire_crc32c(0, sector, RECORD_CRC_AT));
}

gboolean ft_lease_record_in(FtLeaseRecord *rec, const guint8 *sector,
                            const char **why)
{
    guint32 disks = ft_get32(sector + RECORD_DISKS_AT);

    if (ft_get32(sector + RECORD_MAGIC_AT) != RECORD_MAGIC) {
        *why = "it is no lease record";
        return FALSE;
    }
    if (ft_get32(sector + RECORD_CRC_AT) !=
        ft_wire_crc32c(0, sector, RECORD_CRC_AT)) {
        *why = "its checksum is wrong";
        return FALSE;
    }
    if (ft_get32(sector + RECORD_VERSION_AT) != RECORD_VERSION) {
        *why = "it was written by another version of this program";
        return FALSE;
    }
    if ((disks != FT_LEASE_DISKS_OWN && disks != FT_LEASE_DISKS_SHARED) ||
        ft_get64(sector + RECORD_GENERATION_AT) == 0 ||
        sector[RECORD_OWNER_AT] == 0 ||
        sector[RECORD_OWNER_AT + FT_NODE_MAX - 1] != 0 ||
        sector[RECORD_PARTNER_AT + FT_NODE_MAX - 1] != 0) {
        *why = "a field of it has an impossible value";
        return FALSE;
    }
    memset(rec, 0, sizeof(*rec));
    memcpy(rec->vm_uuid, sector + RECORD_UUID_AT, sizeof(rec->vm_uuid));
    rec->generation = ft_get64(sector + RECORD_GENERATION_AT);
    rec->nonce = ft_get64(sector + RECORD_NONCE_AT);
    rec->disks = disks;
    memcpy(rec->owner, sector + RECORD_OWNER_AT, FT_NODE_MAX);
    memcpy(rec->partner, sector + RECORD_PARTNER_AT, FT_NODE_MAX);
    return TRUE;
}

/* Two empty records are equal whatever their other fields hold. */
gboolean ft_lease_record_equal(const FtLeaseRecord *a, const FtLeaseRecord *b)
{
    if (a->generation == 0 && b->generation == 0) {
        return TRUE;
    }
    return a->generation == b->generation && a->nonce == b->nonce &&
           a->disks == b->disks &&
           !memcmp(a->vm_uuid, b->vm_uuid, sizeof(a->vm_uuid)) &&
           !strcmp(a->owner, b->owner) && !strcmp(a->partner, b->partner);
}

FtLease *ft_lease_open(const char *uri, const FtIscsiLogin *login, char **why)
{
    FtLease *lease = NULL;
    char *shown = ft_iscsi_mask(uri);

    if (g_str_has_prefix(uri, "dir:")) {
        lease = ft_lease_dir_open(uri + strlen("dir:"), why);
    } else if (ft_iscsi_is_uri(uri)) {
        lease = ft_lease_iscsi_open(uri, login, why);
    } else {
        *why = g_strdup_printf("lease=%s: unknown kind of lease; write "
                               "lease=iscsi://HOST[:PORT]/IQN/LUN, a LUN for "
                               "this alone, or lease=dir:PATH, PATH a "
                               "directory that both machines reach", shown);
    }
    if (!lease) {
        g_free(shown);
        return NULL;
    }
    lease->uri = shown;
    return lease;
}

void ft_lease_close(FtLease *lease)
{
    if (lease) {
        g_free(lease->uri);
        lease->ops->close(lease);
    }
}

FtLeaseResult ft_lease_step(FtLease *lease, const FtLeaseRecord *from,
                            const FtLeaseRecord *to, FtLeaseRecord *now,
                            char **why)
{
    *why = NULL;
    memset(now, 0, sizeof(*now));
    return lease->ops->step(lease, from, to, now, why);
}

gboolean ft_lease_read(FtLease *lease, FtLeaseRecord *now, char **why)
{
    *why = NULL;
    memset(now, 0, sizeof(*now));
    return lease->ops->read(lease, now, why);
}

gboolean ft_lease_format(FtLease *lease, gboolean force, gboolean dry_run,
                         char **why)
{
    *why = NULL;
    return lease->ops->format(lease, force, dry_run, why);
}

gboolean ft_lease_verify(FtLease *lease, FtLeaseRecord *now, char **why)
{
    *why = NULL;
    memset(now, 0, sizeof(*now));
    return lease->ops->verify(lease, now, why);
}
