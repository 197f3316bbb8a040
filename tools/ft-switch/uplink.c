/*
 * The uplink: the switch port behind which the host's network is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <string.h>

#include "uplink.h"

struct FtUplink {
    FtPort port;                    /* first: deliver() casts back */
    FtJournal *journal;
    Slirp *slirp;
    GArray *fds;                    /* of the turn that fill() began */
};

G_STATIC_ASSERT(G_STRUCT_OFFSET(FtUplink, port) == 0);

static gboolean uplink_deliver(FtPort *port, const guint8 *frame, gsize size)
{
    slirp_input(((FtUplink *)port)->slirp, frame, size);
    return TRUE;
}

/* libslirp's callbacks */

static ssize_t on_send_packet(const void *buf, size_t len, void *opaque)
{
    FtUplink *uplink = opaque;

    ft_switch_input(&uplink->port, buf, len);
    return len;
}

static void on_guest_error(const char *msg, void *opaque)
{
    g_printerr("ft-switch: uplink: a guest sent something odd: %s\n", msg);
}

static int64_t on_clock_get_ns(void *opaque)
{
    return g_get_monotonic_time() * 1000;
}

/* Only IPv6 router advertisements have a timer, and IPv6 is off. */
static void *on_timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
    g_assert_not_reached();
}

static void on_timer_free(void *timer, void *opaque)
{
    g_assert_not_reached();
}

static void on_timer_mod(void *timer, int64_t expire_time, void *opaque)
{
    g_assert_not_reached();
}

/* Every turn asks for all descriptors anew: nothing to register or kick. */
static void on_poll_fd(int fd, void *opaque)
{
}

static void on_notify(void *opaque)
{
}

static const SlirpCb callbacks = {
    .send_packet = on_send_packet,
    .guest_error = on_guest_error,
    .clock_get_ns = on_clock_get_ns,
    .timer_new = on_timer_new,
    .timer_free = on_timer_free,
    .timer_mod = on_timer_mod,
    .register_poll_fd = on_poll_fd,
    .unregister_poll_fd = on_poll_fd,
    .notify = on_notify,
};

static struct in_addr address(const char *text)
{
    struct in_addr addr;

    inet_aton(text, &addr);
    return addr;
}

FtUplink *ft_uplink_new(FtSwitch *sw, FtJournal *journal)
{
    FtUplink *uplink = g_new0(FtUplink, 1);
    SlirpConfig config = {
        .version = 1,
        .in_enabled = true,
        .vnetwork = address("10.0.2.0"),
        .vnetmask = address("255.255.255.0"),
        .vhost = address("10.0.2.2"),
        .vnameserver = address("10.0.2.3"),
        .vdhcp_start = address("10.0.2.15"),
        .vhostname = "ft-switch",
    };

    uplink->journal = journal;
    uplink->slirp = slirp_new(&config, &callbacks, uplink);
    g_assert(uplink->slirp);
    ft_switch_port_add(sw, &uplink->port, uplink_deliver);
    ft_journal_write(journal, "\"event\":\"open\",\"port\":%u,\"uplink\":true",
                     uplink->port.number);
    return uplink;
}

void ft_uplink_free(FtUplink *uplink)
{
    slirp_cleanup(uplink->slirp);
    ft_switch_port_remove(&uplink->port);
    g_free(uplink);
}

/* "ADDR:PORT"; an empty ADDR means fallback. */
static gboolean parse_endpoint(const char *text, const char *fallback,
                               struct in_addr *addr, int *port)
{
    g_auto(GStrv) parts = g_strsplit(text, ":", -1);
    guint64 number;

    if (g_strv_length(parts) != 2) {
        return FALSE;
    }
    if (!g_ascii_string_to_unsigned(parts[1], 10, 1, 65535, &number, NULL)) {
        return FALSE;
    }
    *port = number;
    return inet_aton(*parts[0] ? parts[0] : fallback, addr);
}

gboolean ft_uplink_forward(FtUplink *uplink, const char *rule, char **why)
{
    gboolean udp = g_str_has_prefix(rule, "udp:");
    g_auto(GStrv) ends = NULL;
    struct in_addr host, guest;
    int host_port, guest_port;

    if (udp || g_str_has_prefix(rule, "tcp:")) {
        ends = g_strsplit(rule + strlen("tcp:"), "-", -1);
    }
    if (!ends || g_strv_length(ends) != 2 ||
        !parse_endpoint(ends[0], "127.0.0.1", &host, &host_port) ||
        !parse_endpoint(ends[1], "10.0.2.15", &guest, &guest_port)) {
        *why = g_strdup_printf(
            "--hostfwd: '%s' is not a forward: write PROTOCOL:HOSTADDR:PORT-"
            "GUESTADDR:PORT, as in tcp:127.0.0.1:6379-10.0.2.15:6379", rule);
        return FALSE;
    }
    errno = 0;
    if (slirp_add_hostfwd(uplink->slirp, udp, host, host_port, guest,
                          guest_port) < 0) {
        *why = g_strdup_printf(
            "--hostfwd: can't listen for '%s': %s; another process may have "
            "port %d: choose another", rule, g_strerror(errno), host_port);
        return FALSE;
    }
    return TRUE;
}

static int on_add_poll(int fd, int events, void *opaque)
{
    FtUplink *uplink = opaque;
    struct pollfd pfd = { .fd = fd };

    pfd.events = (events & SLIRP_POLL_IN ? POLLIN : 0) |
                 (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                 (events & SLIRP_POLL_PRI ? POLLPRI : 0);
    g_array_append_val(uplink->fds, pfd);
    return uplink->fds->len - 1;
}

static int on_get_revents(int idx, void *opaque)
{
    FtUplink *uplink = opaque;
    short revents = g_array_index(uplink->fds, struct pollfd, idx).revents;

    return (revents & POLLIN ? SLIRP_POLL_IN : 0) |
           (revents & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (revents & POLLPRI ? SLIRP_POLL_PRI : 0) |
           (revents & POLLERR ? SLIRP_POLL_ERR : 0) |
           (revents & POLLHUP ? SLIRP_POLL_HUP : 0);
}

void ft_uplink_fill(FtUplink *uplink, GArray *fds, guint32 *timeout_ms)
{
    uplink->fds = fds;
    slirp_pollfds_fill(uplink->slirp, timeout_ms, on_add_poll, uplink);
}

void ft_uplink_serve(FtUplink *uplink, GArray *fds, gboolean poll_failed)
{
    uplink->fds = fds;
    slirp_pollfds_poll(uplink->slirp, poll_failed, on_get_revents, uplink);
    uplink->fds = NULL;
}
