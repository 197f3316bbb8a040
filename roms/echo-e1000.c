/*
 * Answers on an e1000 network card: what lib/echo.h says.  Announces itself
 * by ARP each time that the link comes up, and says so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/e1000.h"
#include "lib/echo.h"
#include "lib/irq.h"
#include "lib/pci.h"
#include "lib/pit.h"
#include "lib/print.h"
#include "lib/runtime.h"

enum {
    BUFFERS = 24,
};

_Static_assert(BUFFERS + 1 < E1000_RING_SIZE,
               "all buffers and the announcement fit into one ring");

static E1000 card;
static uint8_t buffers[BUFFERS][E1000_BUFFER_SIZE];
static uint8_t announcement[E1000_BUFFER_SIZE];
static bool announcing;

static void interrupt(void)
{
    e1000_acknowledge(&card);
}

static void link_report(void)
{
    bool up;

    if (!e1000_link_changed(&card, &up)) {
        return;
    }
    print("echo link=%s\n", up ? "up" : "down");
    if (up && !announcing) {
        announcing = true;
        e1000_send(&card, announcement, echo_announcement(announcement));
    }
}

static void buffer_received(void *buffer, uint32_t size)
{
    uint32_t reply = echo_answer(buffer, size);

    if (reply) {
        e1000_send(&card, buffer, reply);
    } else {
        e1000_offer(&card, buffer);
    }
}

static void buffer_sent(void *buffer)
{
    if (buffer == announcement) {
        announcing = false;
    } else {
        e1000_offer(&card, buffer);
    }
}

void rom_main(void)
{
    void *buffer;
    uint32_t size;
    unsigned i;

    if (!e1000_open(&card)) {
        panic("echo: no e1000 network card; add -netdev ...,id=n0 "
              "-device e1000,netdev=n0");
    }
    pci_handle_interrupts(interrupt);
    pit_init();
    for (i = 0; i < BUFFERS; i++) {
        e1000_offer(&card, buffers[i]);
    }
    e1000_start(&card);
    echo_open(card.mac);
    for (;;) {
        irq_wait();
        link_report();
        while ((buffer = e1000_sent(&card))) {
            buffer_sent(buffer);
        }
        while ((buffer = e1000_received(&card, &size))) {
            buffer_received(buffer, size);
        }
        echo_report();
    }
}
