/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>

#include "io.h"
#include "irq.h"
#include "print.h"

enum {
    EXCEPTIONS = 32,
    LINES = 16,
    VECTORS = EXCEPTIONS + LINES,
    ENTRY_SIZE = 16,                /* bytes of code a vector, by start.S */
    CODE_SELECTOR = 0x08,
    GATE_INTERRUPT = 0x8e,          /* present, 32 bits, interrupts off */

    PIC1 = 0x20,
    PIC2 = 0xa0,
    PIC_DATA = 1,
    PIC_INIT_WITH_ICW4 = 0x11,
    PIC_8086 = 0x01,
    PIC_END = 0x20,
    PIC_READ_IN_SERVICE = 0x0b,
    PIC_CASCADE = 2,
    PIC_SPURIOUS = 7,               /* the line a PIC names when none is left */
    EDGE_LEVEL = 0x4d0,

    APIC_SPURIOUS = 0xfee000f0,
    APIC_LINT0 = 0xfee00350,
    APIC_ENABLED = 0x1ff,           /* and the spurious vector */
    APIC_EXTERNAL = 0x700,          /* pass the PICs' interrupts on */
};

typedef struct Gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t zero;
    uint8_t type;
    uint16_t offset_high;
} Gate;

typedef struct __attribute__((packed)) TablePointer {
    uint16_t limit;
    uint32_t base;
} TablePointer;

extern const uint8_t vector_entries[];
void irq_dispatch(const uint32_t *frame);

static Gate gates[VECTORS];
static IrqHandler *handlers[LINES];
static uint16_t masked = 0xffff & ~(1 << PIC_CASCADE);

static void write_mask(void)
{
    io_out8(PIC1 + PIC_DATA, masked);
    io_out8(PIC2 + PIC_DATA, masked >> 8);
}

static void pic_init(uint16_t port, uint8_t vector, uint8_t cascade)
{
    io_out8(port, PIC_INIT_WITH_ICW4);
    io_out8(port + PIC_DATA, vector);
    io_out8(port + PIC_DATA, cascade);
    io_out8(port + PIC_DATA, PIC_8086);
}

/* Out of reset the local APIC masks the line from the PICs. */
static void apic_let_pics_through(void)
{
    *(volatile uint32_t *)APIC_SPURIOUS = APIC_ENABLED;
    *(volatile uint32_t *)APIC_LINT0 = APIC_EXTERNAL;
}

void irq_set_gate(unsigned vector, void (*entry)(void))
{
    gates[vector].offset_low = (uint32_t)entry;
    gates[vector].offset_high = (uint32_t)entry >> 16;
    gates[vector].selector = CODE_SELECTOR;
    gates[vector].type = GATE_INTERRUPT;
}

void irq_init(void)
{
    TablePointer pointer = { sizeof(gates) - 1, (uint32_t)gates };
    unsigned i;

    for (i = 0; i < VECTORS; i++) {
        irq_set_gate(i, (void (*)(void))(vector_entries + i * ENTRY_SIZE));
    }
    __asm__ volatile("lidt %0" : : "m"(pointer));
    pic_init(PIC1, EXCEPTIONS, 1 << PIC_CASCADE);
    pic_init(PIC2, EXCEPTIONS + 8, PIC_CASCADE);
    write_mask();
    apic_let_pics_through();
}

void irq_handle(unsigned irq, IrqHandler *handler)
{
    handlers[irq] = handler;
    masked &= ~(1 << irq);
    write_mask();
}

void irq_set_level_triggered(unsigned irq)
{
    uint16_t port = EDGE_LEVEL + irq / 8;

    io_out8(port, io_in8(port) | 1 << irq % 8);
}

static int is_spurious(unsigned irq)
{
    uint16_t port = irq < 8 ? PIC1 : PIC2;

    if (irq % 8 != PIC_SPURIOUS) {
        return 0;
    }
    io_out8(port, PIC_READ_IN_SERVICE);
    return !(io_in8(port) & 1 << PIC_SPURIOUS);
}

/* frame[0] is the vector; what the CPU pushed follows. */
void irq_dispatch(const uint32_t *frame)
{
    unsigned irq = frame[0] - EXCEPTIONS;

    if (frame[0] < EXCEPTIONS) {
        panic("exception %u, stack %08x %08x %08x", frame[0],
              frame[1], frame[2], frame[3]);
    }
    if (is_spurious(irq)) {
        if (irq >= 8) {
            io_out8(PIC1, PIC_END);     /* the first PIC did see a real one */
        }
        return;
    }
    if (handlers[irq]) {
        handlers[irq]();
    }
    if (irq >= 8) {
        io_out8(PIC2, PIC_END);
    }
    io_out8(PIC1, PIC_END);
}
