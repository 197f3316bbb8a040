/*
 * Watches when the processor reads the page tables: calls code in many pages,
 * reads data that shares their TLB entries, looks which entries were marked
 * as accessed and clears the marks without invalidating anything.
 *
 * Prints "accessed 000001 1a2b3c4d": the number, and a checksum over all marks
 * so far.  Which marks there are depends on each single miss of the TLB.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>

#include "lib/dice.h"
#include "lib/irq.h"
#include "lib/memory.h"
#include "lib/paging.h"
#include "lib/pit.h"
#include "lib/print.h"
#include "lib/runtime.h"

enum {
    MIB = 1 << 20,
    CODE_AT = 4 * MIB,
    CODE_PAGES = 96,
    DATA_AT = 8 * MIB,
    DATA_PAGES = 2048,
    CALLS_PER_LOOK = 200,
    LOOKS_PER_LINE = 50,
    LOOKS_PER_FLUSH = 3,
};

/* A loop, so that a slice often ends in here; then eax + 1. */
static const uint8_t stub[] = {
    0xb9, 0x09, 0x00, 0x00, 0x00,       /*    mov $9, %ecx */
    0x83, 0xe9, 0x01,                   /* 1: sub $1, %ecx */
    0x75, 0xfb,                         /*    jnz 1b */
    0x83, 0xc0, 0x01,                   /*    add $1, %eax */
    0xc3,                               /*    ret */
};

static uint32_t checksum = 1;

static uint32_t call(uint32_t page, uint32_t value)
{
    uint32_t at = CODE_AT + page * PAGING_PAGE;

    __asm__ volatile("call *%1" : "+a"(value) : "d"(at) : "ecx", "memory");
    return value;
}

static void look(void)
{
    uint32_t *entry = paging_entry(CODE_AT);
    unsigned i;

    for (i = 0; i < CODE_PAGES; i++) {
        checksum = (checksum << 5 | checksum >> 27) ^
                   (entry[i] & PAGING_ACCESSED ? 0x9e3779b9 + i : 0);
        entry[i] &= ~PAGING_ACCESSED;
    }
}

void rom_main(void)
{
    uint32_t value = 0, looks = 0;
    unsigned i;

    for (i = 0; i < CODE_PAGES; i++) {
        memcpy((void *)(CODE_AT + i * PAGING_PAGE), stub, sizeof(stub));
    }
    paging_on();
    pit_init();
    for (;;) {
        irq_on();
        for (i = 0; i < CALLS_PER_LOOK; i++) {
            value = call(dice_throw(CODE_PAGES), value);
            value += *(volatile uint8_t *)
                (DATA_AT + dice_throw(DATA_PAGES) * PAGING_PAGE);
        }
        irq_off();
        look();
        looks++;
        if (looks % LOOKS_PER_FLUSH == 0) {
            paging_flush();
        }
        if (looks % LOOKS_PER_LINE == 0) {
            print("accessed %06u %08x\n", looks / LOOKS_PER_LINE, checksum);
        }
    }
}
