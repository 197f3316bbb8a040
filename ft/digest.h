/*
 * Digests of what a machine is.
 *
 * Thread: the main thread with BQL and replay mutex, so that the vCPU
 *   stands at one instruction.
 * Ownership: returned strings are the caller's (g_free).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DIGEST_H
#define FT_DIGEST_H

#include "system/block-backend.h"

/* The CPU's registers, as text for people and for ft_digest_bytes(). */
char *ft_digest_cpu_text(void);
char *ft_digest_ram(void);
char *ft_digest_bytes(const void *data, size_t size);
/* NULL and *errp when the file or the disk can't be read. */
char *ft_digest_file(const char *path, Error **errp);
char *ft_digest_disk(BlockBackend *blk, Error **errp);

#endif
