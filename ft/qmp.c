/*
 * The subsystem's QMP and HMP side.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-ft.h"
#include "qapi/qapi-events-ft.h"
#include "qapi/type-helpers.h"
#include "monitor/monitor.h"
#include "replay/ft-stream.h"
#include "digest.h"
#include "disk.h"
#include "disks.h"
#include "driver.h"
#include "fence.h"
#include "gate.h"
#include "log-sink.h"
#include "options.h"
#include "protect.h"
#include "qmp.h"
#include "settings.h"
#include "timeline.h"

static char *node_name;

/* The schema's enum is the core's, in the same order. */
QEMU_BUILD_BUG_ON((int)FT_STATE_INIT != (int)FT_INFO_STATE_INIT);
QEMU_BUILD_BUG_ON((int)FT_STATE_PROTECTED != (int)FT_INFO_STATE_PROTECTED);
QEMU_BUILD_BUG_ON((int)FT_STATE_ALONE != (int)FT_INFO_STATE_ALONE);
QEMU_BUILD_BUG_ON((int)FT_STATE__MAX != (int)FT_INFO_STATE_OFF);

#define WITHOUT_FT "QEMU runs without -ft; this machine is not protected"

static bool check_given(Error **errp)
{
    if (!ft_options.given) {
        error_setg(errp, WITHOUT_FT);
        return false;
    }
    return true;
}

static FtInfo *info_off(void)
{
    FtInfo *info = g_new0(FtInfo, 1);

    info->role = FT_INFO_ROLE_NONE;
    info->state = FT_INFO_STATE_OFF;
    info->reason = g_strdup(ft_core_reason_name(FT_REASON_NONE));
    info->text = g_strdup(WITHOUT_FT);
    info->cause = g_strdup(ft_core_reason_name(FT_REASON_NONE));
    info->node = g_strdup("");
    info->peer = g_strdup("");
    info->peer_node = g_strdup("");
    info->lease = g_new0(FtLeaseInfo, 1);
    info->lease->uri = g_strdup("");
    info->lease->owner = g_strdup("");
    info->lease->partner = g_strdup("");
    return info;
}

static FtLogFileInfo *log_file_info(void)
{
    FtLogSinkStatus status;
    FtLogFileInfo *info;

    ft_log_sink_status(&status);
    if (!status.path) {
        return NULL;
    }
    info = g_new0(FtLogFileInfo, 1);
    info->path = g_strdup(status.path);
    info->writing = status.writing;
    info->bytes = status.bytes;
    info->text = g_strdup(status.text);
    return info;
}

static FtDisksInfo *disks_info(void)
{
    FtDisksInfo *info = g_new0(FtDisksInfo, 1);
    FtDiskStatus status;

    ft_disk_status(&status);
    info->shared = ft_disks_shared();
    info->active = status.active;
    info->unfinished = status.unfinished;
    info->held_writes = status.held;
    info->text = g_strdup(status.why);
    info->fence = ft_fence_text();
    return info;
}

FtInfo *qmp_query_ft(Error **errp)
{
    FtDriverStatus st;
    FtGateStatus gate;
    FtInfo *info;

    if (!ft_options.given) {
        return info_off();
    }
    ft_driver_status(&st);
    ft_gate_status(&gate);
    info = g_new0(FtInfo, 1);
    info->role = st.core.role == FT_ROLE_PRIMARY ? FT_INFO_ROLE_PRIMARY
                                                 : FT_INFO_ROLE_BACKUP;
    info->state = (FtInfoState)st.core.state;
    info->reason = g_strdup(ft_core_reason_name(st.core.reason));
    info->text = g_strdup(st.text);
    info->cause = g_strdup(ft_core_reason_name(st.core.cause));
    info->node = g_strdup(node_name);
    info->peer = g_strdup(ft_options.address_text);
    info->peer_node = g_strdup(st.peer_node);
    info->session = st.core.session;
    info->generation = st.core.generation;
    info->appended = st.core.appended;
    info->sent = st.core.sent;
    info->acknowledged = st.core.acknowledged;
    info->executed = st.core.executed;
    info->icount = ft_stream_icount();
    info->lag_bytes = info->appended - MIN(info->executed, info->appended);
    if (st.core.role == FT_ROLE_PRIMARY &&
        st.core.state == FT_STATE_PROTECTED) {
        info->lag_instructions =
            info->icount - MIN(st.core.peer_icount, info->icount);
        info->lag_ms = st.lag_ms;
    }
    info->log_rate = st.log_rate;
    info->held_outputs = gate.held;
    info->held_bytes = gate.held_bytes;
    info->heartbeats = st.core.heartbeats_seen;
    info->jitter_ms = st.core.jitter_ms;
    info->suspect_ms = st.core.suspect_ms;
    info->takeover = ft_timeline_query();
    info->digest_interval_ms = ft_options.digest_ms;
    ft_digest_status(&info->digests, &info->digest_position);
    info->lease = g_new0(FtLeaseInfo, 1);
    info->lease->uri = g_strdup(ft_options.lease_uri);
    info->lease->generation = st.core.lease.generation;
    info->lease->owner = g_strdup(st.core.lease.owner);
    info->lease->partner = g_strdup(st.core.lease.partner);
    info->log_file = log_file_info();
    info->disks = disks_info();
    info->has_copied_percent = ft_protect_copies(&info->copied_percent);
    if (ft_options.replay) {
        info->role = FT_INFO_ROLE_REPLAY;
        info->state = FT_INFO_STATE_REPLAYING;
    }
    info->settings = ft_settings_list();
    return info;
}

static void append_silence(GString *buf, const FtInfo *i)
{
    const FtTakeover *t = i->takeover;

    if (i->suspect_ms) {
        g_string_append_printf(buf, "silence: %u ms at most of late; the peer "
                               "is suspected after %u ms\n", i->jitter_ms,
                               i->suspect_ms);
    }
    if (t) {
        g_string_append_printf(buf, "last takeover (%s, generation %" PRIu64
                               "): detection %.1f ms, lease %.1f ms, fence "
                               "%.1f ms, drain %.1f ms, switch %.1f ms, "
                               "announcement %.1f ms\n",
                               t->cause, t->generation,
                               t->detection_us / 1e3, t->lease_us / 1e3,
                               t->fence_us / 1e3, t->drain_us / 1e3,
                               t->switch_us / 1e3,
                               t->announcement_us / 1e3);
    }
}

static void append_disks(GString *buf, const FtDisksInfo *disks)
{
    if (!disks->shared) {
        g_string_append(buf, "disks: each side's own\n");
        return;
    }
    g_string_append_printf(buf, "disks: shared, %s; %u requests unfinished, "
                           "%u writes wait%s%s\n", disks->active
                           ? "used by this machine"
                           : "not used by this machine", disks->unfinished,
                           disks->held_writes, disks->text ? "; " : "",
                           disks->text ?: "");
    if (disks->fence) {
        g_string_append_printf(buf, "fence: %s\n", disks->fence);
    }
}

static HumanReadableText *info_ft(Error **errp)
{
    g_autoptr(GString) buf = g_string_new(NULL);
    g_autoptr(FtInfo) i = qmp_query_ft(errp);

    if (i->state == FT_INFO_STATE_OFF) {
        g_string_append_printf(buf, "%s\n", i->text);
        return human_readable_text_from_str(buf);
    }
    if (i->state == FT_INFO_STATE_REPLAYING) {
        g_string_append_printf(buf, "replay: %s\nlog position %" PRIu64
                               ", instruction %" PRIu64 "\n", i->text,
                               i->executed, i->icount);
        return human_readable_text_from_str(buf);
    }
    g_string_append_printf(buf, "%s %s: %s (%s)\n", FtInfoRole_str(i->role),
                           i->node, FtInfoState_str(i->state), i->text);
    g_string_append_printf(buf, "peer: %s at %s, heartbeats %s\n",
                           *i->peer_node ? i->peer_node : "not known yet",
                           i->peer, i->heartbeats ? "arrive" : "do not arrive");
    append_silence(buf, i);
    g_string_append_printf(buf, "lease: %s, generation %" PRIu64
                           ", owner %s, partner %s\n", i->lease->uri,
                           i->lease->generation,
                           *i->lease->owner ? i->lease->owner : "none",
                           *i->lease->partner ? i->lease->partner : "none");
    g_string_append_printf(buf, "log: %" PRIu64 " bytes appended, %" PRIu64
                           " sent, %" PRIu64 " acknowledged, %" PRIu64
                           " executed; %" PRIu64 " bytes/s\n", i->appended,
                           i->sent, i->acknowledged, i->executed,
                           i->log_rate);
    g_string_append_printf(buf, "lag: %" PRIu64 " bytes, %" PRIu64
                           " instructions, %" PRIu64 " ms; held outputs: %"
                           PRIu64 " (%" PRIu64 " bytes)\n", i->lag_bytes,
                           i->lag_instructions, i->lag_ms, i->held_outputs,
                           i->held_bytes);
    g_string_append_printf(buf, "digests: %" PRIu64 " in this session, the "
                           "last at log position %" PRIu64 "\n", i->digests,
                           i->digest_position);
    append_disks(buf, i->disks);
    if (i->has_copied_percent) {
        g_string_append_printf(buf, "disks on their way to the new backup: "
                               "%u %%\n", i->copied_percent);
    }
    if (i->log_file) {
        g_string_append_printf(buf, "log file: %s, %" PRIu64 " bytes, %s\n",
                               i->log_file->path, i->log_file->bytes,
                               i->log_file->text);
    }
    for (strList *l = i->settings; l; l = l->next) {
        g_string_append_printf(buf, "set by -ft: %s\n", l->value);
    }
    return human_readable_text_from_str(buf);
}

void ft_qmp_init(const char *node)
{
    node_name = g_strdup(node);
}

static void register_hmp(void)
{
    monitor_register_hmp_info_hrt("ft", info_ft);
}

type_init(register_hmp);

static void give_command(FtEventType type, Error **errp)
{
    const char *why;

    if (check_given(errp) && (why = ft_driver_command(type))) {
        error_setg(errp, "%s", why);
    }
}

void qmp_ft_failover(Error **errp)
{
    give_command(FT_EVENT_CMD_FAILOVER, errp);
}

void qmp_ft_stop(Error **errp)
{
    if (!ft_protect_stop()) {
        give_command(FT_EVENT_CMD_STOP, errp);
    }
}

void qmp_ft_digest_interval(uint32_t ms, Error **errp)
{
    if (check_given(errp) && ft_options_set_digest_ms(ms, errp)) {
        ft_digest_schedule();
    }
}

FtDigest *qmp_x_ft_digest(Error **errp)
{
    return check_given(errp) ? ft_digest_put(errp) : NULL;
}
