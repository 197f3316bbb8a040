/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io.h"
#include "irq.h"
#include "pci.h"
#include "print.h"

enum {
    ADDRESS = 0xcf8,
    DATA = 0xcfc,
    SLOTS = 32,
    FUNCTIONS = 8,
    IO_RANGES_START = 0xc000,
    MEMORY_RANGES_START = 0xe0000000,   /* above RAM, below the APICs */

    ID = 0x00,
    COMMAND = 0x04,
    COMMAND_IO = 0x1,
    COMMAND_MEMORY = 0x2,
    COMMAND_BUS_MASTER = 0x4,
    COMMAND_MASK = 0xffff,          /* the status bits above clear when set */
    BAR0 = 0x10,
    BAR_IS_IO = 0x1,
    BAR_IO_FLAGS = 0x3,
    BAR_MEMORY_FLAGS = 0xf,

    PIIX3_VENDOR = 0x8086,
    PIIX3_DEVICE = 0x7000,
    PIIX3_ROUTES = 0x60,            /* a byte for each of INTA to INTD */
};

static uint16_t next_port = IO_RANGES_START;
static uint32_t next_address = MEMORY_RANGES_START;

static void select_register(PciFunction pci, uint8_t offset)
{
    io_out32(ADDRESS, 0x80000000u | pci.slot << 11 | pci.function << 8 |
                      (offset & 0xfc));
}

uint32_t pci_read32(PciFunction pci, uint8_t offset)
{
    select_register(pci, offset);
    return io_in32(DATA);
}

void pci_write32(PciFunction pci, uint8_t offset, uint32_t value)
{
    select_register(pci, offset);
    io_out32(DATA, value);
}

bool pci_find(uint16_t vendor, uint16_t device, PciFunction *found)
{
    PciFunction pci;

    for (pci.slot = 0; pci.slot < SLOTS; pci.slot++) {
        for (pci.function = 0; pci.function < FUNCTIONS; pci.function++) {
            if (pci_read32(pci, ID) == ((uint32_t)device << 16 | vendor)) {
                *found = pci;
                return true;
            }
        }
    }
    return false;
}

uint16_t pci_enable_io_bar(PciFunction pci, unsigned bar)
{
    uint8_t offset = BAR0 + 4 * bar;
    uint32_t command = pci_read32(pci, COMMAND) & COMMAND_MASK;
    uint32_t mask;
    uint16_t size, port;

    pci_write32(pci, offset, 0xffffffff);
    mask = pci_read32(pci, offset);
    if (!(mask & BAR_IS_IO)) {
        panic("pci: slot %u has no I/O ports in BAR %u; "
              "a virtio device needs disable-legacy=off", pci.slot, bar);
    }
    size = -(mask & ~BAR_IO_FLAGS);
    port = (next_port + size - 1) & -size;
    next_port = port + size;
    pci_write32(pci, offset, port);
    pci_write32(pci, COMMAND, command | COMMAND_IO | COMMAND_BUS_MASTER);
    return port;
}

volatile void *pci_enable_memory_bar(PciFunction pci, unsigned bar)
{
    uint8_t offset = BAR0 + 4 * bar;
    uint32_t command = pci_read32(pci, COMMAND) & COMMAND_MASK;
    uint32_t mask, size, address;

    pci_write32(pci, offset, 0xffffffff);
    mask = pci_read32(pci, offset);
    if (mask & BAR_IS_IO || !mask) {
        panic("pci: slot %u has no memory in BAR %u", pci.slot, bar);
    }
    size = -(mask & ~BAR_MEMORY_FLAGS);
    address = (next_address + size - 1) & -size;
    next_address = address + size;
    pci_write32(pci, offset, address);
    pci_write32(pci, COMMAND, command | COMMAND_MEMORY | COMMAND_BUS_MASTER);
    return (volatile void *)address;
}

void pci_handle_interrupts(void (*handler)(void))
{
    PciFunction piix3;

    if (!pci_find(PIIX3_VENDOR, PIIX3_DEVICE, &piix3)) {
        panic("pci: no PIIX3 bridge; these guests need -M pc");
    }
    pci_write32(piix3, PIIX3_ROUTES, PCI_IRQ * 0x01010101u);
    irq_set_level_triggered(PCI_IRQ);
    irq_handle(PCI_IRQ, handler);
}
