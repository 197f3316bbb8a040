/*
 * The options that say where the lease is and how to log in to it:
 * lease=, lease-user=, lease-secret=, lease-target-user=,
 * lease-target-secret=, lease-initiator=.
 *
 * Thread: the main thread, before the machine runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_CLAIM_OPTIONS_H
#define FT_CLAIM_OPTIONS_H

#include "lease.h"
#include "qemu/option.h"

#define FT_CLAIM_OPTIONS \
    { .name = "lease", .type = QEMU_OPT_STRING }, \
    { .name = "lease-user", .type = QEMU_OPT_STRING }, \
    { .name = "lease-secret", .type = QEMU_OPT_STRING }, \
    { .name = "lease-target-user", .type = QEMU_OPT_STRING }, \
    { .name = "lease-target-secret", .type = QEMU_OPT_STRING }, \
    { .name = "lease-initiator", .type = QEMU_OPT_STRING }

/* The lease's URI as it may be shown.  Exits with a message when wrong. */
char *ft_claim_options_parse(QemuOpts *opts);
/* When objects (secrets) exist.  False: *errp. */
bool ft_claim_options_resolve(Error **errp);
/* The lease, the caller's from then on. */
FtLease *ft_claim_options_lease(void);

#endif
