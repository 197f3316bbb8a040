/*
 * A plug: a switch port that is a stream socket of one QEMU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE                     /* struct ucred */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plug.h"

#define PREFIX_SIZE 4
#define INPUT_SIZE (4 * (PREFIX_SIZE + FT_SWITCH_FRAME_MAX))
#define READS_PER_TURN 4                /* then the other ports' turn */

struct FtPlug {
    FtPort port;                        /* first: deliver() casts back */
    FtJournal *journal;
    int fd;
    gboolean deaf;                      /* a write failed: drop all, and wait
                                           for the end of what it sent */
    guint8 *input;                      /* INPUT_SIZE bytes */
    gsize input_used;
    GQueue queue;                       /* GBytes, prefix and frame */
    gsize queue_bytes;
    gsize head_sent;                    /* bytes of the head already sent */
};

G_STATIC_ASSERT(G_STRUCT_OFFSET(FtPlug, port) == 0);

static gboolean is_again(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

/* Sends what the socket takes of the bytes. */
static gsize send_some(FtPlug *plug, const void *data, gsize size)
{
    ssize_t sent = send(plug->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent >= 0) {
        return sent;
    }
    if (!is_again(errno)) {
        plug->deaf = TRUE;
    }
    return 0;
}

static void flush_queue(FtPlug *plug)
{
    while (!g_queue_is_empty(&plug->queue) && !plug->deaf) {
        GBytes *head = g_queue_peek_head(&plug->queue);
        gsize size;
        const guint8 *data = g_bytes_get_data(head, &size);

        plug->head_sent += send_some(plug, data + plug->head_sent,
                                     size - plug->head_sent);
        if (plug->head_sent < size) {
            return;
        }
        plug->head_sent = 0;
        plug->queue_bytes -= size;
        g_bytes_unref(g_queue_pop_head(&plug->queue));
    }
}

static gboolean plug_deliver(FtPort *port, const guint8 *frame, gsize size)
{
    FtPlug *plug = (FtPlug *)port;
    gsize total = PREFIX_SIZE + size;
    guint32 prefix = GUINT32_TO_BE(size);
    guint8 *buf;

    if (plug->deaf || plug->queue_bytes + total > FT_PLUG_QUEUE_MAX) {
        return FALSE;
    }
    buf = g_malloc(total);
    memcpy(buf, &prefix, PREFIX_SIZE);
    memcpy(buf + PREFIX_SIZE, frame, size);
    g_queue_push_tail(&plug->queue, g_bytes_new_take(buf, total));
    plug->queue_bytes += total;
    flush_queue(plug);
    return TRUE;
}

/* The process at the other end, or 0. */
static int peer_pid(int fd)
{
    struct ucred cred;
    socklen_t size = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0) {
        return 0;
    }
    return cred.pid;
}

FtPlug *ft_plug_new(FtSwitch *sw, FtJournal *journal, int fd)
{
    FtPlug *plug = g_new0(FtPlug, 1);

    plug->journal = journal;
    plug->fd = fd;
    plug->input = g_malloc(INPUT_SIZE);
    g_queue_init(&plug->queue);
    ft_switch_port_add(sw, &plug->port, plug_deliver);
    ft_journal_write(journal, "\"event\":\"open\",\"port\":%u,\"pid\":%d",
                     plug->port.number, peer_pid(fd));
    return plug;
}

void ft_plug_free(FtPlug *plug, const char *why)
{
    g_autofree char *escaped = g_strescape(why, NULL);

    ft_switch_port_remove(&plug->port);
    ft_journal_write(plug->journal,
                     "\"event\":\"close\",\"port\":%u,\"reason\":\"%s\"",
                     plug->port.number, escaped);
    close(plug->fd);
    g_queue_clear_full(&plug->queue, (GDestroyNotify)g_bytes_unref);
    g_free(plug->input);
    g_free(plug);
}

guint ft_plug_number(const FtPlug *plug)
{
    return plug->port.number;
}

int ft_plug_fd(const FtPlug *plug)
{
    return plug->fd;
}

short ft_plug_poll_events(const FtPlug *plug)
{
    if (plug->deaf || plug->queue_bytes == 0) {
        return POLLIN;
    }
    return POLLIN | POLLOUT;
}

/* Hands every whole frame of the input to the switch. */
static gboolean parse_input(FtPlug *plug, char **why)
{
    gsize at = 0;

    while (plug->input_used - at >= PREFIX_SIZE) {
        guint32 size;

        memcpy(&size, plug->input + at, PREFIX_SIZE);
        size = GUINT32_FROM_BE(size);
        if (size == 0 || size > FT_SWITCH_FRAME_MAX) {
            *why = g_strdup_printf(
                "a frame of %u bytes was announced (1 to %u are possible): "
                "this is not QEMU's -netdev stream", size,
                FT_SWITCH_FRAME_MAX);
            return FALSE;
        }
        if (plug->input_used - at - PREFIX_SIZE < size) {
            break;
        }
        ft_switch_input(&plug->port, plug->input + at + PREFIX_SIZE, size);
        at += PREFIX_SIZE + size;
    }
    plug->input_used -= at;
    memmove(plug->input, plug->input + at, plug->input_used);
    return TRUE;
}

static gboolean read_input(FtPlug *plug, char **why)
{
    for (int i = 0; i < READS_PER_TURN; i++) {
        gsize room = INPUT_SIZE - plug->input_used;
        ssize_t got = recv(plug->fd, plug->input + plug->input_used, room,
                           MSG_DONTWAIT);

        if (got == 0) {
            *why = g_strdup("closed by the other end");
            return FALSE;
        }
        if (got < 0) {
            if (is_again(errno)) {
                return TRUE;
            }
            *why = g_strdup_printf("read: %s", g_strerror(errno));
            return FALSE;
        }
        plug->input_used += got;
        if (!parse_input(plug, why)) {
            return FALSE;
        }
        if ((gsize)got < room) {
            return TRUE;
        }
    }
    return TRUE;
}

gboolean ft_plug_serve(FtPlug *plug, short revents, char **why)
{
    if (revents & POLLOUT) {
        flush_queue(plug);
    }
    /* What a dead QEMU sent before it died still counts: read to the end. */
    if (revents & (POLLIN | POLLHUP | POLLERR)) {
        return read_input(plug, why);
    }
    return TRUE;
}
