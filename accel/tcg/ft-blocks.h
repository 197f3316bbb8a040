/*
 * Translated blocks by virtual address.
 *
 * Upstream's cache of them is emptied when the guest changes its address
 * space and when any block is invalidated, and then each block is searched
 * by its physical address: half of what switching between processes costs.
 * Here each look-up knows the physical page that is fetched (ft-fetch.h) and
 * compares it with the block's, and a block that was invalidated says so; so
 * entries stay until the buffer of blocks itself is emptied.
 *
 * What is in this cache is the host's affair and has no effect on the guest.
 *
 * Thread: the vCPU's; ft_blocks_forget() also while it stands still.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ACCEL_TCG_FT_BLOCKS_H
#define ACCEL_TCG_FT_BLOCKS_H

#include "ft-fetch.h"

#define FT_BLOCKS_BITS 16

typedef struct FtBlock {
    vaddr pc;
    tb_page_addr_t phys;
    tb_page_addr_t second;      /* of an instruction's second page, or -1 */
    TranslationBlock *tb;       /* NULL: none */
} FtBlock;

typedef struct FtBlocks {
    bool active;
    FtBlock table[1 << FT_BLOCKS_BITS];
} FtBlocks;

extern FtBlocks ft_blocks;

/* Searches by physical address. */
typedef TranslationBlock *FtBlockSearch(CPUState *cpu, vaddr pc,
                                        uint64_t cs_base, uint32_t flags,
                                        uint32_t cflags);

static inline bool ft_blocks_active(void)
{
    return ft_blocks.active;
}

static inline FtBlock *ft_blocks_entry(vaddr pc)
{
    return &ft_blocks.table[(pc ^ (pc >> FT_BLOCKS_BITS)) &
                            ((1 << FT_BLOCKS_BITS) - 1)];
}

/*
 * The block to execute at @pc, or NULL: it has to be translated.  May raise
 * the guest's page fault, and then does not return.
 */
static inline TranslationBlock *
ft_blocks_find(CPUState *cpu, vaddr pc, uint64_t cs_base, uint32_t flags,
               uint32_t cflags, FtBlockSearch *search)
{
    tb_page_addr_t phys = ft_fetch_at(cpu, pc, flags);
    FtBlock *entry = ft_blocks_entry(pc);
    TranslationBlock *tb = entry->tb;

    /* A block that was invalidated has a flag that nobody asks for. */
    if (likely(tb && entry->pc == pc && entry->phys == phys &&
               tb->cs_base == cs_base && tb->flags == flags &&
               tb_cflags(tb) == cflags) &&
        (likely(entry->second == -1) ||
         entry->second == ft_fetch_second(cpu, pc))) {
        return tb;
    }
    tb = phys == -1 ? NULL : search(cpu, pc, cs_base, flags, cflags);
    if (tb) {
        *entry = (FtBlock) { pc, phys, tb->page_addr[1], tb };
    }
    return tb;
}

/* The memory of all blocks will be used again. */
void ft_blocks_forget(void);

#endif
