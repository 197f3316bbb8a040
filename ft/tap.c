/*
 * A guarded tap: packets out and in without the main loop.
 *
 *   tap --read--> reader's thread: queue --> vCPU's thread: event, log, guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <poll.h>
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/queue.h"
#include "qemu/units.h"
#include "net/eth.h"
#include "net/tap.h"
#include "replay/ft-stream.h"
#include "tap.h"

/*
 * What waits for the vCPU.  Beyond, the tap's own queue fills, and then
 * packets are dropped, as by a machine that is too slow.
 */
#define QUEUE_MAX (2 * MiB)
#define PACKET_MAX (68 * KiB)       /* as NET_BUFSIZE of the netdevs */

typedef struct Packet {
    size_t size;
    uint8_t data[];
} Packet;

/* Packets one after the other; memory that is never touched costs nothing. */
typedef struct Arena {
    uint8_t *bytes;                 /* QUEUE_MAX and room for one more */
    size_t used;
} Arena;

struct FtTap {
    int fd;
    NetClientState *netdev;
    FtTapPacketFn *fn;              /* BQL; NULL: closed */
    void *opaque;
    QemuThread thread;
    Arena *taken;                   /* the vCPU's thread */

    QemuMutex lock;
    QemuCond cond;
    /* Protected by lock; the reader alone writes beyond what is used. */
    Arena *arriving;
    bool closed;

    Arena arenas[2];
    QSLIST_ENTRY(FtTap) next;
};

static QSLIST_HEAD(, FtTap) taps = QSLIST_HEAD_INITIALIZER(taps);

bool ft_tap_write(FtTap *tap, const void *data, size_t size)
{
    return RETRY_ON_EINTR(write(tap->fd, data, size)) >= 0 || errno != EAGAIN;
}

static Packet *next_packet(const Arena *arena)
{
    return (Packet *)(arena->bytes + arena->used);
}

static size_t packet_room(size_t size)
{
    return ROUND_UP(sizeof(Packet) + size, _Alignof(Packet));
}

/* False: there is none. */
static bool read_packet(FtTap *tap, Packet *packet)
{
    uint8_t padded[ETH_ZLEN];
    size_t padded_size = sizeof(padded);
    ssize_t size = RETRY_ON_EINTR(read(tap->fd, packet->data, PACKET_MAX));

    if (size <= 0) {
        return false;
    }
    packet->size = size;
    if (net_peer_needs_padding(tap->netdev) &&
        eth_pad_short_frame(padded, &padded_size, packet->data, size)) {
        memcpy(packet->data, padded, padded_size);
        packet->size = padded_size;
    }
    return true;
}

/* Where the next packet may be read to; NULL: enough wait. */
static Packet *place(FtTap *tap)
{
    QEMU_LOCK_GUARD(&tap->lock);
    return tap->arriving->used < QUEUE_MAX ? next_packet(tap->arriving) : NULL;
}

/*
 * The packet counts from now on; true: it is the first.  Has the vCPU taken
 * the arena since place(), then it comes into the one that is filled now.
 */
static bool add(FtTap *tap, const Packet *packet)
{
    Packet *to;
    bool first;

    QEMU_LOCK_GUARD(&tap->lock);
    to = next_packet(tap->arriving);
    if (to != packet) {
        memmove(to, packet, sizeof(*packet) + packet->size);
    }
    first = !tap->arriving->used;
    tap->arriving->used += packet_room(packet->size);
    return first;
}

/*
 * Reads until there is no more, or enough; true: the vCPU has to be told.
 * What a guest that is not this side's business is sent is not kept.
 */
static bool read_some(FtTap *tap)
{
    bool first = false;
    Packet *packet;

    while ((packet = place(tap)) && read_packet(tap, packet)) {
        if (ft_stream_takes_input()) {
            first |= add(tap, packet);
        }
    }
    return first;
}

static void *reader_thread(void *opaque)
{
    FtTap *tap = opaque;
    struct pollfd pfd = { .fd = tap->fd, .events = POLLIN };

    for (;;) {
        RETRY_ON_EINTR(poll(&pfd, 1, -1));
        if (read_some(tap)) {
            ft_stream_input();
        }
        QEMU_LOCK_GUARD(&tap->lock);
        while (tap->arriving->used >= QUEUE_MAX && !tap->closed) {
            qemu_cond_wait(&tap->cond, &tap->lock);
        }
        if (tap->closed) {
            return NULL;
        }
    }
}

static void take(FtTap *tap)
{
    Arena *arena;

    WITH_QEMU_LOCK_GUARD(&tap->lock) {
        arena = tap->arriving;
        tap->arriving = tap->taken;
        tap->taken = arena;
        qemu_cond_signal(&tap->cond);
    }
    for (size_t at = 0; at < arena->used;) {
        Packet *packet = (Packet *)(arena->bytes + at);

        if (tap->fn) {
            tap->fn(tap->opaque, packet->data, packet->size);
        }
        at += packet_room(packet->size);
    }
    arena->used = 0;
}

void ft_tap_take_all(void)
{
    FtTap *tap;

    QSLIST_FOREACH(tap, &taps, next) {
        take(tap);
    }
}

FtTap *ft_tap_new(NetClientState *netdev, FtTapPacketFn *fn, void *opaque)
{
    FtTap *tap;
    int fd;

    if (netdev->info->type != NET_CLIENT_DRIVER_TAP ||
        (qemu_has_vnet_hdr(netdev) && !netdev->vnet_hdr_len)) {
        return NULL;
    }
    fd = fcntl(tap_get_fd(netdev), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        return NULL;
    }
    tap = g_new0(FtTap, 1);
    *tap = (FtTap) { .fd = fd, .netdev = netdev, .fn = fn, .opaque = opaque };
    qemu_mutex_init(&tap->lock);
    qemu_cond_init(&tap->cond);
    for (int i = 0; i < ARRAY_SIZE(tap->arenas); i++) {
        tap->arenas[i].bytes = g_malloc(QUEUE_MAX + packet_room(PACKET_MAX));
    }
    tap->arriving = &tap->arenas[0];
    tap->taken = &tap->arenas[1];
    QSLIST_INSERT_HEAD(&taps, tap, next);
    qemu_set_fd_handler(tap_get_fd(netdev), NULL, NULL, NULL);
    qemu_thread_create(&tap->thread, "ft-tap", reader_thread, tap,
                       QEMU_THREAD_DETACHED);
    return tap;
}

void ft_tap_close(FtTap *tap)
{
    tap->fn = NULL;
    QEMU_LOCK_GUARD(&tap->lock);
    tap->closed = true;
    qemu_cond_signal(&tap->cond);
}
