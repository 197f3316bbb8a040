/*
 * The way to the peer: the log channel (TCP) and the heartbeats (UDP).
 *
 * Purpose: frames and datagrams in and out; knows nothing of the protocol.
 * Thread: the driver's I/O thread only, unless said otherwise.
 * Ownership: data given to the callbacks is the channel's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_CHANNEL_H
#define FT_CHANNEL_H

#include "io/channel-socket.h"
#include "qapi/qapi-types-sockets.h"
#include "wire.h"

typedef struct FtChannelOps {
    /* Backup: may this connection be taken?  NULL, or why not. */
    const char *(*refuse)(void);
    void (*connected)(void);
    void (*connect_failed)(const char *why);
    void (*closed)(const char *why);
    void (*frame)(const FtFrame *frame, const uint8_t *payload);
    void (*bad_frame)(const char *why);
    void (*idle)(void);             /* no further frame is waiting */
    /* Whether it is the peer's: then the next ones go to its sender. */
    bool (*heartbeat)(const FtHeartbeat *heartbeat);
} FtChannelOps;

/*
 * Main thread, before the I/O thread runs.  A backup binds its address now,
 * so that a wrong or busy one is an error at the start.
 */
bool ft_channel_setup(SocketAddress *address, bool listen, Error **errp);
/* I/O thread: begins to work in its context. */
void ft_channel_start(GMainContext *context, const FtChannelOps *ops);

/*
 * A peer to connect to from now on, whoever connected to whom before.  Main
 * thread: resolves and opens.  NULL: *errp.
 */
typedef struct FtChannelPeer FtChannelPeer;
FtChannelPeer *ft_channel_peer_new(SocketAddress *address, Error **errp);
void ft_channel_peer_free(FtChannelPeer *peer);
/* I/O thread, no channel is open.  Takes peer. */
void ft_channel_set_peer(FtChannelPeer *peer);

void ft_channel_connect(void);      /* answered by connected/connect_failed */
void ft_channel_close(void);
void ft_channel_send(const FtFrame *frame, const void *payload);
void ft_channel_send_heartbeat(const FtHeartbeat *heartbeat);

#endif
