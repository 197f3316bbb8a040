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
#define QUEUE_MAX (4 * MiB)
#define PACKET_MAX (68 * KiB)       /* as NET_BUFSIZE of the netdevs */

typedef struct Packet {
    QSIMPLEQ_ENTRY(Packet) next;
    size_t size;
    uint8_t data[];
} Packet;

typedef QSIMPLEQ_HEAD(, Packet) PacketQueue;

struct FtTap {
    int fd;
    NetClientState *netdev;
    FtTapPacketFn *fn;              /* BQL; NULL: closed */
    void *opaque;
    QemuThread thread;
    uint8_t *buf;                   /* the reader's */

    QemuMutex lock;
    QemuCond taken;
    /* Protected by lock. */
    PacketQueue queue;
    size_t queued;
    bool closed;

    QSLIST_ENTRY(FtTap) next;
};

static QSLIST_HEAD(, FtTap) taps = QSLIST_HEAD_INITIALIZER(taps);

bool ft_tap_write(FtTap *tap, const void *data, size_t size)
{
    return RETRY_ON_EINTR(write(tap->fd, data, size)) >= 0 || errno != EAGAIN;
}

/* What a guest that is not this side's business is sent is not kept. */
static Packet *read_packet(FtTap *tap)
{
    uint8_t padded[ETH_ZLEN];
    size_t padded_size = sizeof(padded);
    const uint8_t *data = tap->buf;
    ssize_t size = RETRY_ON_EINTR(read(tap->fd, tap->buf, PACKET_MAX));
    Packet *packet;

    if (size <= 0) {
        return NULL;
    }
    if (net_peer_needs_padding(tap->netdev) &&
        eth_pad_short_frame(padded, &padded_size, data, size)) {
        data = padded;
        size = padded_size;
    }
    packet = g_malloc(sizeof(*packet) + size);
    packet->size = size;
    memcpy(packet->data, data, size);
    return packet;
}

/* Reads until there is no more, or enough; true: the vCPU has to be told. */
static bool read_some(FtTap *tap)
{
    bool first = false;
    Packet *packet;

    while ((packet = read_packet(tap))) {
        if (!ft_stream_takes_input()) {
            g_free(packet);
            continue;
        }
        QEMU_LOCK_GUARD(&tap->lock);
        first |= QSIMPLEQ_EMPTY(&tap->queue);
        QSIMPLEQ_INSERT_TAIL(&tap->queue, packet, next);
        tap->queued += packet->size;
        if (tap->queued >= QUEUE_MAX) {
            break;
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
        while (tap->queued >= QUEUE_MAX && !tap->closed) {
            qemu_cond_wait(&tap->taken, &tap->lock);
        }
        if (tap->closed) {
            return NULL;
        }
    }
}

static void take(FtTap *tap)
{
    PacketQueue queue = QSIMPLEQ_HEAD_INITIALIZER(queue);
    Packet *packet;

    WITH_QEMU_LOCK_GUARD(&tap->lock) {
        QSIMPLEQ_CONCAT(&queue, &tap->queue);
        tap->queued = 0;
        qemu_cond_signal(&tap->taken);
    }
    while ((packet = QSIMPLEQ_FIRST(&queue))) {
        QSIMPLEQ_REMOVE_HEAD(&queue, next);
        if (tap->fn) {
            tap->fn(tap->opaque, packet->data, packet->size);
        }
        g_free(packet);
    }
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
    tap->buf = g_malloc(PACKET_MAX);
    qemu_mutex_init(&tap->lock);
    qemu_cond_init(&tap->taken);
    QSIMPLEQ_INIT(&tap->queue);
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
    qemu_cond_signal(&tap->taken);
}
