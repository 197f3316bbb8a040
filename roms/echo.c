/*
 * Answers on a virtio network card: what lib/echo.h says.  Announces itself
 * by ARP at the start.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>

#include "lib/echo.h"
#include "lib/irq.h"
#include "lib/memory.h"
#include "lib/pci.h"
#include "lib/pit.h"
#include "lib/print.h"
#include "lib/runtime.h"
#include "lib/virtio.h"

enum {
    BUFFERS = 32,
    FEATURE_MAC = 1 << 5,
};

typedef struct Buffer {
    uint8_t header[10];             /* of virtio: no offloads, so all zero */
    uint8_t frame[ECHO_FRAME_SIZE_MAX];
} Buffer;

static VirtioDevice device;
static VirtioQueue receive, transmit;
static Buffer buffers[BUFFERS];

static void buffer_queue(VirtioQueue *queue, Buffer *buffer, uint32_t size)
{
    VirtioSegment segments[] = {
        { buffer->header, sizeof(buffer->header) },
        { buffer->frame, size },
    };
    unsigned outs = queue == &transmit ? 2 : 0;

    memset(buffer->header, 0, sizeof(buffer->header));
    if (!virtio_queue_put(queue, segments, outs, 2 - outs,
                          buffer - buffers)) {
        panic("echo: a queue of %u is too small", queue->size);
    }
    virtio_queue_notify(queue);
}

static void buffer_received(Buffer *buffer, uint32_t size)
{
    uint32_t reply = 0;

    if (size > sizeof(buffer->header)) {
        reply = echo_answer(buffer->frame, size - sizeof(buffer->header));
    }
    if (reply) {
        buffer_queue(&transmit, buffer, reply);
    } else {
        buffer_queue(&receive, buffer, sizeof(buffer->frame));
    }
}

static void interrupt(void)
{
    virtio_acknowledge(&device);
}

static void net_open(void)
{
    uint8_t mac[6];
    unsigned i;

    if (!virtio_open(&device, VIRTIO_PCI_NET, FEATURE_MAC)) {
        panic("echo: no virtio network card; add -netdev ...,id=n0 "
              "-device virtio-net-pci,netdev=n0");
    }
    for (i = 0; i < sizeof(mac); i++) {
        mac[i] = virtio_config8(&device, i);
    }
    virtio_queue_init(&device, &receive, 0);
    virtio_queue_init(&device, &transmit, 1);
    pci_handle_interrupts(interrupt);
    virtio_start(&device);
    echo_open(mac);
}

void rom_main(void)
{
    uint32_t token, size;
    unsigned i;

    net_open();
    pit_init();
    for (i = 1; i < BUFFERS; i++) {
        buffer_queue(&receive, &buffers[i], sizeof(buffers[i].frame));
    }
    buffer_queue(&transmit, &buffers[0],
                 echo_announcement(buffers[0].frame));
    for (;;) {
        irq_wait();
        while (virtio_queue_get(&transmit, &token, &size)) {
            buffer_queue(&receive, &buffers[token],
                         sizeof(buffers[token].frame));
        }
        while (virtio_queue_get(&receive, &token, &size)) {
            buffer_received(&buffers[token], size);
        }
        echo_report();
    }
}
