/*
 * Intel's 8254x network cards, after the registers that their Software
 * Developer's Manual describes: both rings, interrupts with all of the card's
 * delays, negotiation with the other end of the cable.
 *
 * Order: e1000_open, pci_handle_interrupts with a handler that calls
 * e1000_acknowledge, e1000_offer for each buffer, e1000_start.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_E1000_H
#define ROM_E1000_H

#include <stdbool.h>
#include <stdint.h>

enum {
    E1000_RING_SIZE = 32,           /* descriptors; one of them stays free */
    E1000_BUFFER_SIZE = 2048,       /* of each buffer offered */
};

typedef struct E1000Ring E1000Ring;
typedef struct E1000Queue {
    E1000Ring *ring;
    uint32_t registers;             /* offset of this ring's */
    uint16_t next;                  /* the first the card has */
    uint16_t tail;                  /* the first the card has not */
} E1000Queue;

typedef struct E1000 {
    volatile uint32_t *registers;
    uint8_t mac[6];
    E1000Queue receive, transmit;
    volatile bool link_changed;
} E1000;

/* False: there is no such card.  Takes its address from its EEPROM. */
bool e1000_open(E1000 *card);
/* Receives, interrupts, and begins to negotiate: the link goes down first. */
void e1000_start(E1000 *card);
/* Takes the card's interrupt line down; for interrupt handlers. */
void e1000_acknowledge(E1000 *card);
/* Whether the link changed since the last call, and how it is now. */
bool e1000_link_changed(E1000 *card, bool *up);

/* A buffer belongs to the card from here until it is received. */
void e1000_offer(E1000 *card, void *buffer);
/* The next buffer that came in, or NULL. */
void *e1000_received(E1000 *card, uint32_t *size);
/* A buffer belongs to the card from here until it is sent. */
void e1000_send(E1000 *card, void *buffer, uint32_t size);
/* The next buffer that went out, or NULL. */
void *e1000_sent(E1000 *card);

#endif
