/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>

#include "echo.h"
#include "memory.h"
#include "pit.h"
#include "print.h"

enum {
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
        uint8_t data[ECHO_FRAME_SIZE_MAX - sizeof(Ethernet)];
    };
} Frame;

static const uint8_t own_ip[4] = { 10, 0, 2, 15 };
static uint8_t own_mac[6];
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

uint32_t echo_announcement(void *buffer)
{
    Frame *frame = buffer;

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

uint32_t echo_answer(void *buffer, uint32_t size)
{
    Frame *frame = buffer;

    if (size <= sizeof(frame->ethernet)) {
        return 0;
    }
    if (frame->ethernet.type == swap16(TYPE_ARP)) {
        return arp_reply(frame, size);
    }
    if (frame->ethernet.type == swap16(TYPE_IPV4)) {
        return ipv4_reply(frame, size);
    }
    return 0;
}

void echo_open(const uint8_t mac[6])
{
    memcpy(own_mac, mac, sizeof(own_mac));
    print("echo ready mac=%02x:%02x:%02x:%02x:%02x:%02x ip=%u.%u.%u.%u\n",
          own_mac[0], own_mac[1], own_mac[2], own_mac[3], own_mac[4],
          own_mac[5], own_ip[0], own_ip[1], own_ip[2], own_ip[3]);
}

void echo_report(void)
{
    static uint32_t reported, report_tick;

    if (packets != reported && pit_ticks != report_tick) {
        reported = packets;
        report_tick = pit_ticks;
        print("echo packets=%u\n", packets);
    }
}
