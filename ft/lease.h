/*
 * The lease: who may run this VM.
 *
 * Purpose: one record per VM on storage that both machines reach, changed
 *   only by an atomic compare-and-set.  docs/states.md has the table of legal
 *   changes; docs/adr/ says why nothing else decides who runs.
 * Thread: the record functions are pure and may be called from any thread.
 *   A backend's step and read block (storage may hang), so the driver
 *   calls them from a thread that may hang with it and nothing else.
 * Ownership: the caller owns every record and the handle.
 * Units: generation counts changes of who may run, starting with 1.
 * Source: Scales, Nelson, Venkitachalam, "The Design of a Practical System
 *   for Fault-Tolerant Virtual Machines", OSR 44(4), 2010, section 2.3.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LEASE_H
#define FT_LEASE_H

#include <glib.h>

#include "iscsi-address.h"

#define FT_NODE_MAX 128             /* bytes of a node's name, with its NUL */
#define FT_LEASE_RECORD_SIZE 512    /* bytes on disk: one sector */

typedef enum FtLeaseDisks {
    FT_LEASE_DISKS_OWN = 1,         /* each side has its own copy (M22) */
    FT_LEASE_DISKS_SHARED = 2,
} FtLeaseDisks;

typedef struct FtLeaseRecord {
    guint8 vm_uuid[16];
    guint64 generation;             /* 0: there is no record yet */
    char owner[FT_NODE_MAX];
    char partner[FT_NODE_MAX];      /* "": none */
    FtLeaseDisks disks;
    guint64 nonce;                  /* names the claim that wrote the record */
} FtLeaseRecord;

typedef enum FtLeaseResult {
    FT_LEASE_WON,       /* the record is what the claim wanted, by its nonce */
    FT_LEASE_LOST,      /* somebody else changed the record first */
    FT_LEASE_UNKNOWN,   /* storage did not say; ask again with the same nonce */
} FtLeaseResult;

/* The record's bytes: little-endian, versioned, CRC32C last. */
void ft_lease_record_out(const FtLeaseRecord *rec, guint8 *sector);
/* False: *why says what is wrong with the bytes (static string). */
gboolean ft_lease_record_in(FtLeaseRecord *rec, const guint8 *sector,
                            const char **why);
gboolean ft_lease_record_equal(const FtLeaseRecord *a, const FtLeaseRecord *b);

typedef struct FtLease FtLease;
typedef struct FtLeaseOps {
    /* Blocks.  UNKNOWN: *why (g_free it) tells a person what to mend. */
    FtLeaseResult (*step)(FtLease *lease, const FtLeaseRecord *from,
                          const FtLeaseRecord *to, FtLeaseRecord *now,
                          char **why);
    /* Blocks.  Fills *now (generation 0 when storage holds no record). */
    gboolean (*read)(FtLease *lease, FtLeaseRecord *now, char **why);
    /*
     * Makes the place one without a record.  What is there already is only
     * replaced with force; with dry_run nothing is.  False: *why.
     */
    gboolean (*format)(FtLease *lease, gboolean force, gboolean dry_run,
                       char **why);
    /* Does all of a step, but leaves the record as it is.  False: *why. */
    gboolean (*verify)(FtLease *lease, FtLeaseRecord *now, char **why);
    void (*close)(FtLease *lease);
} FtLeaseOps;

struct FtLease {
    const FtLeaseOps *ops;
    char *uri;                  /* to show: passwords are *** */
};

/*
 * uri: "dir:PATH", PATH an existing directory that both machines reach, or
 * "iscsi://[user%password@]HOST[:PORT]/IQN/LUN", a LUN for this alone.
 * login: for iSCSI, what the URI does not say; may be NULL.
 * NULL on an error that waiting can't mend (unknown scheme, empty path):
 * *why (g_free it) says what to write instead.  Storage that is missing or
 * unreachable now is no such error: step and read report it.
 */
FtLease *ft_lease_open(const char *uri, const FtIscsiLogin *login,
                       char **why);
void ft_lease_close(FtLease *lease);

/*
 * One compare-and-set: the record becomes *to if it equals *from (by
 * generation, owner, partner and nonce).  *now is the record as read last,
 * valid unless the result is UNKNOWN.  Calling again with the same *to (its
 * nonce included) is how UNKNOWN is resolved; it never wins twice.
 */
FtLeaseResult ft_lease_step(FtLease *lease, const FtLeaseRecord *from,
                            const FtLeaseRecord *to, FtLeaseRecord *now,
                            char **why);
gboolean ft_lease_read(FtLease *lease, FtLeaseRecord *now, char **why);
gboolean ft_lease_format(FtLease *lease, gboolean force, gboolean dry_run,
                         char **why);
gboolean ft_lease_verify(FtLease *lease, FtLeaseRecord *now, char **why);

#endif
