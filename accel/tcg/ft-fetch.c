/*
 * Instruction fetch as a pure function of the guest's instructions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "ft-fetch.h"
#include "ft-tcg.h"

FtFetch ft_fetch;

void ft_fetch_activate(void)
{
    ft_fetch.active = true;
}

void ft_fetch_enter(CPUState *cpu, vaddr pc, vaddr key)
{
    vaddr offset = pc & ~TARGET_PAGE_MASK;
    void *host = NULL;
    tb_page_addr_t phys;

    ft_fetch.valid = false;
    phys = get_page_addr_code_hostp(cpu_env(cpu), pc, &host);
    if (phys == -1) {
        return;                 /* no memory: asked for each block */
    }
    ft_fetch.cpu = cpu;
    ft_fetch.page = key;
    ft_fetch.phys = phys - offset;
    ft_fetch.host = (uint8_t *)host - offset;
    ft_fetch.valid = true;
}

bool ft_fetch_cross(CPUState *cpu, const TranslationBlock *tb, vaddr pc)
{
    vaddr second = (pc & TARGET_PAGE_MASK) + TARGET_PAGE_SIZE;

    return get_page_addr_code(cpu_env(cpu), second) == tb->page_addr[1];
}
