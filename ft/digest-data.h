/*
 * A digest in memory and in the log.
 *
 * Purpose: the bytes of a digest entry, and what two digests differ in.
 * Thread: any; nothing here keeps state.
 * Ownership: ft_digest_data_free() frees what a digest points to.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DIGEST_DATA_H
#define FT_DIGEST_DATA_H

#include "digest-parts.h"

typedef struct FtDigestData {
    uint32_t number;            /* counts from 1 in each session */
    uint64_t icount;
    uint64_t log;               /* hash of the log since the last digest */
    uint64_t cpu;               /* hash of all registers */
    GArray *registers;          /* uint16_t, a hash of each part */
    GArray *sections;           /* FtDigestSection; of a log without names */
    FtDigestPages written, scrub;       /* of a log without hashes of pages */
    bool has_full;
    uint64_t full;              /* hash of all memory */

    /* Own digests only. */
    char *cpu_text;
    GPtrArray *register_texts;
} FtDigestData;

void ft_digest_data_free(FtDigestData *data);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FtDigestData, ft_digest_data_free)

GByteArray *ft_digest_data_out(const FtDigestData *data);
/* NULL: *why (static) says what is wrong. */
FtDigestData *ft_digest_data_in(const uint8_t *bytes, size_t size,
                                const char **why);
/*
 * What differs, a line each, the first thing first; empty: nothing.  mine
 * has the names.
 */
char *ft_digest_data_differences(const FtDigestData *mine,
                                 const FtDigestData *theirs);
/* For people, and to compare two of them by diff. */
char *ft_digest_data_text(const FtDigestData *data);

#endif
