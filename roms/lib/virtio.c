/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io.h"
#include "pci.h"
#include "print.h"
#include "virtio.h"

enum {
    PAGE_SIZE = 4096,
    QUEUES_MAX = 2,

    HOST_FEATURES = 0,
    GUEST_FEATURES = 4,
    QUEUE_PAGE = 8,
    QUEUE_SIZE = 12,
    QUEUE_SELECT = 14,
    QUEUE_NOTIFY = 16,
    STATUS = 18,
    INTERRUPT = 19,
    CONFIG = 20,                    /* while MSI-X is off, as here */

    STATUS_RESET = 0,
    STATUS_ACKNOWLEDGE = 1,
    STATUS_DRIVER = 2,
    STATUS_DRIVER_OK = 4,

    DESCRIPTOR_NEXT = 1,
    DESCRIPTOR_DEVICE_WRITES = 2,
};

typedef struct Descriptor {
    uint64_t address;
    uint32_t size;
    uint16_t flags;
    uint16_t next;
} Descriptor;

typedef struct Used {
    uint32_t head;
    uint32_t size;
} Used;

/*
 * The legacy layout follows from the queue's size, which is the device's to
 * choose: descriptors, the available ring, and on the next page the used one.
 */
struct VirtioRing {
    Descriptor descriptors[VIRTIO_QUEUE_SIZE_MAX];
    uint8_t rings[4 * PAGE_SIZE];
} __attribute__((aligned(PAGE_SIZE)));

_Static_assert(6 + 2 * VIRTIO_QUEUE_SIZE_MAX <= PAGE_SIZE &&
               6 + 8 * VIRTIO_QUEUE_SIZE_MAX <= 3 * PAGE_SIZE,
               "both rings of the largest queue fit");

typedef struct Available {
    uint16_t flags;
    volatile uint16_t index;
    uint16_t heads[];
} Available;

typedef struct UsedRing {
    uint16_t flags;
    volatile uint16_t index;
    Used used[];
} UsedRing;

static VirtioRing rings[QUEUES_MAX];
static unsigned rings_taken;

static Available *available_ring(VirtioQueue *queue)
{
    return (Available *)&queue->ring->descriptors[queue->size];
}

static UsedRing *used_ring(VirtioQueue *queue)
{
    /* Flags, index, heads and an event index we don't use. */
    uint32_t end = (uint32_t)available_ring(queue) + 6 + 2 * queue->size;

    return (UsedRing *)((end + PAGE_SIZE - 1) & -PAGE_SIZE);
}

bool virtio_open(VirtioDevice *device, uint16_t pci_device, uint32_t wanted)
{
    PciFunction pci;

    if (!pci_find(VIRTIO_PCI_VENDOR, pci_device, &pci)) {
        return false;
    }
    device->port = pci_enable_io_bar(pci, 0);
    io_out8(device->port + STATUS, STATUS_RESET);
    io_out8(device->port + STATUS, STATUS_ACKNOWLEDGE);
    io_out8(device->port + STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    device->features = io_in32(device->port + HOST_FEATURES) & wanted;
    io_out32(device->port + GUEST_FEATURES, device->features);
    return true;
}

void virtio_queue_init(VirtioDevice *device, VirtioQueue *queue,
                       uint16_t index)
{
    unsigned i;

    io_out16(device->port + QUEUE_SELECT, index);
    queue->size = io_in16(device->port + QUEUE_SIZE);
    if (queue->size == 0 || queue->size > VIRTIO_QUEUE_SIZE_MAX) {
        panic("virtio: queue %u has %u entries, 1 to %u are possible here",
              index, queue->size, VIRTIO_QUEUE_SIZE_MAX);
    }
    if (rings_taken == QUEUES_MAX) {
        panic("virtio: more than %u queues", QUEUES_MAX);
    }
    queue->ring = &rings[rings_taken++];
    queue->port = device->port;
    queue->index = index;
    queue->free_head = 0;
    queue->free_count = queue->size;
    for (i = 0; i < queue->size; i++) {
        queue->ring->descriptors[i].next = i + 1;
    }
    io_out32(device->port + QUEUE_PAGE, (uint32_t)queue->ring / PAGE_SIZE);
}

void virtio_start(VirtioDevice *device)
{
    io_out8(device->port + STATUS,
            STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK);
}

uint8_t virtio_config8(VirtioDevice *device, uint8_t offset)
{
    return io_in8(device->port + CONFIG + offset);
}

uint32_t virtio_config32(VirtioDevice *device, uint8_t offset)
{
    return io_in32(device->port + CONFIG + offset);
}

void virtio_acknowledge(VirtioDevice *device)
{
    io_in8(device->port + INTERRUPT);
}

bool virtio_queue_put(VirtioQueue *queue, const VirtioSegment *segments,
                      unsigned outs, unsigned ins, uint32_t token)
{
    Available *available = available_ring(queue);
    uint16_t head = queue->free_head;
    unsigned count = outs + ins;
    unsigned i;

    if (count > queue->free_count) {
        return false;
    }
    for (i = 0; i < count; i++) {
        Descriptor *descriptor = &queue->ring->descriptors[queue->free_head];

        descriptor->address = (uint32_t)segments[i].data;
        descriptor->size = segments[i].size;
        descriptor->flags = (i >= outs ? DESCRIPTOR_DEVICE_WRITES : 0) |
                            (i + 1 < count ? DESCRIPTOR_NEXT : 0);
        queue->free_head = descriptor->next;
    }
    queue->free_count -= count;
    queue->tokens[head] = token;
    available->heads[queue->avail_index % queue->size] = head;
    io_barrier();                   /* the entry first, then the index */
    available->index = ++queue->avail_index;
    return true;
}

void virtio_queue_notify(VirtioQueue *queue)
{
    io_out16(queue->port + QUEUE_NOTIFY, queue->index);
}

bool virtio_queue_get(VirtioQueue *queue, uint32_t *token, uint32_t *size)
{
    UsedRing *ring = used_ring(queue);
    Descriptor *descriptor;
    Used used;
    uint16_t count = 1;

    if (ring->index == queue->used_index) {
        return false;
    }
    io_barrier();                   /* the index first, then the entry */
    used = ring->used[queue->used_index++ % queue->size];
    if (used.head >= queue->size) {
        panic("virtio: queue %u returned entry %u of %u", queue->index,
              used.head, queue->size);
    }
    descriptor = &queue->ring->descriptors[used.head];
    for (; descriptor->flags & DESCRIPTOR_NEXT; count++) {
        descriptor = &queue->ring->descriptors[descriptor->next];
    }
    descriptor->next = queue->free_head;
    queue->free_head = used.head;
    queue->free_count += count;
    *token = queue->tokens[used.head];
    *size = used.size;
    return true;
}
