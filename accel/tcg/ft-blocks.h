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

#define FT_BLOCKS_BITS 13
#define FT_BLOCKS_WAYS 4
/* Bytes of code whose blocks share a set. */
#define FT_BLOCKS_REGION_BITS 5

/*
 * A look-up is mostly the wait for a cache line, so a set is one, and entries
 * are small: a block by its distance from the others, its page by number.
 */
typedef struct FtBlock {
    vaddr pc;
    uint32_t distance;          /* bytes from ft_blocks.base; 0: no block */
    uint32_t page;              /* physical */
} FtBlock;

typedef struct FtBlockSet {
    FtBlock ways[FT_BLOCKS_WAYS];       /* the newest first */
} FtBlockSet;

typedef struct FtBlocks {
    FtBlockSet *sets;           /* NULL: upstream's cache is used */
    uintptr_t base;
} FtBlocks;

extern FtBlocks ft_blocks;

/* Searches by physical address. */
typedef TranslationBlock *FtBlockSearch(CPUState *cpu, vaddr pc,
                                        uint64_t cs_base, uint32_t flags,
                                        uint32_t cflags);

static inline bool ft_blocks_active(void)
{
    return ft_blocks.sets;
}

static inline FtBlockSet *ft_blocks_set(vaddr pc)
{
    vaddr region = pc >> FT_BLOCKS_REGION_BITS;

    return &ft_blocks.sets[(region ^ (region >> FT_BLOCKS_BITS)) &
                           ((1 << FT_BLOCKS_BITS) - 1)];
}

/* Those of two pages are searched each time: there are few. */
void ft_blocks_keep(FtBlockSet *set, vaddr pc, tb_page_addr_t phys,
                    TranslationBlock *tb);

/*
 * The block to execute at @pc, or NULL: it has to be translated.  May raise
 * the guest's page fault, and then does not return.
 */
static inline TranslationBlock *
ft_blocks_find(CPUState *cpu, vaddr pc, uint64_t cs_base, uint32_t flags,
               uint32_t cflags, FtBlockSearch *search)
{
    FtBlockSet *set = ft_blocks_set(pc);
    tb_page_addr_t phys = ft_fetch_at(cpu, pc, flags);
    TranslationBlock *tb;

    for (int i = 0; i < FT_BLOCKS_WAYS; i++) {
        const FtBlock *block = &set->ways[i];

        if (block->pc == pc && block->distance &&
            block->page == phys >> TARGET_PAGE_BITS) {
            tb = (TranslationBlock *)(ft_blocks.base + block->distance);
            /* One that was invalidated has a flag that nobody asks for. */
            if (likely(tb->cs_base == cs_base && tb->flags == flags &&
                       tb_cflags(tb) == cflags)) {
                return tb;
            }
        }
    }
    tb = phys == -1 ? NULL : search(cpu, pc, cs_base, flags, cflags);
    if (tb && tb->page_addr[1] == -1) {
        ft_blocks_keep(set, pc, phys, tb);
    }
    return tb;
}

/* The memory of all blocks will be used again. */
void ft_blocks_forget(void);

#endif
