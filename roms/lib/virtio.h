/*
 * Virtio over PCI, by the legacy (0.9.5) interface, which QEMU's transitional
 * devices have on the `pc` machine by default.
 *
 * Order: virtio_open, virtio_queue_init for each queue, virtio_start.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_VIRTIO_H
#define ROM_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

enum {
    VIRTIO_PCI_VENDOR = 0x1af4,
    VIRTIO_PCI_NET = 0x1000,
    VIRTIO_PCI_BLOCK = 0x1001,
    VIRTIO_QUEUE_SIZE_MAX = 1024,   /* what QEMU 10.0.13 has; 10.0.2: 256 */
};

typedef struct VirtioDevice {
    uint16_t port;
    uint32_t features;              /* accepted by both sides */
} VirtioDevice;

typedef struct VirtioSegment {
    void *data;
    uint32_t size;
} VirtioSegment;

typedef struct VirtioRing VirtioRing;
typedef struct VirtioQueue {
    VirtioRing *ring;
    uint16_t port;
    uint16_t index;
    uint16_t size;                  /* descriptors */
    uint16_t free_head;
    uint16_t free_count;
    uint16_t avail_index;
    uint16_t used_index;
    uint32_t tokens[VIRTIO_QUEUE_SIZE_MAX];
} VirtioQueue;

/* False: there is no such device.  wanted: bits of features to ask for. */
bool virtio_open(VirtioDevice *device, uint16_t pci_device, uint32_t wanted);
void virtio_queue_init(VirtioDevice *device, VirtioQueue *queue,
                       uint16_t index);
void virtio_start(VirtioDevice *device);
/* Bytes of the device's own configuration. */
uint8_t virtio_config8(VirtioDevice *device, uint8_t offset);
uint32_t virtio_config32(VirtioDevice *device, uint8_t offset);
/* Takes the device's interrupt line down; for interrupt handlers. */
void virtio_acknowledge(VirtioDevice *device);

/*
 * Offers a buffer: `outs` segments that the device reads, then `ins` that it
 * writes.  They belong to the device until virtio_queue_get() returns token.
 * False: too few descriptors are free.
 */
bool virtio_queue_put(VirtioQueue *queue, const VirtioSegment *segments,
                      unsigned outs, unsigned ins, uint32_t token);
/* Tells the device about new buffers. */
void virtio_queue_notify(VirtioQueue *queue);
/* The next buffer the device is done with; size: bytes it wrote. */
bool virtio_queue_get(VirtioQueue *queue, uint32_t *token, uint32_t *size);

#endif
