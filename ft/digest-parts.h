/*
 * What a digest of a machine is made of: registers, devices, memory.
 *
 * Thread: the main thread with BQL and replay mutex, so that the vCPU
 *   stands at one instruction.
 * Ownership: returned strings and arrays are the caller's.
 * Units: pages of 4 KiB, numbered through all memory blocks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DIGEST_PARTS_H
#define FT_DIGEST_PARTS_H

#include "qemu/osdep.h"

/* --- registers (digest-cpu.c) -------------------------------------------- */

/* The CPU's registers, as text for people. */
char *ft_digest_cpu_text(void);
/* Splits it: returns "RAX=0..", "CS =0..", ... (g_ptr_array_unref). */
GPtrArray *ft_digest_cpu_parts(const char *text);

/* --- devices (digest-devices.c) ------------------------------------------ */

typedef struct FtDigestSection {
    char *name;                 /* as migration names it; "ide/1": instance */
    uint16_t name_hash;
    uint32_t hash;
} FtDigestSection;

/* Array of FtDigestSection (g_array_unref frees all); NULL: *errp. */
GArray *ft_digest_devices(Error **errp);
/* With the bytes themselves, written to a file each below directory. */
void ft_digest_devices_dump(const char *directory);

/* --- memory (digest-ram.c) ----------------------------------------------- */

enum {
    /* So many hashes tell where written pages differ. */
    FT_DIGEST_GROUPS_MAX = 64,
    /* Pages hashed by one digest; more that were written wait their turn. */
    FT_DIGEST_WRITTEN_MAX = 4096,
    /* Pages of all memory that one digest looks at, in so many groups. */
    FT_DIGEST_SCRUB_PAGES = 2048,
    FT_DIGEST_SCRUB_GROUPS = 32,
};

typedef struct FtDigestPages {
    uint32_t count;             /* pages */
    uint32_t per_group;
    uint32_t groups[FT_DIGEST_GROUPS_MAX];      /* hashes */
    uint64_t *pages;            /* whose they are, in order; g_free */
    uint64_t *hashes;           /* of each page; g_free */
} FtDigestPages;

/* Both sides at the same instruction: what was written before counts not. */
void ft_digest_ram_begin(void);
/* Pages written since the last call, and the next ones of all memory. */
void ft_digest_ram(FtDigestPages *written, FtDigestPages *scrub);
uint64_t ft_digest_ram_full(void);
/* "pc.ram 0x7000 to 0x8fff"; (g_free). */
char *ft_digest_ram_name(uint64_t first_page, uint64_t last_page);
/* Pages of all memory. */
uint64_t ft_digest_ram_pages(void);

static inline uint32_t ft_digest_pages_groups(const FtDigestPages *p)
{
    return p->count ? DIV_ROUND_UP(p->count, p->per_group) : 0;
}

#endif
