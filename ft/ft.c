/*
 * Setting up fault tolerance: from the -ft option to a running driver.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/config-file.h"
#include "qemu/error-report.h"
#include "crypto/random.h"
#include "qemu/main-loop.h"
#include "qemu/notify.h"
#include "qemu/option.h"
#include "qemu/uuid.h"
#include "chardev/char.h"
#include "qom/object.h"
#include "system/runstate.h"
#include "system/system.h"
#include "replay/ft-stream.h"
#include "migration/ft-state.h"
#include "channel.h"
#include "char.h"
#include "claim-options.h"
#include "control.h"
#include "devices.h"
#include "digest.h"
#include "disk.h"
#include "disks.h"
#include "driver.h"
#include "evidence.h"
#include "fence.h"
#include "ft.h"
#include "gate.h"
#include "halt.h"
#include "identity.h"
#include "jobs.h"
#include "limits.h"
#include "log-sink.h"
#include "net.h"
#include "offline.h"
#include "mirror-target.h"
#include "options.h"
#include "qmp.h"
#include "settings.h"
#include "tap.h"
#include "timeline.h"

/* 2 ns an instruction: faster than TCG, so that no guest has to wait. */
#define DEFAULT_ICOUNT "shift=1"

static bool start_paused;

static void live(void)
{
    ft_timeline_mark(FT_TIMELINE_EXECUTED);
    ft_disk_go_live();
    ft_control_live();
    ft_driver_drained();
}

static void fail(const char *why)
{
    ft_halt_parked(why);
    ft_driver_fail(why);
}

static const FtStreamOps stream_ops = {
    .control = ft_control_run,
    .appended = ft_driver_appended,
    .sleeps = ft_driver_vcpu_sleeps,
    .live = live,
    .fetched = ft_offline_fetched,
    .fail = fail,
    .settled = ft_disk_settled,
    .input = ft_tap_take_all,
};

/* The machine is complete and reset, or its state is loaded. */
static void machine_ready_bh(void *opaque)
{
    FtCoreConfig config = {
        .role = ft_options.role,
        .new_vm = ft_options.new_vm,
        .disks = ft_disks_shared() ? FT_LEASE_DISKS_SHARED
                                   : FT_LEASE_DISKS_OWN,
    };
    g_autofree char *node = ft_identity_node();
    g_autofree char *identity = NULL;
    Error *err = NULL;

    if (qemu_chr_find("gdb") && !ft_options.replay) {
        error_report("-ft: a debugger (-gdb, -s) changes the machine behind "
                     "its backup's back; leave it out");
        exit(1);
    }
    identity = ft_identity_make(&err);
    if (!identity) {
        error_reportf_err(err, "-ft: ");
        exit(1);
    }
    config.identity = identity;
    g_strlcpy(config.node, node, sizeof(config.node));
    memcpy(config.vm_uuid, qemu_uuid.data, sizeof(config.vm_uuid));
    qcrypto_random_bytes(&config.seed, sizeof(config.seed), &error_fatal);
    if (!ft_options.replay) {
        ft_driver_start(&config, ft_claim_options_lease());
    } else if (!ft_offline_start(&config, &err)) {
        error_reportf_err(err, "-ft: ");
        exit(1);
    }
}

/* Where the log comes from and goes to. */
static bool open_ways(Error **errp)
{
    if (ft_options.replay) {
        return ft_offline_setup(ft_options.log_path, errp);
    }
    if (ft_options.spool && ft_evidence_directory()) {
        ft_log_sink_setup_spool(ft_evidence_directory(), ft_options.spool);
    }
    return ft_log_sink_setup(ft_options.log_path, errp) &&
        ft_channel_setup(ft_options.address,
                         ft_options.role == FT_ROLE_BACKUP, errp);
}

static void machine_ready(void)
{
    aio_bh_schedule_oneshot(qemu_get_aio_context(), machine_ready_bh, NULL);
}

static void machine_done(Notifier *notifier, void *opaque)
{
    g_autofree char *node = NULL;
    Error *err = NULL;

    ft_evidence_setup(ft_options.evidence);
    if (!ft_devices_check(&err) || !ft_settings_check(&err) ||
        !ft_char_guard_all(&err) ||
        !ft_net_guard_all(&err) ||
        (!ft_options.replay && !ft_claim_options_resolve(&err)) ||
        !open_ways(&err) ||
        !ft_disks_decide(&err) || !ft_disks_guard(&err) ||
        (ft_options.mirror &&
         !ft_mirror_target_open(ft_options.mirror, &err))) {
        error_reportf_err(err, "-ft: ");
        exit(1);
    }
    ft_fence_setup();
    ft_control_init(ft_options.role, start_paused);
    ft_digest_schedule();
    node = ft_identity_node();
    ft_qmp_init(node);
    if (!runstate_check(RUN_STATE_INMIGRATE)) {
        machine_ready();
    }
}

static QemuOpts *icount_options(QemuOpts *opts)
{
    const char *shift;

    if (!opts) {
        opts = qemu_opts_parse(qemu_find_opts("icount"), DEFAULT_ICOUNT, true,
                               &error_abort);
    }
    shift = qemu_opt_get(opts, "shift");
    if (!shift || !strcmp(shift, "auto") || qemu_opt_get(opts, "rr") ||
        qemu_opt_get(opts, "sleep") || qemu_opt_get(opts, "align")) {
        error_report("-ft: of -icount only shift=NUMBER can be chosen; "
                     "leave the rest to -ft");
        exit(1);
    }
    qemu_opt_set(opts, "rr", "record", &error_abort);
    qemu_opt_set(opts, "rrfile", "/dev/null", &error_abort);
    return opts;
}

QemuOpts *ft_setup(QemuOpts *icount)
{
    static Notifier notifier = { .notify = machine_done };

    if (!ft_options.given) {
        return icount;
    }
    if (runstate_check(RUN_STATE_INMIGRATE) &&
        ft_options.role != FT_ROLE_BACKUP) {
        error_report("-ft: -incoming is for the backup of a machine that "
                     "runs (ft-protect); a primary starts from power-on");
        exit(1);
    }
    if (ft_options.mirror && !runstate_check(RUN_STATE_INMIGRATE)) {
        error_report("-ft: mirror= is for a backup with -incoming, to which "
                     "the primary copies its disks (ft-protect)");
        exit(1);
    }
    if (ft_options.replay) {
        ft_offline_spare_disks();
    }
    start_paused = !autostart;
    autostart = 0;
    ft_settings_for_devices();
    ft_driver_init();
    ft_gate_init();
    ft_disk_init(ft_driver_fail);
    ft_jobs_init();
    ft_stream_setup(ft_options.role == FT_ROLE_BACKUP, &ft_driver_log,
                    &stream_ops);
    ft_state_init(machine_ready);
    qemu_add_machine_init_done_notifier(&notifier);
    return icount_options(icount);
}
