/*
 * Translated blocks by virtual address.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "ft-blocks.h"
#include "ft-tcg.h"

FtBlocks ft_blocks;

void ft_blocks_activate(void)
{
    ft_blocks.active = true;
}

void ft_blocks_forget(void)
{
    memset(ft_blocks.table, 0, sizeof(ft_blocks.table));
}
