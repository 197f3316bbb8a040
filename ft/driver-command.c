/*
 * The driver's part that gives a person's commands to the core.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "channel.h"
#include "driver-internal.h"
#include "options.h"

typedef struct Command {
    FtEventType type;
    bool only_ask;
    const char *why;
    QemuEvent done;
} Command;

static gboolean command_run(gpointer opaque)
{
    Command *command = opaque;
    FtEvent event = {
        .type = command->type,
        .position = ft_log_committed(&ft_driver_log),
    };

    if (ft_driver_core_can(command->type, &command->why)) {
        command->why = NULL;
        if (!command->only_ask) {
            ft_driver_feed(&event);
        }
    }
    qemu_event_set(&command->done);
    return G_SOURCE_REMOVE;
}

static const char *command(FtEventType type, bool only_ask)
{
    Command command = { .type = type, .only_ask = only_ask };

    if (ft_options.replay) {
        return "a replay of a log file has no pair to command";
    }
    if (!ft_driver_runs()) {
        return "the machine's state has not arrived (-incoming)";
    }
    qemu_event_init(&command.done, false);
    ft_driver_in_io_thread(command_run, &command, NULL);
    qemu_event_wait(&command.done);
    qemu_event_destroy(&command.done);
    return command.why;
}

const char *ft_driver_command(FtEventType type)
{
    return command(type, false);
}

const char *ft_driver_cannot_protect(void)
{
    return command(FT_EVENT_CMD_PROTECT, true);
}

typedef struct Protect {
    FtChannelPeer *peer;
    uint64_t state_id;
    char *identity;
} Protect;

static gboolean protect_run(gpointer opaque)
{
    Protect *protect = opaque;
    FtEvent event = {
        .type = FT_EVENT_CMD_PROTECT,
        .state_id = protect->state_id,
        .text = protect->identity,
    };

    ft_channel_set_peer(g_steal_pointer(&protect->peer));
    ft_driver_log_begin();
    ft_driver_lag_begin();
    ft_driver_feed(&event);
    return G_SOURCE_REMOVE;
}

static void protect_free(gpointer opaque)
{
    Protect *protect = opaque;

    g_free(protect->identity);
    g_free(protect);
}

void ft_driver_protect(FtChannelPeer *peer, uint64_t state_id, char *identity)
{
    Protect *protect = g_new(Protect, 1);

    *protect = (Protect) { peer, state_id, identity };
    ft_driver_in_io_thread(protect_run, protect, protect_free);
}

void ft_driver_protect_failed(const char *why)
{
    ft_driver_post(FT_EVENT_PROTECT_FAILED, 0, why);
}
