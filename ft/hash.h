/*
 * Hashes of what two machines are compared by: XXH3, equal on every host.
 * They find what differs by mistake, not by malice.
 *
 * Thread: any; ft_hash_disk() in the main thread.
 * Ownership: returned strings are the caller's (g_free).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_HASH_H
#define FT_HASH_H

#include "qemu/typedefs.h"

uint64_t ft_hash64(const void *data, size_t size);
/* The same of what comes in parts. */
typedef struct FtHash FtHash;
FtHash *ft_hash_new(void);
void ft_hash_update(FtHash *hash, const void *data, size_t size);
/* Returns the hash so far, and begins anew. */
uint64_t ft_hash_take(FtHash *hash);
/* 128 bits, in hexadecimal. */
char *ft_hash_bytes(const void *data, size_t size);
/* NULL and *errp when the file or the disk can't be read. */
char *ft_hash_file(const char *path, Error **errp);
char *ft_hash_disk(BlockBackend *blk, Error **errp);

#endif
