/*
 * ft-switch: an Ethernet switch in user space for protected pairs.
 *
 * Every QEMU of a pair plugs into one unix socket; the uplink leads to this
 * host's network through libslirp.  Needs no privilege.  docs/ft-switch.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE                     /* accept4 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "journal.h"
#include "plug.h"
#include "switch.h"
#include "uplink.h"

#define PLUGS_MAX 64

typedef struct Server {
    char *path;                     /* of the listening socket */
    int listen_fd;
    int signal_fd;
    FtJournal *journal;
    FtSwitch *sw;
    FtUplink *uplink;
    GPtrArray *plugs;               /* FtPlug */
    gboolean ending;
} Server;

typedef struct Options {
    char *socket;
    char **forwards;
    char *log;
} Options;

static void complain(const char *text)
{
    g_printerr("ft-switch: %s\n", text);
}

/* A socket file left by a switch that was killed is no reason to fail. */
static gboolean remove_stale(const struct sockaddr_un *addr, char **why)
{
    struct stat st;
    int fd, result;

    if (lstat(addr->sun_path, &st) < 0) {
        return TRUE;
    }
    if (!S_ISSOCK(st.st_mode)) {
        *why = g_strdup_printf("--socket: '%s' exists and is no socket: "
                               "choose another path", addr->sun_path);
        return FALSE;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    result = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
    close(fd);
    if (result == 0) {
        *why = g_strdup_printf("--socket: another process listens on '%s': "
                               "end it or choose another path",
                               addr->sun_path);
        return FALSE;
    }
    unlink(addr->sun_path);
    return TRUE;
}

static int listen_on(const char *path, char **why)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        *why = g_strdup_printf("--socket: the path is longer than %zu bytes: "
                               "choose a shorter one",
                               sizeof(addr.sun_path) - 1);
        return -1;
    }
    strcpy(addr.sun_path, path);
    if (!remove_stale(&addr, why)) {
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(fd, PLUGS_MAX) < 0) {
        *why = g_strdup_printf("--socket: can't listen on '%s': %s", path,
                               g_strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

static int watch_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void serve_signals(Server *server)
{
    struct signalfd_siginfo info;

    while (read(server->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGUSR1) {
            ft_switch_report(server->sw);
        } else {
            server->ending = TRUE;
        }
    }
}

static void serve_listener(Server *server)
{
    int fd = accept4(server->listen_fd, NULL, NULL,
                     SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        return;
    }
    if (server->plugs->len == PLUGS_MAX) {
        g_printerr("ft-switch: refused a port: there are %d already\n",
                   PLUGS_MAX);
        close(fd);
        return;
    }
    g_ptr_array_add(server->plugs,
                    ft_plug_new(server->sw, server->journal, fd));
}

static void serve_plug(Server *server, FtPlug *plug, short revents)
{
    g_autofree char *why = NULL;

    if (ft_plug_serve(plug, revents, &why)) {
        return;
    }
    g_printerr("ft-switch: port %u: %s\n", ft_plug_number(plug), why);
    g_ptr_array_remove(server->plugs, plug);
    ft_plug_free(plug, why);
}

static void add_fd(GArray *fds, int fd, short events)
{
    struct pollfd pfd = { .fd = fd, .events = events };

    g_array_append_val(fds, pfd);
}

/* One wait, and everything it found. */
static void run_turn(Server *server, GArray *fds)
{
    g_autoptr(GPtrArray) plugs = g_ptr_array_copy(server->plugs, NULL, NULL);
    guint32 timeout_ms = UINT32_MAX;
    int result;

    g_array_set_size(fds, 0);
    add_fd(fds, server->signal_fd, POLLIN);
    add_fd(fds, server->listen_fd, POLLIN);
    for (guint i = 0; i < plugs->len; i++) {
        FtPlug *plug = plugs->pdata[i];

        add_fd(fds, ft_plug_fd(plug), ft_plug_poll_events(plug));
    }
    ft_uplink_fill(server->uplink, fds, &timeout_ms);
    result = poll((struct pollfd *)fds->data, fds->len,
                  timeout_ms > INT_MAX ? -1 : (int)timeout_ms);
    for (guint i = 0; result > 0 && i < plugs->len; i++) {
        short revents = g_array_index(fds, struct pollfd, 2 + i).revents;

        if (revents) {
            serve_plug(server, plugs->pdata[i], revents);
        }
    }
    ft_uplink_serve(server->uplink, fds, result < 0);
    serve_listener(server);
    serve_signals(server);
}

static void serve_until_end(Server *server)
{
    GArray *fds = g_array_new(FALSE, FALSE, sizeof(struct pollfd));

    while (!server->ending) {
        run_turn(server, fds);
    }
    g_array_free(fds, TRUE);
}

static gboolean server_start(Server *server, const Options *options,
                             char **why)
{
    server->listen_fd = -1;
    server->plugs = g_ptr_array_new();
    server->journal = ft_journal_open(options->log, why);
    if (!server->journal) {
        return FALSE;
    }
    server->sw = ft_switch_new(server->journal);
    server->uplink = ft_uplink_new(server->sw, server->journal);
    for (char **rule = options->forwards; rule && *rule; rule++) {
        if (!ft_uplink_forward(server->uplink, *rule, why)) {
            return FALSE;
        }
    }
    server->listen_fd = listen_on(options->socket, why);
    if (server->listen_fd < 0) {
        return FALSE;
    }
    server->path = options->socket;
    server->signal_fd = watch_signals();
    return TRUE;
}

static void server_end(Server *server)
{
    while (server->plugs->len) {
        FtPlug *plug = g_ptr_array_remove_index(server->plugs, 0);

        ft_plug_free(plug, "the switch ended");
    }
    g_ptr_array_free(server->plugs, TRUE);
    if (server->uplink) {
        ft_uplink_free(server->uplink);
        ft_switch_free(server->sw);
    }
    if (server->journal) {
        ft_journal_close(server->journal);
    }
    if (server->path) {
        close(server->listen_fd);
        unlink(server->path);
    }
}

static gboolean parse_options(int argc, char **argv, Options *options,
                              char **why)
{
    const GOptionEntry entries[] = {
        { "socket", 's', 0, G_OPTION_ARG_FILENAME, &options->socket,
          "unix socket to which QEMUs connect", "PATH" },
        { "hostfwd", 'f', 0, G_OPTION_ARG_STRING_ARRAY, &options->forwards,
          "forward a port of this host to a guest; may be repeated",
          "tcp:127.0.0.1:PORT-10.0.2.15:PORT" },
        { "log", 'l', 0, G_OPTION_ARG_FILENAME, &options->log,
          "append what happens as JSON lines", "FILE" },
        { NULL },
    };
    g_autoptr(GOptionContext) context =
        g_option_context_new("- an Ethernet switch for protected pairs");
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_description(context,
        "QEMU's side: -netdev stream,id=n0,server=off,addr.type=unix,"
        "addr.path=PATH\n"
        "Network: 10.0.2.0/24, host 10.0.2.2, DNS 10.0.2.3, DHCP from "
        "10.0.2.15\n"
        "SIGTERM ends it; SIGUSR1 writes each port's counters to the log.\n");
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        *why = g_strdup_printf("%s; see --help", error->message);
        return FALSE;
    }
    if (argc > 1) {
        *why = g_strdup_printf("'%s' is not an option; see --help", argv[1]);
        return FALSE;
    }
    if (!options->socket) {
        *why = g_strdup("--socket PATH is missing; see --help");
        return FALSE;
    }
    return TRUE;
}

static void clear_options(Options *options)
{
    g_free(options->socket);
    g_strfreev(options->forwards);
    g_free(options->log);
}

static int run(const Options *options)
{
    g_autofree char *why = NULL;
    Server server = { 0 };
    gboolean started = server_start(&server, options, &why);

    if (started) {
        printf("ft-switch: ready on %s, %u forwards\n", options->socket,
               options->forwards ? g_strv_length(options->forwards) : 0);
        fflush(stdout);
        serve_until_end(&server);
    } else {
        complain(why);
    }
    server_end(&server);
    return started ? 0 : 1;
}

int main(int argc, char **argv)
{
    g_autofree char *why = NULL;
    Options options = { 0 };
    int status = 2;

    if (parse_options(argc, argv, &options, &why)) {
        status = run(&options);
    } else {
        complain(why);
    }
    clear_options(&options);
    return status;
}
