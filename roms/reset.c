/*
 * Counts timer ticks for a fifth of a second, then resets the machine, each
 * time by the next of three ways, and counts its boots in RAM and in the
 * clock's memory: "reset boot=3 nvram=3 next=triple-fault".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>

#include "lib/io.h"
#include "lib/irq.h"
#include "lib/pit.h"
#include "lib/print.h"
#include "lib/rtc.h"
#include "lib/runtime.h"

enum {
    TICKS = 20,
    BOOTS_MAGIC = 0x544f4f42,       /* "BOOT" */
    RESET_CONTROL = 0xcf9,
    RESET_HARD = 0x02,
    RESET_NOW = 0x04,
    KEYBOARD_COMMAND = 0x64,
    KEYBOARD_PULSE_RESET = 0xfe,
};

typedef struct ResetWay {
    const char *name;
    void (*reset)(void);
} ResetWay;

static RUNTIME_NOINIT uint32_t boots_magic;
static RUNTIME_NOINIT uint32_t boots;

static void reset_by_port(void)
{
    io_out8(RESET_CONTROL, RESET_HARD);
    io_out8(RESET_CONTROL, RESET_HARD | RESET_NOW);
}

static void reset_by_keyboard(void)
{
    io_out8(KEYBOARD_COMMAND, KEYBOARD_PULSE_RESET);
}

static void reset_by_triple_fault(void)
{
    static const struct __attribute__((packed)) {
        uint16_t limit;
        uint32_t base;
    } no_table;

    __asm__ volatile("lidt %0; ud2" : : "m"(no_table));
}

static const ResetWay ways[] = {
    { "port-cf9", reset_by_port },
    { "keyboard", reset_by_keyboard },
    { "triple-fault", reset_by_triple_fault },
};

void rom_main(void)
{
    const ResetWay *way;
    uint8_t nvram;

    if (boots_magic != BOOTS_MAGIC) {
        boots_magic = BOOTS_MAGIC;
        boots = 0;
        rtc_nvram_write(RTC_NVRAM_SPARE, 0);
    }
    way = &ways[boots % (sizeof(ways) / sizeof(ways[0]))];
    boots++;
    nvram = rtc_nvram_read(RTC_NVRAM_SPARE) + 1;
    rtc_nvram_write(RTC_NVRAM_SPARE, nvram);
    print("reset boot=%u nvram=%u next=%s\n", boots, nvram, way->name);

    pit_init();
    while (pit_ticks < TICKS) {
        irq_wait();
    }
    way->reset();
    irq_wait_forever();             /* it is asked for, not done */
}
