/*
 * Counts timer ticks on the serial port: "counter 000001", 100 a second.
 *
 * Between ticks it folds a buffer into itself, or halts (COUNTER_HALTS).  How
 * far it gets depends on the exact instruction at which each tick arrives,
 * and every 100 ticks it says so: "checksum 000100 1a2b3c4d".  So two runs
 * that print the same took their interrupts at the same instructions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>

#include "lib/irq.h"
#include "lib/pit.h"
#include "lib/print.h"
#include "lib/runtime.h"

enum {
    WORDS = 16384,
    WORDS_AT_ONCE = 64,
    COUNTS_PER_CHECKSUM = 100,
};

static uint32_t words[WORDS];
static uint32_t next_word;
static uint32_t checksum = 1;
static uint32_t counted;

static void work(void)
{
    unsigned i;

    for (i = 0; i < WORDS_AT_ONCE; i++) {
        checksum = (checksum << 5 | checksum >> 27) ^
                   (words[next_word] + 0x9e3779b9);
        words[next_word] += checksum;
        next_word = (next_word + 1) % WORDS;
    }
}

void rom_main(void)
{
    pit_init();
    for (;;) {
        if (COUNTER_HALTS) {
            work();
            irq_wait();
        } else {
            irq_on();
            work();
            irq_off();
        }
        while (counted != pit_ticks) {
            counted++;
            print("counter %06u\n", counted);
            if (counted % COUNTS_PER_CHECKSUM == 0) {
                print("checksum %06u %08x\n", counted, checksum);
            }
        }
    }
}
