/*
 * The way to the peer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/clone-visitor.h"
#include "qapi/qapi-visit-sockets.h"
#include "qemu/error-report.h"
#include "qemu/sockets.h"
#include "qemu/units.h"
#include "io/net-listener.h"
#include "channel.h"
#include "limits.h"
#include "trace.h"
#include "wire-stream.h"

#define READ_SIZE (256 * KiB)

static struct {
    const FtChannelOps *ops;
    GMainContext *context;
    SocketAddress *address;
    bool listens;
    QIONetListener *listener;

    /* The log channel; sioc is NULL when there is none. */
    QIOChannelSocket *sioc;
    GSource *readable, *writable;
    FtWireReader *reader;
    FtWireWriter *writer;
    GByteArray *in;
    GByteArray *out;
    size_t out_done;

    /* Heartbeats. */
    int udp;
    GIOChannel *udp_channel;
    GSource *udp_source;
    struct sockaddr_storage udp_peer;   /* backup: who sent the last one */
    socklen_t udp_peer_len;
} ch = { .udp = -1 };

/* --- heartbeats --------------------------------------------------------- */

static int udp_open(const InetSocketAddress *inet, bool listens, Error **errp)
{
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM,
                              .ai_flags = listens ? AI_PASSIVE : 0 };
    struct addrinfo *list, *ai;
    int udp = -1;
    int ret = getaddrinfo(*inet->host ? inet->host : NULL, inet->port, &hints,
                          &list);

    if (ret) {
        error_setg(errp, "address '%s:%s': %s", inet->host, inet->port,
                   gai_strerror(ret));
        return -1;
    }
    for (ai = list; ai; ai = ai->ai_next) {
        int fd = qemu_socket(ai->ai_family, SOCK_DGRAM, 0);

        if (fd < 0) {
            continue;
        }
        if (!(listens ? bind(fd, ai->ai_addr, ai->ai_addrlen)
                      : connect(fd, ai->ai_addr, ai->ai_addrlen))) {
            udp = fd;
            break;
        }
        ret = errno;
        close(fd);
    }
    freeaddrinfo(list);
    if (udp < 0) {
        error_setg_errno(errp, ret, "heartbeats (UDP) at '%s:%s'", inet->host,
                         inet->port);
        return -1;
    }
    qemu_socket_set_nonblock(udp);
    return udp;
}

static gboolean udp_readable(GIOChannel *source, GIOCondition condition,
                             gpointer data)
{
    uint8_t buf[FT_HEARTBEAT_SIZE + 1];
    struct sockaddr_storage from;
    FtHeartbeat heartbeat;
    const char *why;
    ssize_t n;

    for (;;) {
        socklen_t len = sizeof(from);

        n = recvfrom(ch.udp, buf, sizeof(buf), 0, (struct sockaddr *)&from,
                     &len);
        if (n < 0) {
            return G_SOURCE_CONTINUE;   /* none left, or ICMP says refused */
        }
        if (ft_wire_heartbeat_in(&heartbeat, buf, n, &why) &&
            ch.ops->heartbeat(&heartbeat) && ch.listens) {
            ch.udp_peer = from;
            ch.udp_peer_len = len;
        }
    }
}

void ft_channel_send_heartbeat(const FtHeartbeat *heartbeat)
{
    uint8_t datagram[FT_HEARTBEAT_SIZE];

    ft_wire_heartbeat_out(heartbeat, datagram);
    /* A datagram that can't be sent is a datagram that got lost. */
    if (!ch.listens) {
        (void)!send(ch.udp, datagram, sizeof(datagram), MSG_NOSIGNAL);
    } else if (ch.udp_peer_len) {
        (void)!sendto(ch.udp, datagram, sizeof(datagram), MSG_NOSIGNAL,
                      (struct sockaddr *)&ch.udp_peer, ch.udp_peer_len);
    }
}

/* --- the log channel ---------------------------------------------------- */

static void drop_source(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

static void forget_channel(void)
{
    drop_source(&ch.readable);
    drop_source(&ch.writable);
    g_clear_pointer(&ch.reader, ft_wire_reader_free);
    g_clear_pointer(&ch.writer, ft_wire_writer_free);
    g_clear_pointer(&ch.in, g_byte_array_unref);
    g_clear_pointer(&ch.out, g_byte_array_unref);
    ch.out_done = 0;
    qio_channel_close(QIO_CHANNEL(ch.sioc), NULL);
    object_unref(OBJECT(ch.sioc));
    ch.sioc = NULL;
}

static void channel_lost(const char *why)
{
    g_autofree char *text = g_strdup(why);

    trace_ft_channel_closed(text);
    forget_channel();
    ch.ops->closed(text);
}

/* To close a socket that has something unread resets the connection. */
static void discard_unread(void)
{
    uint8_t buf[16 * 1024];
    int rounds = 64;

    while (rounds-- && recv(ch.sioc->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
        continue;
    }
}

void ft_channel_close(void)
{
    if (ch.sioc) {
        trace_ft_channel_closed("by this side");
        /* What was sent, a reason or an END, still arrives. */
        shutdown(ch.sioc->fd, SHUT_WR);
        discard_unread();
        forget_channel();
    }
}

/* False: the channel is lost, or was closed by a callback. */
static bool take_frames(void)
{
    QIOChannelSocket *mine = ch.sioc;
    const uint8_t *payload;
    const char *why;
    FtFrame frame;
    guint at = 0;
    gssize n;

    while ((n = ft_wire_reader_next(ch.reader, ch.in->data + at,
                                    ch.in->len - at, &frame, &payload,
                                    &why)) > 0) {
        ch.ops->frame(&frame, payload);
        if (ch.sioc != mine) {
            return false;
        }
        at += n;
    }
    if (n < 0) {
        ch.ops->bad_frame(why);
        return false;
    }
    g_byte_array_remove_range(ch.in, 0, at);
    return true;
}

static gboolean channel_readable(QIOChannel *ioc, GIOCondition condition,
                                 gpointer opaque)
{
    g_autoptr(Error) err = NULL;
    guint have = ch.in->len;
    ssize_t n;

    g_byte_array_set_size(ch.in, have + READ_SIZE);
    n = qio_channel_read(ioc, (char *)ch.in->data + have, READ_SIZE, &err);
    g_byte_array_set_size(ch.in, have + MAX(n, 0));
    if (n == QIO_CHANNEL_ERR_BLOCK) {
        return G_SOURCE_CONTINUE;
    }
    if (n <= 0) {
        channel_lost(n ? error_get_pretty(err) : "the peer closed it");
        return G_SOURCE_CONTINUE;
    }
    if (take_frames()) {
        ch.ops->idle();
    }
    return G_SOURCE_CONTINUE;
}

/*
 * What waits, then size bytes at data; what the network does not take now
 * waits.  A write error shows again as a read error; it is reported there.
 */
static void write_out(const uint8_t *data, size_t size)
{
    while (ch.out_done < ch.out->len || size) {
        struct iovec iov[] = {
            { ch.out->data + ch.out_done, ch.out->len - ch.out_done },
            { (void *)data, size },
        };
        ssize_t n = qio_channel_writev(QIO_CHANNEL(ch.sioc), iov,
                                       size ? 2 : 1, NULL);
        size_t waited = MIN(MAX(n, 0), iov[0].iov_len);

        if (n <= 0) {
            break;
        }
        ch.out_done += waited;
        data += n - waited;
        size -= n - waited;
    }
    g_byte_array_append(ch.out, data, size);
    if (ch.out_done == ch.out->len || ch.out_done > ch.out->len / 2) {
        g_byte_array_remove_range(ch.out, 0, ch.out_done);
        ch.out_done = 0;
    }
}

/* Bytes that were sent but that the network has not taken yet. */
static size_t backlog(void)
{
    return ch.sioc ? ch.out->len - ch.out_done : 0;
}

static gboolean channel_writable(QIOChannel *ioc, GIOCondition condition,
                                 gpointer opaque)
{
    write_out(NULL, 0);
    if (backlog() && !(condition & (G_IO_ERR | G_IO_HUP))) {
        return G_SOURCE_CONTINUE;
    }
    g_source_unref(ch.writable);
    ch.writable = NULL;
    return G_SOURCE_REMOVE;
}

void ft_channel_send(const FtFrame *frame, const void *payload)
{
    size_t rest;

    if (!ch.sioc) {
        return;
    }
    rest = ft_wire_writer_begin(ch.writer, frame, payload, ch.out);
    if (ch.writable) {
        g_byte_array_append(ch.out, payload, rest);
        return;
    }
    write_out(payload, rest);
    if (backlog()) {
        ch.writable = qio_channel_add_watch_source(
            QIO_CHANNEL(ch.sioc), G_IO_OUT,
            channel_writable, NULL, NULL,
            ch.context);
    }
}

static void adopt(QIOChannelSocket *sioc, const char *who)
{
    trace_ft_channel_open(who);
    ch.sioc = QIO_CHANNEL_SOCKET(object_ref(OBJECT(sioc)));
    qio_channel_set_blocking(QIO_CHANNEL(sioc), false, NULL);
    qio_channel_set_delay(QIO_CHANNEL(sioc), false);
    ch.reader = ft_wire_reader_new();
    ch.writer = ft_wire_writer_new();
    ch.in = g_byte_array_new();
    ch.out = g_byte_array_new();
    ch.out_done = 0;
    ch.readable = qio_channel_add_watch_source(
        QIO_CHANNEL(sioc), G_IO_IN | G_IO_HUP | G_IO_ERR,
        channel_readable, NULL, NULL,
        ch.context);
    /* Nothing here runs the loop; else glib polls twice for each message. */
    g_source_set_can_recurse(ch.readable, true);
    ch.ops->connected();
}

/* One write into an empty socket buffer; a peer that is gone won't mind. */
static void refuse(QIOChannelSocket *sioc, const char *why)
{
    FtFrame frame = { .type = FT_FRAME_REFUSE, .length = strlen(why) };
    g_autofree uint8_t *bytes = g_malloc(FT_FRAME_HEADER_SIZE + frame.length);

    trace_ft_channel_refused(why);
    ft_wire_frame_out(&frame, why, bytes);
    memcpy(bytes + FT_FRAME_HEADER_SIZE, why, frame.length);
    qio_channel_set_blocking(QIO_CHANNEL(sioc), false, NULL);
    qio_channel_write(QIO_CHANNEL(sioc), (char *)bytes,
                      FT_FRAME_HEADER_SIZE + frame.length, NULL);
    shutdown(sioc->fd, SHUT_WR);
    qio_channel_close(QIO_CHANNEL(sioc), NULL);
}

static void accepted(QIONetListener *listener, QIOChannelSocket *sioc,
                     gpointer data)
{
    const char *why = ch.ops->refuse();

    if (why) {
        refuse(sioc, why);
    } else {
        adopt(sioc, "a primary connected");
    }
}

static void connect_done(QIOTask *task, gpointer opaque)
{
    QIOChannelSocket *sioc = QIO_CHANNEL_SOCKET(qio_task_get_source(task));
    Error *err = NULL;

    if (qio_task_propagate_error(task, &err)) {
        ch.ops->connect_failed(error_get_pretty(err));
        error_free(err);
    } else {
        adopt(sioc, "connected to the backup");
    }
}

void ft_channel_connect(void)
{
    g_autoptr(QIOChannelSocket) sioc = qio_channel_socket_new();

    qio_channel_set_name(QIO_CHANNEL(sioc), "ft-log");
    qio_channel_socket_connect_async(sioc, ch.address, connect_done, NULL,
                                     NULL, ch.context);
}

bool ft_channel_setup(SocketAddress *address, bool listens, Error **errp)
{
    ch.address = address;
    ch.listens = listens;
    if (listens) {
        ch.listener = qio_net_listener_new();
        qio_net_listener_set_name(ch.listener, "ft-listen");
        if (qio_net_listener_open_sync(ch.listener, address, 4, errp) < 0) {
            return false;
        }
    }
    ch.udp = udp_open(&address->u.inet, listens, errp);
    return ch.udp >= 0;
}

static void watch_heartbeats(void)
{
    ch.udp_channel = g_io_channel_unix_new(ch.udp);
    ch.udp_source = g_io_create_watch(ch.udp_channel, G_IO_IN);
    g_source_set_callback(ch.udp_source,
                          (GSourceFunc)(void (*)(void))udp_readable, NULL,
                          NULL);
    g_source_set_can_recurse(ch.udp_source, true);
    g_source_attach(ch.udp_source, ch.context);
}

void ft_channel_start(GMainContext *context, const FtChannelOps *ops)
{
    ch.context = context;
    ch.ops = ops;
    if (ch.listener) {
        qio_net_listener_set_client_func_full(ch.listener, accepted, NULL,
                                              NULL, context);
    }
    watch_heartbeats();
}

struct FtChannelPeer {
    SocketAddress *address;
    int udp;
};

FtChannelPeer *ft_channel_peer_new(SocketAddress *address, Error **errp)
{
    FtChannelPeer *peer;
    int udp = udp_open(&address->u.inet, false, errp);

    if (udp < 0) {
        return NULL;
    }
    peer = g_new(FtChannelPeer, 1);
    *peer = (FtChannelPeer) { QAPI_CLONE(SocketAddress, address), udp };
    return peer;
}

void ft_channel_peer_free(FtChannelPeer *peer)
{
    if (peer) {
        close(peer->udp);
        qapi_free_SocketAddress(peer->address);
        g_free(peer);
    }
}

void ft_channel_set_peer(FtChannelPeer *peer)
{
    if (ch.listener) {
        qio_net_listener_disconnect(ch.listener);
        g_clear_pointer(&ch.listener, object_unref);
    }
    drop_source(&ch.udp_source);
    g_io_channel_unref(ch.udp_channel);
    close(ch.udp);
    ch.listens = false;
    ch.udp = peer->udp;
    ch.address = peer->address;
    g_free(peer);
    watch_heartbeats();
}
