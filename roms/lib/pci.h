/*
 * PCI on the `pc` machine's bus 0, without a BIOS: find a function, give its
 * registers a place, connect its interrupt.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_PCI_H
#define ROM_PCI_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_IRQ 11                  /* every device's INTx arrives here */

typedef struct PciFunction {
    uint8_t slot;
    uint8_t function;
} PciFunction;

/* The first function with these ids, or false. */
bool pci_find(uint16_t vendor, uint16_t device, PciFunction *found);
uint32_t pci_read32(PciFunction pci, uint8_t offset);
void pci_write32(PciFunction pci, uint8_t offset, uint32_t value);
/*
 * Gives I/O BAR `bar` a range of ports, switches it and bus mastering on, and
 * returns the first port.
 */
uint16_t pci_enable_io_bar(PciFunction pci, unsigned bar);
/* The same for a memory BAR of 32 bits; returns where its registers are. */
volatile void *pci_enable_memory_bar(PciFunction pci, unsigned bar);
/* Leads all four INTx lines to PCI_IRQ, handled by handler. */
void pci_handle_interrupts(void (*handler)(void));

#endif
