/*
 * Instruction fetch as a pure function of the guest's instructions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "cpu.h"
#include "ft-fetch.h"
#include "ft-tcg.h"

FtFetch ft_fetch = { .generation = 1 };

bool ft_fetch_enter(FtFetchEntry *entry, CPUState *cpu, vaddr pc, vaddr key)
{
    vaddr offset = pc & ~TARGET_PAGE_MASK;
    void *host = NULL;
    tb_page_addr_t phys;

    entry->generation = 0;      /* so that nobody is told what it was */
    phys = get_page_addr_code_hostp(cpu_env(cpu), pc, &host);
    if (phys == -1) {
        return false;
    }
    entry->key = key;
    entry->cpu = cpu;
    entry->phys = phys - offset;
    entry->host = (uint8_t *)host - offset;
    /* The walk may have flushed. */
    entry->generation = ft_fetch.generation;
    return true;
}
