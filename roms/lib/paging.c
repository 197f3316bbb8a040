/*
 * 32-bit paging (Intel SDM volume 3, chapter "Paging").
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "paging.h"

enum {
    CR0_PAGING = 1u << 31,
    CR4_LARGE_PAGES = 1 << 4,
    TABLE_BYTES = PAGING_ENTRIES * PAGING_PAGE,
};

uint32_t paging_tables[PAGING_TABLES][PAGING_ENTRIES]
    __attribute__((aligned(PAGING_PAGE)));
static uint32_t directory[PAGING_ENTRIES] __attribute__((aligned(PAGING_PAGE)));

void paging_flush(void)
{
    __asm__ volatile("movl %0, %%cr3" : : "r"(directory) : "memory");
}

void paging_on(void)
{
    uint32_t control;
    unsigned i;

    for (i = 0; i < PAGING_TABLES * PAGING_ENTRIES; i++) {
        *paging_entry(i * PAGING_PAGE) = i * PAGING_PAGE | PAGING_USUAL;
    }
    for (i = 0; i < PAGING_TABLES; i++) {
        directory[i] = (uintptr_t)paging_tables[i] | PAGING_USUAL;
    }
    /* This ROM. */
    directory[PAGING_ENTRIES - 1] =
        (PAGING_ENTRIES - 1) * (uint32_t)TABLE_BYTES
        | PAGING_PRESENT | PAGING_LARGE;
    __asm__ volatile("movl %%cr4, %0" : "=r"(control));
    __asm__ volatile("movl %0, %%cr4" : : "r"(control | CR4_LARGE_PAGES));
    paging_flush();
    __asm__ volatile("movl %%cr0, %0" : "=r"(control));
    __asm__ volatile("movl %0, %%cr0" : : "r"(control | CR0_PAGING) : "memory");
}
