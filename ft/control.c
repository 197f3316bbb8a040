/*
 * What an administrator does to the machine, and how it ends.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qmp-registry.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "monitor/monitor.h"
#include "monitor/qmp-helpers.h"
#include "monitor/monitor-internal.h"
#include "system/replay.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "system/runstate-action.h"
#include "system/system.h"
#include "char.h"
#include "control.h"
#include "disk.h"
#include "driver.h"
#include "ft.h"
#include "gate.h"
#include "limits.h"
#include "qmp.h"
#include "trace.h"

static struct {
    bool active;
    bool backup;                /* follows a primary's log */
    bool start_paused;          /* -S */
    bool following;             /* a change of state came from the log */
    int stop_state;             /* backup: it would stop in this state, and
                                   waits for where; RUN_STATE__MAX: no */
    int wanted;                 /* the shutdown cause that waits */
    bool exit_allowed;
    bool halted;
    QEMUTimer *grace;
} control;

/* Change the machine in ways that are in no log entry. */
static const char *const never[] = {
    "device_add", "device_del", "set_link", "balloon", "inject-nmi", "nmi",
    "block_resize", "eject", "change", "blockdev-open-tray",
    "blockdev-close-tray", "blockdev-remove-medium", "blockdev-insert-medium",
    "blockdev-change-medium", "blockdev-mirror", "blockdev-backup",
    "blockdev-reopen", "blockdev-snapshot", "blockdev-snapshot-sync",
    "block-commit", "block-stream", "drive-mirror", "drive-backup",
    "drive_mirror", "drive_backup", "block_set_io_throttle", "transaction",
    "migrate", "migrate-incoming", "snapshot-save", "snapshot-load",
    "snapshot-delete", "savevm", "loadvm", "delvm", "netdev_add",
    "netdev_del", "chardev-change", "chardev-remove", "chardev-send-break",
    "object-add", "object-del", "object_add", "object_del", "qom-set",
    "qom_set", "cpu-add", "system_wakeup", "replay_seek", "replay-seek",
    "replay_break", "replay-break", "xen-set-global-dirty-log",
    "announce-self", "announce_self", "watchdog-set-action", "gdbserver",
    "mce", "o", "i", "x-colo-lost-heartbeat", "nbd-server-start",
    "job-complete", "set-action", "rtc-reset-reinjection",
};

/* Are made on the primary; a backup follows it. */
static const char *const primary_only[] = {
    "stop", "cont", "system_reset", "system_powerdown", "send-key",
    "sendkey", "input-send-event", "mouse_move", "mouse_button",
    "ringbuf-write",
};

/* A command of the human monitor may have aliases: "stop|s". */
static bool is_command(const char *names, const char *command)
{
    size_t len = strlen(command);

    return !strncmp(names, command, len) &&
        (names[len] == 0 || names[len] == '|');
}

static bool name_is_in(const char *names, const char *const *list, int n)
{
    for (int i = 0; i < n; i++) {
        if (is_command(names, list[i])) {
            return true;
        }
    }
    return false;
}

static void disable_commands(const char *const *list, int n, const char *why)
{
    for (int i = 0; i < n; i++) {
        qmp_disable_command(&qmp_commands, list[i], why);
    }
}

static void state_changed(void *opaque, bool running, RunState state)
{
    uint8_t byte = state;

    if (control.backup || control.following) {
        return;
    }
    ft_stream_put_control(running ? FT_CONTROL_CONTINUE : FT_CONTROL_PAUSE,
                          &byte, 1);
}

static void end_grace_over(void *opaque)
{
    if (!control.exit_allowed && !control.halted) {
        ft_gate_close();
        ft_control_halt(FT_EXIT_FAILED, "told to end, and neither the backup "
                        "nor the lease answered in time; outputs that were "
                        "held back are dropped, as in a crash");
    }
}

void ft_control_init(FtRole role, bool start_paused)
{
    control.active = true;
    control.stop_state = RUN_STATE__MAX;
    control.grace = timer_new_ms(QEMU_CLOCK_REALTIME, end_grace_over, NULL);
    control.backup = role == FT_ROLE_BACKUP;
    control.start_paused = start_paused;
    disable_commands(never, ARRAY_SIZE(never), "it would change a protected "
                     "machine behind its backup's back");
    if (control.backup) {
        disable_commands(primary_only, ARRAY_SIZE(primary_only),
                         "a backup follows its primary; give the command "
                         "there");
    } else {
        qmp_disable_command(&qmp_commands, "cont", "the guest begins when "
                            "the backup is there (query-ft); use ft-stop to "
                            "begin without it");
    }
    qemu_add_vm_change_state_handler(state_changed, NULL);
}

bool ft_control_hmp_refused(Monitor *mon, const char *name)
{
    if (!control.active) {
        return false;
    }
    if (name_is_in(name, never, ARRAY_SIZE(never))) {
        monitor_printf(mon, "%s: would change a protected machine behind its "
                       "backup's back\n", name);
        return true;
    }
    if (control.backup &&
        name_is_in(name, primary_only, ARRAY_SIZE(primary_only))) {
        monitor_printf(mon, "%s: a backup follows its primary; give the "
                       "command there\n", name);
        return true;
    }
    if (is_command(name, "cont") && !ft_stream_started()) {
        monitor_printf(mon, "cont: the guest begins when the backup is there "
                       "(info ft)\n");
        return true;
    }
    return false;
}

/* --- the guest begins ---------------------------------------------------- */

/* The same on both sides, at instruction 0 and at the same log position. */
static void begin(bool paused)
{
    ft_stream_set_started();
    qmp_enable_command(&qmp_commands, "cont");
    qemu_system_reset(SHUTDOWN_CAUSE_NONE);
    control.following = true;
    if (!paused) {
        vm_start();
    }
    control.following = false;
    if (control.backup) {
        qmp_disable_command(&qmp_commands, "cont", "a backup follows its "
                            "primary; give the command there");
    }
}

void ft_control_start_guest(void)
{
    uint8_t paused = control.start_paused;

    if (control.backup) {
        return;                 /* the log's first entry says when */
    }
    ft_stream_put_control(FT_CONTROL_START, &paused, 1);
    begin(paused);
}

void ft_control_live(void)
{
    control.backup = false;
    if (!ft_stream_started()) {
        begin(control.start_paused);
    }
    if (control.stop_state != RUN_STATE__MAX) {
        vm_stop(control.stop_state);
    }
    for (int i = 0; i < ARRAY_SIZE(primary_only); i++) {
        qmp_enable_command(&qmp_commands, primary_only[i]);
    }
}

/* A state that the primary's vCPU was stopped in, from the log. */
static RunState stop_state(const uint8_t *data, size_t size)
{
    switch (size ? data[0] : RUN_STATE_PAUSED) {
    case RUN_STATE_IO_ERROR:
        return RUN_STATE_IO_ERROR;
    case RUN_STATE_SHUTDOWN:
        return RUN_STATE_SHUTDOWN;
    case RUN_STATE_GUEST_PANICKED:
        return RUN_STATE_GUEST_PANICKED;
    default:
        return RUN_STATE_PAUSED;
    }
}

void ft_control_run(FtControl code, const uint8_t *data, size_t size)
{
    control.following = true;
    switch (code) {
    case FT_CONTROL_START:
        trace_ft_control_run("start", ft_stream_icount());
        begin(size && data[0]);
        break;
    case FT_CONTROL_PAUSE:
        trace_ft_control_run("pause", ft_stream_icount());
        control.stop_state = RUN_STATE__MAX;
        vm_stop(stop_state(data, size));
        break;
    case FT_CONTROL_CONTINUE:
        trace_ft_control_run("continue", ft_stream_icount());
        vm_start();
        break;
    case FT_CONTROL_DISK_RESULT:
        if (size == 12) {
            ft_disk_set_result(ldq_be_p(data), (int32_t)ldl_be_p(data + 8));
        }
        break;
    case FT_CONTROL_DIGEST:
        trace_ft_control_run("digest", ft_stream_icount());
        ft_qmp_compare_digest((const char *)data, size);
        break;
    case FT_CONTROL_POWERDOWN:
        break;                  /* taken by ft_control_powerdown() */
    }
    control.following = false;
}

int ft_control_reset(int cause)
{
    return control.active ? ft_stream_hook_reset(cause) : cause;
}

int ft_control_powerdown(int requested)
{
    if (!control.active) {
        return requested;
    }
    if (control.backup) {
        return ft_stream_take_powerdown();
    }
    if (requested) {
        trace_ft_control_run("powerdown", ft_stream_icount());
        ft_stream_put_control(FT_CONTROL_POWERDOWN, NULL, 0);
    }
    return requested;
}

/*
 * What stops the primary's vCPU, an I/O error or the guest's power-off, stops
 * it a little later, at an instruction that the log tells.
 */
int ft_control_vmstop(int state)
{
    if (control.active && control.backup && state != RUN_STATE__MAX) {
        control.stop_state = state;
        return RUN_STATE__MAX;
    }
    return state;
}

/* --- the end ------------------------------------------------------------- */

static bool is_host_cause(int cause)
{
    return cause == SHUTDOWN_CAUSE_HOST_SIGNAL ||
        cause == SHUTDOWN_CAUSE_HOST_QMP_QUIT ||
        cause == SHUTDOWN_CAUSE_HOST_UI || cause == SHUTDOWN_CAUSE_HOST_ERROR;
}

/*
 * The end of the VM is an output.  A primary tells its backup and waits
 * until it has the whole log; a backup that replays the guest's own
 * power-off waits for the same END, or goes live first and then ends.
 */
int ft_control_shutdown(int cause)
{
    if (!control.active || control.halted) {
        return cause;
    }
    if (cause && shutdown_action == SHUTDOWN_ACTION_PAUSE &&
        !is_host_cause(cause)) {
        /* -no-shutdown: a pause, not an end */
        if (!control.backup) {
            return cause;
        }
        control.stop_state = RUN_STATE_SHUTDOWN;
        return SHUTDOWN_CAUSE_NONE;
    }
    if (cause && !control.wanted) {
        control.wanted = cause;
        if (!control.backup) {
            /* What it would execute from here on is in nobody's log. */
            vm_shutdown();
        }
        if (!control.backup || is_host_cause(cause)) {
            ft_driver_end();
        }
        if (is_host_cause(cause)) {
            timer_mod(control.grace, FT_END_GRACE_MS +
                      qemu_clock_get_ms(QEMU_CLOCK_REALTIME));
        }
    }
    if (!control.exit_allowed) {
        return SHUTDOWN_CAUSE_NONE;
    }
    return control.wanted ?: SHUTDOWN_CAUSE_GUEST_SHUTDOWN;
}

void ft_control_allow_exit(void)
{
    ft_gate_flush();
    ft_char_flush();
    shutdown_action = SHUTDOWN_ACTION_POWEROFF;
    control.exit_allowed = true;
    qemu_notify_event();
}

void ft_control_halt(int status, const char *why)
{
    control.halted = true;
    shutdown_action = SHUTDOWN_ACTION_POWEROFF;
    error_report("ft: %s", why);
    qemu_system_shutdown_request_with_code(SHUTDOWN_CAUSE_HOST_ERROR, status);
}
