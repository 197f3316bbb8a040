/*
 * QMP's answer to a command that changes the guest is an output.
 *
 * Whoever reads it may rely on the guest being paused, running, reset; so it
 * leaves when the backup has the entry that makes it so.  The log has that
 * entry at the latest when the main loop has come round once: a reset and
 * the power button are taken there.  Other monitors, and other commands of
 * this one, are answered meanwhile.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "block/aio.h"
#include "monitor/monitor-internal.h"
#include "qobject/qdict.h"
#include "replay/ft-stream.h"
#include "control.h"
#include "ft.h"
#include "gate.h"

typedef struct Reply {
    FtOutput output;
    MonitorQMP *monitor;
    QDict *text;
} Reply;

/* Does another client use the monitor now?  Then it is not its answer. */
static bool begins_anew(const MonitorQMP *monitor)
{
    return monitor->commands == &qmp_cap_negotiation_commands;
}

static void reply_finish(FtOutput *output, bool emit)
{
    Reply *reply = container_of(output, Reply, output);

    if (emit && !begins_anew(reply->monitor)) {
        qmp_send_response(reply->monitor, reply->text);
    }
    qobject_unref(reply->text);
    g_free(reply);
}

/* The command's name, also of one for the human monitor; g_free. */
static char *command_of(QObject *request)
{
    QDict *dict = qobject_to(QDict, request);
    const char *name = dict ? qdict_get_try_str(dict, "execute") : NULL;
    QDict *arguments;

    if (name && !strcmp(name, "human-monitor-command")) {
        arguments = qdict_get_qdict(dict, "arguments");
        name = qdict_get_try_str(arguments, "command-line");
        name += strspn(name, " ");
        return g_strndup(name, strcspn(name, " "));
    }
    return g_strdup(name);
}

static void reply_hold(void *opaque)
{
    Reply *reply = opaque;

    ft_gate_hold(&reply->output);
}

bool ft_reply_hold(Monitor *monitor, QObject *request, QDict *text)
{
    g_autofree char *command = NULL;
    Reply *reply;

    if (!ft_stream_started() || !text || !qdict_haskey(text, "return")) {
        return false;
    }
    command = command_of(request);      /* it was good, so is its form */
    if (!command || !ft_control_changes_guest(command)) {
        return false;
    }
    reply = g_new0(Reply, 1);
    reply->output.finish = reply_finish;
    reply->monitor = container_of(monitor, MonitorQMP, common);
    reply->text = text;
    aio_bh_schedule_oneshot(qemu_get_aio_context(), reply_hold, reply);
    return true;
}
