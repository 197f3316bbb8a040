/*
 * Draws on a std VGA, in each of several modes in turn, and reads keys.
 *
 * A square of noise wanders over the screen, one step a tick, its way and its
 * colours made from what was drawn before and from the keys pressed.  Modes
 * are set by the Bochs VBE registers: true colour through linear memory, 16
 * bits, 8 bits with a palette, and 8 bits through the banks at 0xa0000.
 * "screen mode=640x480x32 frames=N keys=N last=1e checksum=..." 5 a second.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/io.h"
#include "lib/irq.h"
#include "lib/pci.h"
#include "lib/pit.h"
#include "lib/print.h"
#include "lib/runtime.h"

enum {
    VGA_VENDOR = 0x1234,
    VGA_DEVICE = 0x1111,
    VBE_INDEX = 0x1ce,
    VBE_DATA = 0x1cf,
    VBE_WIDTH = 1,
    VBE_HEIGHT = 2,
    VBE_BITS = 3,
    VBE_ENABLE = 4,
    VBE_BANK = 5,
    VBE_ENABLED = 0x01,
    VBE_LINEAR = 0x40,
    PALETTE_INDEX = 0x3c8,
    PALETTE_DATA = 0x3c9,
    ATTRIBUTE_RESET = 0x3da,
    ATTRIBUTE = 0x3c0,
    ATTRIBUTE_SCREEN_ON = 0x20,
    WINDOW = 0xa0000,
    BANK_SIZE = 0x10000,

    KEYBOARD_IRQ = 1,
    KEYBOARD_DATA = 0x60,
    KEYBOARD_STATUS = 0x64,
    KEYBOARD_COMMAND = 0x64,
    KEYBOARD_WRITE_CONFIG = 0x60,
    KEYBOARD_CONFIG = 0x41,         /* interrupts, and the old scan codes */
    KEYBOARD_HAS_BYTE = 0x01,
    KEY_RELEASED = 0x80,

    SQUARE = 32,
    TICKS_PER_MODE = 50,
    TICKS_PER_REPORT = 20,
};

typedef struct Mode {
    uint16_t width, height, bits;
    bool banked;
} Mode;

static const Mode modes[] = {
    { 640, 480, 32, false },
    { 800, 600, 16, false },
    { 640, 400, 8, false },
    { 320, 200, 8, true },
};

static volatile uint8_t *linear;
static const Mode *mode;
static uint32_t bank, frames, noise = 1;
static volatile uint32_t keys, last_key;

static void vbe_write(uint16_t index, uint16_t value)
{
    io_out16(VBE_INDEX, index);
    io_out16(VBE_DATA, value);
}

static void key(void)
{
    while (io_in8(KEYBOARD_STATUS) & KEYBOARD_HAS_BYTE) {
        last_key = io_in8(KEYBOARD_DATA);
        if (!(last_key & KEY_RELEASED)) {
            keys++;
        }
        noise += last_key;
    }
}

static void keyboard_init(void)
{
    io_out8(KEYBOARD_COMMAND, KEYBOARD_WRITE_CONFIG);
    io_out8(KEYBOARD_DATA, KEYBOARD_CONFIG);
    irq_handle(KEYBOARD_IRQ, key);
}

static void palette_init(void)
{
    unsigned i;

    io_out8(PALETTE_INDEX, 0);
    for (i = 0; i < 256; i++) {
        io_out8(PALETTE_DATA, i >> 2);
        io_out8(PALETTE_DATA, (i + noise) >> 2);
        io_out8(PALETTE_DATA, (i ^ noise) >> 2 & 0x3f);
    }
}

static void mode_set(const Mode *next)
{
    mode = next;
    vbe_write(VBE_ENABLE, 0);
    vbe_write(VBE_WIDTH, mode->width);
    vbe_write(VBE_HEIGHT, mode->height);
    vbe_write(VBE_BITS, mode->bits);
    vbe_write(VBE_ENABLE, VBE_ENABLED | (mode->banked ? 0 : VBE_LINEAR));
    bank = 0;
    vbe_write(VBE_BANK, 0);
    palette_init();
    io_in8(ATTRIBUTE_RESET);
    io_out8(ATTRIBUTE, ATTRIBUTE_SCREEN_ON);
}

/* Where a byte of the screen is; chooses its bank if there are banks. */
static volatile uint8_t *byte_at(uint32_t offset)
{
    if (!mode->banked) {
        return linear + offset;
    }
    if (offset / BANK_SIZE != bank) {
        bank = offset / BANK_SIZE;
        vbe_write(VBE_BANK, bank);
    }
    return (volatile uint8_t *)WINDOW + offset % BANK_SIZE;
}

static void square_draw(void)
{
    uint32_t bytes = mode->bits / 8;
    uint32_t left = (noise >> 4) % (mode->width - SQUARE);
    uint32_t top = (noise >> 16) % (mode->height - SQUARE);
    uint32_t x, y;

    for (y = top; y < top + SQUARE; y++) {
        uint32_t line = (y * mode->width + left) * bytes;

        for (x = 0; x < SQUARE * bytes; x++) {
            volatile uint8_t *byte = byte_at(line + x);

            noise = noise * 1664525 + 1013904223;
            *byte = *byte + (noise >> 24);
            noise += *byte;
        }
    }
    frames++;
}

void rom_main(void)
{
    uint32_t number = 0, drawn = 0, reported = 0;
    PciFunction vga;

    if (!pci_find(VGA_VENDOR, VGA_DEVICE, &vga)) {
        panic("screen: no std VGA; add -vga std");
    }
    linear = pci_enable_memory_bar(vga, 0);
    keyboard_init();
    mode_set(&modes[0]);
    pit_init();
    for (;;) {
        irq_wait();
        while (drawn != pit_ticks) {
            drawn++;
            square_draw();
            if (drawn % TICKS_PER_MODE == 0) {
                number = (number + 1) % (sizeof(modes) / sizeof(modes[0]));
                mode_set(&modes[number]);
            }
        }
        if (drawn - reported >= TICKS_PER_REPORT) {
            reported = drawn;
            print("screen mode=%ux%ux%u frames=%u keys=%u last=%02x "
                  "checksum=%08x\n", mode->width, mode->height, mode->bits,
                  frames, keys, last_key, noise);
        }
    }
}
