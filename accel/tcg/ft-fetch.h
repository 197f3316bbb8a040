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
 * So what counts as a fetch is defined by the guest alone: the TLB is asked
 * when execution enters a page (or another privilege level, or the TLB was
 * flushed), and for the second page each time an instruction crosses into
 * it.  Within a page what was found then holds; a processor may keep a
 * translation until it is invalidated (Intel SDM volume 3, chapter "Caching
 * Translation Information").  Blocks are chained without a look-up within a
 * page only, and a block with an instruction that crosses a page has only
 * that one, so no chain and no end of a slice can hide an entry.
 *
 * Thread: the vCPU's.  No locks.  Without -ft nothing changes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ACCEL_TCG_FT_FETCH_H
#define ACCEL_TCG_FT_FETCH_H

#include "exec/exec-all.h"
#include "exec/translation-block.h"

typedef struct FtFetch {
    bool active;
    bool valid;
    CPUState *cpu;
    vaddr page;             /* of the fetch; its low bits say in which mode */
    tb_page_addr_t phys;    /* of the page's first byte */
    uint8_t *host;
} FtFetch;

extern FtFetch ft_fetch;

static inline vaddr ft_fetch_key(vaddr pc, uint32_t flags)
{
    vaddr mode = 0;

#ifdef TARGET_I386
    mode = (flags & HF_CPL_MASK) | (flags & HF_SMM_MASK ? 4 : 0);
#endif
    return (pc & TARGET_PAGE_MASK) | mode;
}

/* Asks the TLB; may raise the guest's page fault, and then not return. */
void ft_fetch_enter(CPUState *cpu, vaddr pc, vaddr key);
bool ft_fetch_cross(CPUState *cpu, const TranslationBlock *tb, vaddr pc);

/*
 * Execution goes on at @pc.  @tb: what a cache of blocks by virtual address
 * has there, or NULL.  Returns @tb, or NULL if it is of another page than the
 * one that was fetched.
 */
static inline TranslationBlock *
ft_fetch_at(CPUState *cpu, vaddr pc, uint32_t flags, TranslationBlock *tb)
{
    vaddr key;

    if (!ft_fetch.active) {
        return tb;
    }
    key = ft_fetch_key(pc, flags);
    if (unlikely(!ft_fetch.valid || ft_fetch.page != key ||
                 ft_fetch.cpu != cpu)) {
        ft_fetch_enter(cpu, pc, key);
    }
    if (tb && ft_fetch.valid &&
        tb->page_addr[0] != ft_fetch.phys + (pc & ~TARGET_PAGE_MASK)) {
        return NULL;
    }
    return tb;
}

/*
 * @tb is about to run at @pc.  False if it was translated from another second
 * page than there is now.
 */
static inline bool
ft_fetch_second(CPUState *cpu, const TranslationBlock *tb, vaddr pc)
{
    return likely(tb->page_addr[1] == -1) || !ft_fetch.active ||
        ft_fetch_cross(cpu, tb, pc);
}

/*
 * The physical address of code at @addr, if the fetch has it: then *@phys
 * and, unless @host is NULL, *@host are set.
 */
static inline bool ft_fetch_has(CPUState *cpu, vaddr addr,
                                tb_page_addr_t *phys, void **host)
{
    vaddr offset = addr & ~TARGET_PAGE_MASK;

    if (!ft_fetch.valid || ft_fetch.cpu != cpu ||
        ((ft_fetch.page ^ addr) & TARGET_PAGE_MASK)) {
        return false;
    }
    *phys = ft_fetch.phys + offset;
    if (host) {
        *host = ft_fetch.host + offset;
    }
    return true;
}

/* Part of the TLB was flushed. */
static inline void ft_fetch_flushed(void)
{
    ft_fetch.valid = false;
}

#endif
