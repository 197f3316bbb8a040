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
#include "migration/misc.h"
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
#include "digest.h"
#include "disk.h"
#include "disks.h"
#include "driver.h"
#include "ft.h"
#include "gate.h"
#include "halt.h"
#include "host.h"
#include "limits.h"
#include "options.h"
#include "qmp.h"
#include "restart.h"
#include "trace.h"

static struct {
    bool active;
    bool backup;                /* follows a primary's log */
    bool start_paused;          /* -S */
    bool alone;                 /* unprotected */
    bool following;             /* a change of state came from the log */
    int stop_state;             /* backup: it would stop in this state, and
                                   waits for where; RUN_STATE__MAX: no */
    int wanted;                 /* the shutdown cause that waits */
    bool ending;                /* the peer is being told */
    bool exit_allowed;
    bool halted;
    QEMUTimer *grace;
} control;

/*
 * Commands that leave a protected machine as it is, or go through the log.
 * What is not on the list is refused: some change the machine behind the
 * log's back (what reads memory by address reads devices, and a VGA remembers
 * that), some wait for what the replay engine can't give them.
 */
static const char *const harmless[] = {
    "query-*", "x-query-*", "ft-*", "x-ft-*", "trace-event-*", "qom-list",
    "qom-list-*", "qom-get", "device-list-properties", "qmp_capabilities",
    "quit", "stop", "cont", "system_reset", "system_powerdown", "send-key",
    "input-send-event", "inject-nmi", "set_link", "chardev-send-break",
    "screendump", "set_password", "expire_password", "change-vnc-password",
    "ringbuf-read", "ringbuf-write", "getfd", "closefd", "add-fd", "remove-fd",
    "yank", "human-monitor-command", "migrate", "migrate-continue",
    "migrate-incoming", "migrate-set-capabilities", "migrate-set-parameters",
    "migrate_cancel",
    /* as the human monitor names them */
    "help", "nmi", "sendkey", "mouse_move", "mouse_button", "mouse_set",
    "ringbuf_read", "ringbuf_write", "print", "gpa2hva", "gpa2hpa", "gva2gpa",
    "trace-event", "log", "logfile", "migrate_continue", "migrate_incoming",
    "migrate_set_capability", "migrate_set_parameter",
};

/* Of what a log is executed again for. */
static const char *const reads_memory[] = {
    "memsave", "pmemsave", "x", "xp", "sum",
};

#define FOLLOWS "a backup follows its primary; give the command there"
#define NOT_ALONE "a machine's state can be sent away when it runs alone " \
    "(query-ft); ft-stop ends its protection"
#define REFUSED "it could change a protected machine behind its backup's back"

/* Are made on the primary; a backup follows it. */
static const char *const primary_only[] = {
    "stop", "cont", "system_reset", "system_powerdown", "send-key",
    "sendkey", "input-send-event", "mouse_move", "mouse_button",
    "mouse_set", "ringbuf-write", "ringbuf_write", "inject-nmi", "nmi",
    "set_link", "chardev-send-break",
};

static bool is_on_list(const char *name, const char *const *list, int n)
{
    for (int i = 0; i < n; i++) {
        if (g_pattern_match_simple(list[i], name)) {
            return true;
        }
    }
    return false;
}

static bool is_harmless(const char *command)
{
    return is_on_list(command, harmless, ARRAY_SIZE(harmless)) ||
        (ft_options.replay &&
         is_on_list(command, reads_memory, ARRAY_SIZE(reads_memory)));
}

bool ft_control_changes_guest(const char *command)
{
    return control.active && !control.backup &&
        is_on_list(command, primary_only, ARRAY_SIZE(primary_only));
}

static void disable_unless_harmless(const QmpCommand *cmd, void *opaque)
{
    if (!is_harmless(cmd->name)) {
        qmp_disable_command(&qmp_commands, cmd->name, REFUSED);
    }
}

static void disable_primary_only(void)
{
    for (int i = 0; i < ARRAY_SIZE(primary_only); i++) {
        qmp_disable_command(&qmp_commands, primary_only[i], FOLLOWS);
    }
}

static void state_changed(void *opaque, bool running, RunState state)
{
    uint8_t byte = state;

    if (running) {
        ft_stream_unquiesce();
    }
    if (control.backup || control.following) {
        return;
    }
    ft_stream_put_control(running ? FT_CONTROL_CONTINUE : FT_CONTROL_PAUSE,
                          &byte, 1);
}

static void reset_done(void *opaque)
{
    ft_stream_reset_done();
}

static void end_grace_over(void *opaque)
{
    static const char why[] = "told to end, and neither the backup nor the "
        "lease answered in time; outputs that were held back are dropped, as "
        "in a crash";

    if (!control.exit_allowed && !control.halted && ft_halt_take()) {
        ft_gate_close();
        ft_control_halt(FT_EXIT_FAILED, why);
        ft_halt_begin(FT_REASON_LOCAL_FAILURE, why);
    }
}

void ft_control_set_alone(bool alone)
{
    control.alone = alone;
    if (alone) {
        ft_disk_reads_end_log();
        qmp_enable_command(&qmp_commands, "migrate");
    } else {
        qmp_disable_command(&qmp_commands, "migrate", NOT_ALONE);
    }
}

void ft_control_init(FtRole role, bool start_paused)
{
    control.active = true;
    control.stop_state = RUN_STATE__MAX;
    control.grace = timer_new_ms(QEMU_CLOCK_REALTIME, end_grace_over, NULL);
    control.backup = role == FT_ROLE_BACKUP;
    control.start_paused = start_paused;
    qmp_for_each_command(&qmp_commands, disable_unless_harmless, NULL);
    ft_control_set_alone(false);
    if (!ft_options.faults) {
        qmp_disable_command(&qmp_commands, "x-ft-fault",
                            "faults are made only with -ft ...,x-faults=on");
    }
    if (control.backup) {
        disable_primary_only();
    } else {
        qmp_disable_command(&qmp_commands, "cont", "the guest begins when "
                            "the backup is there (query-ft); use ft-stop to "
                            "begin without it");
    }
    qemu_add_vm_change_state_handler(state_changed, NULL);
    qemu_register_reset(reset_done, NULL);
    ft_restart_init();
}

/* Why not, or NULL. */
static const char *hmp_refusal(const char *name)
{
    if (!is_harmless(name)) {
        return REFUSED;
    }
    if (control.backup &&
        is_on_list(name, primary_only, ARRAY_SIZE(primary_only))) {
        return FOLLOWS;
    }
    if (!strcmp(name, "migrate") && !control.alone) {
        return NOT_ALONE;
    }
    if (!strcmp(name, "cont") && !ft_stream_started()) {
        return "the guest begins when the backup is there (info ft)";
    }
    return NULL;
}

/* "info" has a table of its own, and changes nothing. */
static bool is_info(const HMPCommand *cmd)
{
    for (const HMPCommand *c = hmp_cmds; c->name; c++) {
        if (c == cmd) {
            return false;
        }
    }
    return true;
}

bool ft_control_hmp_refused(Monitor *mon, const HMPCommand *cmd)
{
    g_autofree char *name = NULL;
    const char *why;

    if (!control.active || is_info(cmd)) {
        return false;
    }
    name = g_strndup(cmd->name, strcspn(cmd->name, "|"));    /* "stop|s" */
    why = hmp_refusal(name);
    if (why) {
        monitor_printf(mon, "%s: %s\n", name, why);
    }
    return why;
}

/* --- the guest begins ---------------------------------------------------- */

/* The same on both sides, at the same instruction and log position. */
static void begin(uint8_t flags)
{
    ft_stream_set_started();
    ft_stream_reset_tlb();
    ft_digest_begin();
    qmp_enable_command(&qmp_commands, "cont");
    if (!(flags & FT_START_FROM_STATE)) {
        qemu_system_reset(SHUTDOWN_CAUSE_NONE);
    }
    control.following = true;
    if (!(flags & FT_START_PAUSED)) {
        ft_disks_activate(&error_abort);
        vm_start();
    }
    control.following = false;
    ft_char_tell();
    if (control.backup) {
        disable_primary_only();
    }
}

void ft_control_start_guest(void)
{
    uint8_t flags = control.start_paused ? FT_START_PAUSED : 0;

    Error *err = NULL;

    if (control.backup) {
        return;                 /* the log's first entry says when */
    }
    if (!ft_disk_shared_use(&err)) {
        ft_driver_fail(error_get_pretty(err));
        error_free(err);
        return;
    }
    ft_stream_put_control(FT_CONTROL_START, &flags, 1);
    begin(flags);
}

void ft_control_begin_at_state(bool paused)
{
    uint8_t flags = FT_START_FROM_STATE | (paused ? FT_START_PAUSED : 0);

    ft_stream_put_control(FT_CONTROL_START, &flags, 1);
    ft_control_set_alone(false);
    begin(flags);
}

void ft_control_live(void)
{
    control.backup = false;
    if (ft_stream_started()) {
        ft_char_tell();
    } else {
        begin(control.start_paused ? FT_START_PAUSED : 0);
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
        begin(size ? data[0] : 0);
        break;
    case FT_CONTROL_PAUSE:
        trace_ft_control_run("pause", ft_stream_icount());
        control.stop_state = RUN_STATE__MAX;
        vm_stop(stop_state(data, size));
        break;
    case FT_CONTROL_CONTINUE:
        trace_ft_control_run("continue", ft_stream_icount());
        /* The main loop may have come to our own request after the PAUSE. */
        control.stop_state = RUN_STATE__MAX;
        vm_start();
        break;
    case FT_CONTROL_DISK_RESULT:
    case FT_CONTROL_DISK_DATA:
    case FT_CONTROL_DISK_DONE:
        ft_disk_run(code, data, size);
        break;
    case FT_CONTROL_DIGEST:
        trace_ft_control_run("digest", ft_stream_icount());
        ft_digest_compare(data, size);
        break;
    case FT_CONTROL_NMI:
    case FT_CONTROL_LINK:
        ft_host_run(code, data, size);
        break;
    case FT_CONTROL_POWERDOWN:
        break;                  /* taken by ft_control_powerdown() */
    case FT_CONTROL_TIME:
        break;                  /* taken by the vCPU's thread */
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
 * until it has the whole log; a backup that replays the end, the guest's
 * own or its primary's, waits for that END, or goes live first and then ends.
 */
int ft_control_shutdown(int cause)
{
    bool told_here;

    if (!control.active || control.halted) {
        return cause;
    }
    told_here = cause && !ft_stream_take_shutdown() && is_host_cause(cause);
    if (cause && shutdown_action == SHUTDOWN_ACTION_PAUSE &&
        !is_host_cause(cause)) {
        /* -no-shutdown: a pause, not an end */
        if (!control.backup) {
            return cause;
        }
        control.stop_state = RUN_STATE_SHUTDOWN;
        return SHUTDOWN_CAUSE_NONE;
    }
    control.wanted = control.wanted ?: cause;
    if (control.wanted && !control.ending &&
        (!control.backup || told_here)) {
        control.ending = true;
        if (!control.backup) {
            if (cause == SHUTDOWN_CAUSE_HOST_SIGNAL) {
                replay_shutdown_request(cause);     /* not by its handler */
            }
            /* What it would execute from here on is in nobody's log. */
            vm_shutdown();
        }
        ft_driver_end();
    }
    if (told_here && !timer_pending(control.grace)) {
        timer_mod(control.grace, FT_END_GRACE_MS +
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME));
    }
    if (!control.exit_allowed) {
        return SHUTDOWN_CAUSE_NONE;
    }
    return control.wanted ?: SHUTDOWN_CAUSE_GUEST_SHUTDOWN;
}

void ft_control_allow_exit(void)
{
    ft_gate_flush();
    ft_disk_finish();
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
