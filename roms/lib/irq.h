/*
 * Interrupts: the descriptor table, two 8259 PICs, and how to wait.
 *
 * The main program runs with interrupts off except where it says otherwise,
 * so that a test of a condition and the wait for it can't be torn apart:
 *
 *     while (!done) {
 *         irq_wait();
 *     }
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_IRQ_H
#define ROM_IRQ_H

typedef void IrqHandler(void);

void irq_init(void);
/* Calls handler, interrupts off, at each interrupt of this line. */
void irq_handle(unsigned irq, IrqHandler *handler);
/* The line is level triggered, as PCI's are. */
void irq_set_level_triggered(unsigned irq);

/* An exception goes to entry, with interrupts off, instead of to a panic. */
void irq_set_gate(unsigned vector, void (*entry)(void));

static inline void irq_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}

static inline void irq_off(void)
{
    __asm__ volatile("cli" : : : "memory");
}

/* Halts until an interrupt was handled.  Interrupts are off again after. */
static inline void irq_wait(void)
{
    /* No interrupt is taken between sti and hlt, so none is slept through. */
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* For a machine that is about to end.  Executes nothing more. */
static inline __attribute__((noreturn)) void irq_wait_forever(void)
{
    for (;;) {
        __asm__ volatile("cli; hlt" : : : "memory");
    }
}

#endif
