/*
 * Answers on a virtio network card as 10.0.2.15: ARP, ping, UDP port 7 (the
 * same bytes back) and UDP port 8 ("echo packets=N", so that a client sees
 * whether the count ever goes back).  Announces itself by ARP at the start.
 *
 * A frame is answered in the buffer it came in: the two addresses of each
 * layer change places, which leaves the checksums over them as they are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/irq.h"
#include "lib/memory.h"
#include "lib/pci.h"
#include "lib/pit.h"
#include "lib/print.h"
#include "lib/runtime.h"
#include "lib/virtio.h"

enum {
    BUFFERS = 32,
    FRAME_SIZE_MAX = 1514,
    FEATURE_MAC = 1 << 5,

    TYPE_ARP = 0x0806,
    TYPE_IPV4 = 0x0800,
    ARP_ETHERNET = 1,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
    IPV4_NO_OPTIONS = 0x45,
    IPV4_FRAGMENT_MASK = 0x3fff,    /* offset, and more to come */
    PROTOCOL_ICMP = 1,
    PROTOCOL_UDP = 17,
    ICMP_ECHO_REQUEST = 8,
    PORT_ECHO = 7,
    PORT_COUNT = 8,
};

typedef struct __attribute__((packed)) Ethernet {
    uint8_t to[6];
    uint8_t from[6];
    uint16_t type;
} Ethernet;

typedef struct __attribute__((packed)) Arp {
    uint16_t hardware, protocol;
    uint8_t hardware_size, protocol_size;
    uint16_t operation;
    uint8_t from_mac[6], from_ip[4];
    uint8_t to_mac[6], to_ip[4];
} Arp;

typedef struct __attribute__((packed)) Ipv4 {
    uint8_t version;
    uint8_t service;
    uint16_t size;
    uint16_t id;
    uint16_t fragment;
    uint8_t ttl;
    uint8_t protocol;
    uint16_t checksum;
    uint8_t from[4], to[4];
} Ipv4;

typedef struct __attribute__((packed)) Icmp {
    uint8_t type;
    uint8_t code;
    uint16_t checksum;
} Icmp;

typedef struct __attribute__((packed)) Udp {
    uint16_t from, to;
    uint16_t size;
    uint16_t checksum;
} Udp;

typedef struct __attribute__((packed)) Frame {
    Ethernet ethernet;
    union {
        Arp arp;
        struct __attribute__((packed)) {
            Ipv4 ipv4;
            union {
                Icmp icmp;
                struct __attribute__((packed)) {
                    Udp udp;
                    char text[];
                };
            };
        };
        uint8_t data[FRAME_SIZE_MAX - sizeof(Ethernet)];
    };
} Frame;

typedef struct Buffer {
    uint8_t header[10];             /* of virtio: no offloads, so all zero */
    Frame frame;
} Buffer;

static const uint8_t own_ip[4] = { 10, 0, 2, 15 };
static uint8_t own_mac[6];
static VirtioDevice device;
static VirtioQueue receive, transmit;
static Buffer buffers[BUFFERS];
static uint32_t packets;

static uint16_t swap16(uint16_t value)
{
    return value << 8 | value >> 8;
}

static void exchange(void *a, void *b, size_t size)
{
    uint8_t *left = a, *right = b;

    for (; size; size--, left++, right++) {
        uint8_t byte = *left;

        *left = *right;
        *right = byte;
    }
}

static uint16_t ones_complement_add(uint16_t a, uint16_t b)
{
    uint32_t sum = (uint32_t)a + b;

    return sum + (sum >> 16);
}

static void buffer_queue(VirtioQueue *queue, Buffer *buffer, uint32_t size)
{
    VirtioSegment segments[] = {
        { buffer->header, sizeof(buffer->header) },
        { &buffer->frame, size },
    };
    unsigned outs = queue == &transmit ? 2 : 0;

    memset(buffer->header, 0, sizeof(buffer->header));
    if (!virtio_queue_put(queue, segments, outs, 2 - outs,
                          buffer - buffers)) {
        panic("echo: a queue of %u is too small", queue->size);
    }
    virtio_queue_notify(queue);
}

static void arp_fill(Frame *frame, uint16_t operation)
{
    frame->ethernet.type = swap16(TYPE_ARP);
    memcpy(frame->ethernet.from, own_mac, sizeof(own_mac));
    frame->arp.hardware = swap16(ARP_ETHERNET);
    frame->arp.protocol = swap16(TYPE_IPV4);
    frame->arp.hardware_size = sizeof(own_mac);
    frame->arp.protocol_size = sizeof(own_ip);
    frame->arp.operation = swap16(operation);
    memcpy(frame->arp.from_mac, own_mac, sizeof(own_mac));
    memcpy(frame->arp.from_ip, own_ip, sizeof(own_ip));
}

static uint32_t announcement_fill(Frame *frame)
{
    memset(frame->ethernet.to, 0xff, sizeof(frame->ethernet.to));
    arp_fill(frame, ARP_REQUEST);
    memset(frame->arp.to_mac, 0, sizeof(frame->arp.to_mac));
    memcpy(frame->arp.to_ip, own_ip, sizeof(own_ip));
    return sizeof(frame->ethernet) + sizeof(frame->arp);
}

/* This and the functions below return the reply's size, 0: no reply. */
static uint32_t arp_reply(Frame *frame, uint32_t size)
{
    if (size < sizeof(frame->ethernet) + sizeof(frame->arp) ||
        frame->arp.operation != swap16(ARP_REQUEST) ||
        memcmp(frame->arp.to_ip, own_ip, sizeof(own_ip))) {
        return 0;
    }
    memcpy(frame->ethernet.to, frame->ethernet.from, sizeof(own_mac));
    memcpy(frame->arp.to_mac, frame->arp.from_mac, sizeof(own_mac));
    memcpy(frame->arp.to_ip, frame->arp.from_ip, sizeof(own_ip));
    arp_fill(frame, ARP_REPLY);
    return sizeof(frame->ethernet) + sizeof(frame->arp);
}

/* Puts the count in place of what came; the new size of the IP packet. */
static uint32_t count_fill(Frame *frame)
{
    static const char prefix[] = "echo packets=";
    char digits[10];
    uint32_t value = packets, count = 0, size = sizeof(prefix) - 1;

    memcpy(frame->text, prefix, size);
    do {
        digits[count++] = '0' + value % 10;
        value /= 10;
    } while (value);
    while (count) {
        frame->text[size++] = digits[--count];
    }
    frame->text[size++] = '\n';
    frame->udp.size = swap16(sizeof(frame->udp) + size);
    frame->udp.checksum = 0;        /* none */
    return sizeof(frame->ipv4) + sizeof(frame->udp) + size;
}

static void ipv4_set_size(Ipv4 *ipv4, uint16_t size)
{
    uint16_t sum = ~ipv4->checksum;

    sum = ones_complement_add(sum, ~ipv4->size);
    ipv4->size = swap16(size);
    ipv4->checksum = ~ones_complement_add(sum, ipv4->size);
}

static uint32_t ipv4_reply(Frame *frame, uint32_t size)
{
    Ipv4 *ipv4 = &frame->ipv4;
    uint32_t ip_size = swap16(ipv4->size);

    if (size < sizeof(frame->ethernet) + sizeof(*ipv4) + sizeof(Udp) ||
        ip_size < sizeof(*ipv4) + sizeof(Udp) ||
        ip_size > size - sizeof(frame->ethernet) ||
        ipv4->version != IPV4_NO_OPTIONS ||
        ipv4->fragment & swap16(IPV4_FRAGMENT_MASK) ||
        memcmp(ipv4->to, own_ip, sizeof(own_ip))) {
        return 0;
    }
    if (ipv4->protocol == PROTOCOL_ICMP &&
        frame->icmp.type == ICMP_ECHO_REQUEST) {
        frame->icmp.type = 0;       /* a reply; the checksum grows by it */
        frame->icmp.checksum = ones_complement_add(frame->icmp.checksum,
                                                   ICMP_ECHO_REQUEST);
        packets++;
    } else if (ipv4->protocol == PROTOCOL_UDP &&
               frame->udp.to == swap16(PORT_ECHO)) {
        packets++;
    } else if (ipv4->protocol == PROTOCOL_UDP &&
               frame->udp.to == swap16(PORT_COUNT)) {
        ip_size = count_fill(frame);
        ipv4_set_size(ipv4, ip_size);
    } else {
        return 0;
    }
    if (ipv4->protocol == PROTOCOL_UDP) {
        exchange(&frame->udp.from, &frame->udp.to, sizeof(frame->udp.to));
    }
    exchange(ipv4->from, ipv4->to, sizeof(ipv4->to));
    memcpy(frame->ethernet.to, frame->ethernet.from, sizeof(own_mac));
    memcpy(frame->ethernet.from, own_mac, sizeof(own_mac));
    return sizeof(frame->ethernet) + ip_size;
}

static void buffer_received(Buffer *buffer, uint32_t size)
{
    Frame *frame = &buffer->frame;
    uint32_t reply = 0;

    if (size > sizeof(buffer->header) + sizeof(frame->ethernet)) {
        size -= sizeof(buffer->header);
        if (frame->ethernet.type == swap16(TYPE_ARP)) {
            reply = arp_reply(frame, size);
        } else if (frame->ethernet.type == swap16(TYPE_IPV4)) {
            reply = ipv4_reply(frame, size);
        }
    }
    if (reply) {
        buffer_queue(&transmit, buffer, reply);
    } else {
        buffer_queue(&receive, buffer, FRAME_SIZE_MAX);
    }
}

static void interrupt(void)
{
    virtio_acknowledge(&device);
}

static void net_open(void)
{
    unsigned i;

    if (!virtio_open(&device, VIRTIO_PCI_NET, FEATURE_MAC)) {
        panic("echo: no virtio network card; add -netdev ...,id=n0 "
              "-device virtio-net-pci,netdev=n0");
    }
    for (i = 0; i < sizeof(own_mac); i++) {
        own_mac[i] = virtio_config8(&device, i);
    }
    virtio_queue_init(&device, &receive, 0);
    virtio_queue_init(&device, &transmit, 1);
    pci_handle_interrupts(interrupt);
    virtio_start(&device);
    print("echo ready mac=%02x:%02x:%02x:%02x:%02x:%02x ip=%u.%u.%u.%u\n",
          own_mac[0], own_mac[1], own_mac[2], own_mac[3], own_mac[4],
          own_mac[5], own_ip[0], own_ip[1], own_ip[2], own_ip[3]);
}

void rom_main(void)
{
    uint32_t reported = 0, report_tick = 0;
    uint32_t token, size;
    unsigned i;

    net_open();
    pit_init();
    for (i = 1; i < BUFFERS; i++) {
        buffer_queue(&receive, &buffers[i], FRAME_SIZE_MAX);
    }
    buffer_queue(&transmit, &buffers[0],
                 announcement_fill(&buffers[0].frame));
    for (;;) {
        irq_wait();
        while (virtio_queue_get(&transmit, &token, &size)) {
            buffer_queue(&receive, &buffers[token], FRAME_SIZE_MAX);
        }
        while (virtio_queue_get(&receive, &token, &size)) {
            buffer_received(&buffers[token], size);
        }
        /* Once a tick at most: the serial port is slower than the network. */
        if (packets != reported && pit_ticks != report_tick) {
            reported = packets;
            report_tick = pit_ticks;
            print("echo packets=%u\n", packets);
        }
    }
}
