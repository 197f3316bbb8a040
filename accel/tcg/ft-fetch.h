/*
 * Instruction fetch as a pure function of the guest's instructions.
 *
 * A walk through the guest's page tables marks entries as accessed, and a
 * TLB's contents decide when there is a walk; so both sides of a pair must
 * miss their TLBs at the same instructions.  For data they do.  For code,
 * TCG looks at the TLB when its caches of translated blocks miss, and these
 * depend on where slices end, which blocks were chained and when the code
 * buffer was full: on the host.
 *
 * So what counts as a fetch is defined by the guest alone.  Beside the TLB
 * there is a small one for code, as in a processor, and it is asked when
 * execution enters a page or another privilege level, and for the second page
 * each time an instruction crosses into it.  What it does not have comes from
 * the TLB; any flush of that empties it.  Blocks are chained without a
 * look-up within a page only, and a block with an instruction that crosses
 * into another page has only that one, so no chain and no end of a slice can
 * hide an entry.  (A processor may keep a translation until it is
 * invalidated: Intel SDM volume 3, "Caching Translation Information".)
 *
 * Thread: the vCPU's.  No locks.  Without -ft nothing changes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ACCEL_TCG_FT_FETCH_H
#define ACCEL_TCG_FT_FETCH_H

#include "exec/exec-all.h"
#include "exec/translation-block.h"

/* Pages; more than a guest executes between two flushes. */
#define FT_FETCH_ENTRIES 256

typedef struct FtFetchEntry {
    vaddr key;              /* page and mode */
    uint64_t generation;    /* valid if it is the present one */
    CPUState *cpu;
    tb_page_addr_t phys;    /* of the page's first byte */
    uint8_t *host;
} FtFetchEntry;

typedef struct FtFetch {
    uint64_t generation;    /* flushes, from 1 */
    FtFetchEntry entries[FT_FETCH_ENTRIES];
} FtFetch;

extern FtFetch ft_fetch;

/* @flags: a block's, or ft_fetch_flags(). */
static inline vaddr ft_fetch_key(vaddr pc, uint32_t flags)
{
    vaddr mode = 0;

#ifdef TARGET_I386
    mode = (flags & HF_CPL_MASK) | (flags & HF_SMM_MASK ? 4 : 0);
#endif
    return (pc & TARGET_PAGE_MASK) | mode;
}

/* What of the CPU's state ft_fetch_key() looks at. */
static inline uint32_t ft_fetch_flags(CPUArchState *env)
{
#ifdef TARGET_I386
    return env->hflags;
#else
    return 0;
#endif
}

static inline FtFetchEntry *ft_fetch_entry(vaddr pc)
{
    return &ft_fetch.entries[(pc >> TARGET_PAGE_BITS) % FT_FETCH_ENTRIES];
}

static inline bool ft_fetch_is(const FtFetchEntry *entry, CPUState *cpu,
                               vaddr key)
{
    return entry->key == key && entry->cpu == cpu &&
        entry->generation == ft_fetch.generation;
}

/* Asks the TLB.  False: there is no memory.  May not return, as below. */
bool ft_fetch_enter(FtFetchEntry *entry, CPUState *cpu, vaddr pc, vaddr key);

/*
 * Execution goes on at @pc.  Returns the physical address there, or -1: there
 * is no memory.  May raise the guest's page fault, and then does not return.
 */
static inline tb_page_addr_t ft_fetch_at(CPUState *cpu, vaddr pc,
                                         uint32_t flags)
{
    FtFetchEntry *entry = ft_fetch_entry(pc);
    vaddr key = ft_fetch_key(pc, flags);

    if (unlikely(!ft_fetch_is(entry, cpu, key)) &&
        !ft_fetch_enter(entry, cpu, pc, key)) {
        return -1;
    }
    return entry->phys + (pc & ~TARGET_PAGE_MASK);
}

/*
 * The physical address of code at @addr, if it was fetched: then *@phys and,
 * unless @host is NULL, *@host are set.
 */
static inline bool ft_fetch_has(CPUState *cpu, vaddr addr, uint32_t flags,
                                tb_page_addr_t *phys, void **host)
{
    const FtFetchEntry *entry = ft_fetch_entry(addr);
    vaddr offset = addr & ~TARGET_PAGE_MASK;

    if (!ft_fetch_is(entry, cpu, ft_fetch_key(addr, flags))) {
        return false;
    }
    *phys = entry->phys + offset;
    if (host) {
        *host = entry->host + offset;
    }
    return true;
}

/* Part of the TLB was flushed. */
static inline void ft_fetch_flushed(void)
{
    ft_fetch.generation++;
}

#endif
