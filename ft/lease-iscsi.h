/*
 * The lease backend for an iSCSI LUN.  See lease-iscsi.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LEASE_ISCSI_H
#define FT_LEASE_ISCSI_H

#include "lease.h"

typedef enum FtLeaseMethod {
    FT_LEASE_METHOD_ANY,            /* a real command tells */
    FT_LEASE_METHOD_COMPARE,        /* COMPARE AND WRITE */
    FT_LEASE_METHOD_RESERVE,        /* read and write under a reservation */
    /* Not atomic, to show that the check of a target finds it. */
    FT_LEASE_METHOD_BARE,           /* read and write */
    FT_LEASE_METHOD_RASH,           /* RESERVE, but what the one before us had
                                       sent is not waited for */
} FtLeaseMethod;

/* NULL only for what is no address: *why (g_free it) says what to write. */
FtLease *ft_lease_iscsi_open(const char *uri, const FtIscsiLogin *login,
                             char **why);

/* For the check of a target; before the first step. */
void ft_lease_iscsi_force(FtLease *lease, FtLeaseMethod method);
/* What the target made us use; ANY: no step has been made. */
FtLeaseMethod ft_lease_iscsi_method(const FtLease *lease);

#endif
