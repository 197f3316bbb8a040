/*
 * Takes an exception at nearly every other instruction, with a timer's
 * interrupts between them, and goes on behind the instruction.
 *
 * Prints "exceptions 00000001 1a2b3c4d": the number, and a checksum that tells
 * how many ticks there had been at each.  An instruction that faults does not
 * count, so a tick and an exception often have the same count: the checksum
 * depends on which came first.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>

#include "lib/irq.h"
#include "lib/pit.h"
#include "lib/print.h"
#include "lib/runtime.h"

enum {
    UNDEFINED_OPCODE = 6,
    LOOPS_PER_LINE = 1000,
};

void exception_entry(void);
void exception_taken(void);

static uint32_t checksum = 1;
static uint32_t taken;

void exception_taken(void)
{
    taken++;
    checksum = (checksum << 5 | checksum >> 27) ^ (pit_ticks + 0x9e3779b9);
}

/* Goes on two bytes further, behind ud2. */
__asm__(".text\n"
        "exception_entry:\n"
        "    pushal\n"
        "    cld\n"
        "    call exception_taken\n"
        "    popal\n"
        "    addl $2, (%esp)\n"
        "    iret\n");

void rom_main(void)
{
    unsigned i;

    irq_set_gate(UNDEFINED_OPCODE, exception_entry);
    pit_init();
    for (;;) {
        irq_on();
        for (i = 0; i < LOOPS_PER_LINE; i++) {
            __asm__ volatile("ud2; nop; ud2; ud2; nop; nop; ud2\n"
                             "ud2; ud2; nop; ud2; nop; ud2" : : : "memory");
        }
        irq_off();
        print("exceptions %08u %08x\n", taken, checksum);
    }
}
