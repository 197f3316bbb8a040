/*
 * 32-bit paging: the first 16 MiB as they are, and the ROM.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_PAGING_H
#define ROM_PAGING_H

#include <stdint.h>

enum {
    PAGING_PAGE = 4096,
    PAGING_ENTRIES = 1024,              /* of a table */
    PAGING_TABLES = 4,

    PAGING_PRESENT = 1 << 0,
    PAGING_WRITABLE = 1 << 1,
    PAGING_ACCESSED = 1 << 5,
    PAGING_LARGE = 1 << 7,
    PAGING_USUAL = PAGING_PRESENT | PAGING_WRITABLE,
};

extern uint32_t paging_tables[PAGING_TABLES][PAGING_ENTRIES];

void paging_on(void);
/* Forgets all translations. */
void paging_flush(void);

static inline uint32_t *paging_entry(uint32_t address)
{
    uint32_t page = address / PAGING_PAGE;

    return &paging_tables[page / PAGING_ENTRIES][page % PAGING_ENTRIES];
}

#endif
