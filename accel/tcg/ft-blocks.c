/*
 * Translated blocks by virtual address.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/madvise.h"
#include "qemu/memalign.h"
#include "qemu/units.h"
#include "cpu.h"
#include "ft-blocks.h"
#include "ft-tcg.h"

#define TABLE_SIZE (sizeof(FtBlockSet) << FT_BLOCKS_BITS)
#define HUGE_PAGE (2 * MiB)

FtBlocks ft_blocks;

void ft_blocks_activate(void)
{
    QEMU_BUILD_BUG_ON(TABLE_SIZE > HUGE_PAGE);
    ft_blocks.sets = qemu_memalign(HUGE_PAGE, HUGE_PAGE);
    /* One entry of the host's TLB instead of many; it works without. */
    (void)qemu_madvise(ft_blocks.sets, HUGE_PAGE, QEMU_MADV_HUGEPAGE);
    ft_blocks_forget();
}

void ft_blocks_keep(FtBlockSet *set, vaddr pc, tb_page_addr_t phys,
                    TranslationBlock *tb)
{
    uintptr_t address = (uintptr_t)tb;
    tb_page_addr_t page = phys >> TARGET_PAGE_BITS;

    if (!ft_blocks.base) {
        /* One buffer holds all blocks, and is smaller than that. */
        ft_blocks.base = address - MIN(address, UINT32_MAX / 2);
    }
    if (address <= ft_blocks.base ||
        address - ft_blocks.base > UINT32_MAX || page > UINT32_MAX) {
        return;
    }
    memmove(&set->ways[1], &set->ways[0],
            (FT_BLOCKS_WAYS - 1) * sizeof(set->ways[0]));
    set->ways[0] = (FtBlock) { pc, address - ft_blocks.base, page };
}

void ft_blocks_forget(void)
{
    if (ft_blocks.sets) {
        memset(ft_blocks.sets, 0, TABLE_SIZE);
    }
}
