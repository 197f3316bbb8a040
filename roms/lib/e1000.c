/*
 * Numbers and layouts are the manual's: "PCI/PCI-X Family of Gigabit Ethernet
 * Controllers Software Developer's Manual", chapters 3 (descriptors), 8 (the
 * PHY's registers) and 13 (the card's).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stddef.h>

#include "e1000.h"
#include "io.h"
#include "memory.h"
#include "pci.h"
#include "print.h"

enum {
    VENDOR_INTEL = 0x8086,
    DEVICE_82540EM = 0x100e,

    CTRL = 0x0000,
    CTRL_AUTO_SPEED = 1 << 5,
    CTRL_SET_LINK_UP = 1 << 6,
    CTRL_RESET = 1 << 26,
    STATUS = 0x0008,
    STATUS_LINK_UP = 1 << 1,
    EERD = 0x0014,                  /* EEPROM read */
    EERD_START = 1 << 0,
    EERD_DONE = 1 << 4,
    EERD_ADDRESS_SHIFT = 8,
    EERD_DATA_SHIFT = 16,
    MDIC = 0x0020,                  /* the PHY's registers */
    MDIC_REGISTER_SHIFT = 16,
    MDIC_PHY = 1 << 21,             /* number 1, the only one */
    MDIC_WRITE = 1 << 26,
    MDIC_READY = 1 << 28,
    PHY_CONTROL = 0,
    PHY_CONTROL_RESTART = 1 << 9,
    PHY_CONTROL_NEGOTIATE = 1 << 12,

    INTERRUPT_CAUSE = 0x00c0,       /* reading clears it */
    INTERRUPT_THROTTLE = 0x00c4,    /* in 256 ns */
    INTERRUPT_SET_MASK = 0x00d0,
    INTERRUPT_CLEAR_MASK = 0x00d8,
    CAUSE_SENT = 1 << 0,
    CAUSE_LINK = 1 << 2,
    CAUSE_FEW_BUFFERS = 1 << 4,
    CAUSE_OVERRUN = 1 << 6,
    CAUSE_RECEIVED = 1 << 7,

    RCTL = 0x0100,
    RCTL_ENABLE = 1 << 1,
    RCTL_BROADCAST = 1 << 15,
    RCTL_STRIP_CRC = 1 << 26,       /* and buffers of 2048 bytes, by zeros */
    TCTL = 0x0400,
    TCTL_ENABLE = 1 << 1,
    TCTL_PAD_SHORT = 1 << 3,
    TCTL_COLLISIONS = 0x0f << 4 | 0x40 << 12,
    TIPG = 0x0410,
    TIPG_COPPER = 10 | 8 << 10 | 6 << 20,
    RECEIVE_RING = 0x2800,
    RECEIVE_DELAY = 0x2820,         /* these four in 1.024 us */
    RECEIVE_DELAY_MAX = 0x282c,
    TRANSMIT_RING = 0x3800,
    TRANSMIT_DELAY = 0x3820,
    TRANSMIT_DELAY_MAX = 0x382c,
    RING_BASE_LOW = 0x00,
    RING_BASE_HIGH = 0x04,
    RING_BYTES = 0x08,
    RING_HEAD = 0x10,
    RING_TAIL = 0x18,
    MULTICAST_TABLE = 0x5200,
    MULTICAST_WORDS = 128,
    ADDRESS_LOW = 0x5400,
    ADDRESS_HIGH = 0x5404,
    ADDRESS_VALID = 1u << 31,

    /* Long enough that several packets share an interrupt under load. */
    THROTTLE = 2000,                /* 512 us */
    DELAY = 32,
    DELAY_MAX = 300,

    DONE = 1 << 0,                  /* status of either kind of descriptor */
    COMMAND_END_OF_PACKET = 1 << 0,
    COMMAND_ADD_CRC = 1 << 1,
    COMMAND_REPORT = 1 << 3,
    COMMAND_DELAY_INTERRUPT = 1 << 7,
};

typedef struct Received {
    uint64_t address;
    uint16_t size;
    uint16_t checksum;
    volatile uint8_t status;
    uint8_t errors;
    uint16_t special;
} Received;

typedef struct Sent {
    uint64_t address;
    uint16_t size;
    uint8_t checksum_offset;
    uint8_t command;
    volatile uint8_t status;
    uint8_t checksum_start;
    uint16_t special;
} Sent;

_Static_assert(sizeof(Received) == 16 && sizeof(Sent) == 16,
               "descriptors are as the card reads them");
_Static_assert(E1000_RING_SIZE * 16 % 128 == 0,
               "the size of a ring has to be a multiple of 128");

struct E1000Ring {
    union {
        Received received[E1000_RING_SIZE];
        Sent sent[E1000_RING_SIZE];
    };
} __attribute__((aligned(128)));

static E1000Ring receive_ring, transmit_ring;

static uint32_t get(E1000 *card, uint32_t offset)
{
    return card->registers[offset / 4];
}

static void set(E1000 *card, uint32_t offset, uint32_t value)
{
    io_barrier();                   /* what it points to first */
    card->registers[offset / 4] = value;
}

static void wait(E1000 *card, uint32_t offset, uint32_t mask, uint32_t value)
{
    while ((get(card, offset) & mask) != value) {
    }
}

static uint16_t eeprom_word(E1000 *card, uint32_t address)
{
    set(card, EERD, address << EERD_ADDRESS_SHIFT | EERD_START);
    wait(card, EERD, EERD_DONE, EERD_DONE);
    return get(card, EERD) >> EERD_DATA_SHIFT;
}

static void address_init(E1000 *card)
{
    unsigned i;

    for (i = 0; i < sizeof(card->mac); i += 2) {
        uint16_t word = eeprom_word(card, i / 2);

        card->mac[i] = word;
        card->mac[i + 1] = word >> 8;
    }
    set(card, ADDRESS_LOW, card->mac[0] | card->mac[1] << 8 |
        card->mac[2] << 16 | (uint32_t)card->mac[3] << 24);
    set(card, ADDRESS_HIGH, card->mac[4] | card->mac[5] << 8 |
        ADDRESS_VALID);
    for (i = 0; i < MULTICAST_WORDS; i++) {
        set(card, MULTICAST_TABLE + 4 * i, 0);
    }
}

static void queue_init(E1000 *card, E1000Queue *queue, E1000Ring *ring,
                       uint32_t registers)
{
    queue->ring = ring;
    queue->registers = registers;
    set(card, registers + RING_BASE_LOW, (uint32_t)ring);
    set(card, registers + RING_BASE_HIGH, 0);
    set(card, registers + RING_BYTES, sizeof(*ring));
    set(card, registers + RING_HEAD, 0);
    set(card, registers + RING_TAIL, 0);
}

bool e1000_open(E1000 *card)
{
    PciFunction pci;

    if (!pci_find(VENDOR_INTEL, DEVICE_82540EM, &pci)) {
        return false;
    }
    card->registers = pci_enable_memory_bar(pci, 0);
    set(card, INTERRUPT_CLEAR_MASK, 0xffffffff);
    set(card, CTRL, get(card, CTRL) | CTRL_RESET);
    wait(card, CTRL, CTRL_RESET, 0);
    set(card, INTERRUPT_CLEAR_MASK, 0xffffffff);
    get(card, INTERRUPT_CAUSE);
    address_init(card);
    queue_init(card, &card->receive, &receive_ring, RECEIVE_RING);
    queue_init(card, &card->transmit, &transmit_ring, TRANSMIT_RING);
    return true;
}

void e1000_start(E1000 *card)
{
    set(card, INTERRUPT_THROTTLE, THROTTLE);
    set(card, RECEIVE_DELAY, DELAY);
    set(card, RECEIVE_DELAY_MAX, DELAY_MAX);
    set(card, TRANSMIT_DELAY, DELAY);
    set(card, TRANSMIT_DELAY_MAX, DELAY_MAX);
    set(card, INTERRUPT_SET_MASK, CAUSE_SENT | CAUSE_LINK |
        CAUSE_FEW_BUFFERS | CAUSE_OVERRUN | CAUSE_RECEIVED);
    set(card, TIPG, TIPG_COPPER);
    set(card, TCTL, TCTL_ENABLE | TCTL_PAD_SHORT | TCTL_COLLISIONS);
    set(card, RCTL, RCTL_ENABLE | RCTL_BROADCAST | RCTL_STRIP_CRC);
    set(card, CTRL, get(card, CTRL) | CTRL_SET_LINK_UP | CTRL_AUTO_SPEED);
    set(card, MDIC, (PHY_CONTROL_NEGOTIATE | PHY_CONTROL_RESTART) |
        PHY_CONTROL << MDIC_REGISTER_SHIFT | MDIC_PHY | MDIC_WRITE);
    wait(card, MDIC, MDIC_READY, MDIC_READY);
}

void e1000_acknowledge(E1000 *card)
{
    if (get(card, INTERRUPT_CAUSE) & CAUSE_LINK) {
        card->link_changed = true;
    }
}

bool e1000_link_changed(E1000 *card, bool *up)
{
    bool changed = card->link_changed;

    card->link_changed = false;
    *up = get(card, STATUS) & STATUS_LINK_UP;
    return changed;
}

static unsigned after(unsigned index)
{
    return (index + 1) % E1000_RING_SIZE;
}

/* Gives the descriptor at the tail to the card. */
static void queue_push(E1000 *card, E1000Queue *queue)
{
    queue->tail = after(queue->tail);
    if (queue->tail == queue->next) {
        panic("e1000: more than %u buffers in a ring", E1000_RING_SIZE - 1);
    }
    set(card, queue->registers + RING_TAIL, queue->tail);
}

void e1000_offer(E1000 *card, void *buffer)
{
    receive_ring.received[card->receive.tail] = (Received) {
        .address = (uint32_t)buffer,
    };
    queue_push(card, &card->receive);
}

void *e1000_received(E1000 *card, uint32_t *size)
{
    E1000Queue *queue = &card->receive;
    Received *entry = &receive_ring.received[queue->next];

    if (queue->next == queue->tail || !(entry->status & DONE)) {
        return NULL;
    }
    io_barrier();                   /* the status first, then the rest */
    queue->next = after(queue->next);
    *size = entry->size;
    return (void *)(uint32_t)entry->address;
}

void e1000_send(E1000 *card, void *buffer, uint32_t size)
{
    transmit_ring.sent[card->transmit.tail] = (Sent) {
        .address = (uint32_t)buffer,
        .size = size,
        .command = COMMAND_END_OF_PACKET | COMMAND_ADD_CRC |
                   COMMAND_REPORT | COMMAND_DELAY_INTERRUPT,
    };
    queue_push(card, &card->transmit);
}

void *e1000_sent(E1000 *card)
{
    E1000Queue *queue = &card->transmit;
    Sent *entry = &transmit_ring.sent[queue->next];

    if (queue->next == queue->tail || !(entry->status & DONE)) {
        return NULL;
    }
    io_barrier();
    queue->next = after(queue->next);
    return (void *)(uint32_t)entry->address;
}
