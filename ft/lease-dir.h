/*
 * The lease backend for a directory: "dir:PATH".  See lease-dir.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LEASE_DIR_H
#define FT_LEASE_DIR_H

#include "lease.h"

/* NULL only for an empty path: *why (g_free it) says what to write. */
FtLease *ft_lease_dir_open(const char *path, char **why);

#endif
