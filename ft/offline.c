/*
 * Replaying a session's log from a file.
 *
 *   file --replay's thread--> ft_driver_log --engine--> machine
 *
 * The thread keeps a window of log ahead of the engine, watches that it
 * makes progress, and tells the main thread how it ended.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/config-file.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/option.h"
#include "qemu/units.h"
#include "hw/core/cpu.h"
#include "system/runstate.h"
#include "replay/ft-entry.h"
#include "migration/ft-state.h"
#include "replay/ft-stream.h"
#include "control.h"
#include "evidence.h"
#include "gate.h"
#include "halt.h"
#include "jobs.h"
#include "limits.h"
#include "log-file.h"
#include "offline.h"
#include "options.h"
#include "progress.h"

/* The log is read this far ahead of what is executed. */
#define WINDOW (16 * MiB)
#define POLL_MS 2

static struct {
    FtLogReader *reader;
    QemuThread thread;

    /* Replay's thread. */
    GByteArray *transaction;
    uint64_t appended;          /* log given to the engine */
    uint64_t icount;            /* instructions up to there */
    uint64_t entries, digests;
    bool begun;                 /* the log's first frame was there */
    bool cut;                   /* nothing follows: the stop was reached */
    char *end_text;             /* why the log ends */
    unsigned polls;
    gint64 begun_us;

    FILE *pc_file;              /* replay mutex */

    QemuMutex lock;
    /* Protected by lock. */
    char *failure;
    bool over;                  /* ended, failed or stopped */
    char text[512];
} offline;

static void G_GNUC_PRINTF(1, 2) say(const char *fmt, ...)
{
    va_list ap;

    QEMU_LOCK_GUARD(&offline.lock);
    va_start(ap, fmt);
    g_vsnprintf(offline.text, sizeof(offline.text), fmt, ap);
    va_end(ap);
}

/* --- how it ends --------------------------------------------------------- */

static bool is_over(void)
{
    QEMU_LOCK_GUARD(&offline.lock);
    return offline.over;
}

/* False: something else ended it before. */
static bool claim_end(void)
{
    QEMU_LOCK_GUARD(&offline.lock);
    if (offline.over) {
        return false;
    }
    offline.over = true;
    return true;
}

void ft_offline_fail(const char *why)
{
    FtAction halt = {
        .type = FT_ACTION_HALT,
        .reason = FT_REASON_LOCAL_FAILURE,
    };
    g_autofree char *evidence = NULL, *text = NULL;

    if (claim_end()) {
        if (ft_stream_follows()) {
            evidence = ft_evidence_write(why);
        }
        text = g_strdup_printf(
            "the replay stops at log position %" PRIu64 ", instruction %"
            PRIu64 ": %s%s; 'ft-log verify %s' says whether the file is "
            "whole, 'ft-log around %s %" PRIu64 "' shows what it has there",
            ft_stream_executed(), ft_stream_icount(), why, evidence ?: "",
            ft_options.log_path, ft_options.log_path, ft_stream_executed());
        say("%s", text);
        halt.text = text;
        ft_gate_close();
        ft_halt_begin(halt.reason, text);
        ft_jobs_add(&halt, NULL);
    }
}

void ft_offline_end(void)
{
    FtAction exit_action = { .type = FT_ACTION_EXIT };

    if (claim_end()) {
        info_report("ft: the replay was told to end at log position %" PRIu64
                    ", instruction %" PRIu64, ft_stream_executed(),
                    ft_stream_icount());
    }
    ft_jobs_add(&exit_action, NULL);
}

/* Main thread, after all that the log's last entry set off there. */
static void finished_bh(void *opaque)
{
    gint64 took_us = g_get_monotonic_time() - offline.begun_us;

    if (!claim_end()) {
        return;
    }
    say("replayed %" PRIu64 " bytes of log to its end: %" PRIu64
        " instructions, %" PRIu64 " entries, %" PRIu64 " digests equal, "
        "%.2f s; the log says: %s", offline.appended, ft_stream_icount(),
        offline.entries, offline.digests, took_us / 1e6, offline.end_text);
    info_report("ft: %s", offline.text);
    ft_jobs_add(&(FtAction) { .type = FT_ACTION_EXIT }, NULL);
}

static void stopped_bh(void *opaque)
{
    if (!claim_end()) {
        return;
    }
    vm_stop(RUN_STATE_PAUSED);
    say("stopped at log position %" PRIu64 ", instruction %" PRIu64,
        ft_stream_executed(), ft_stream_icount());
    info_report("ft: %s, as asked; look with the monitor or a debugger, and "
                "quit", offline.text);
}

/* --- replay's thread ----------------------------------------------------- */

/* Sleeps a little.  False: it is over. */
static bool wait_a_little(void)
{
    g_autofree char *why = NULL;

    g_usleep(POLL_MS * 1000);
    if (++offline.polls % (FT_WATCH_TICK_MS / POLL_MS) == 0) {
        why = ft_progress_tick();
    }
    if (why && !is_over()) {
        ft_offline_fail(why);
    }
    return !is_over();
}

static bool wait_executed(uint64_t position)
{
    while (ft_stream_executed() < position) {
        if (!wait_a_little()) {
            return false;
        }
    }
    return !is_over();
}

static bool stop_is_set(void)
{
    return ft_options.stop_position || ft_options.stop_instruction;
}

/*
 * Looks at the entry at data and counts it; a count of instructions is made
 * smaller where the stop is inside.  False: the stop is before it.
 */
static bool take_entry(uint8_t *data, size_t n)
{
    uint64_t stop = ft_options.stop_instruction;
    uint32_t count;

    if (stop && offline.icount >= stop) {
        return false;
    }
    if (ft_options.stop_position &&
        offline.appended + n > ft_options.stop_position) {
        return false;
    }
    count = ft_entry_instructions(data);
    if (stop && offline.icount + count > stop) {
        count = stop - offline.icount;
        ft_entry_set_instructions(data, count);
    }
    offline.icount += count;
    offline.digests += data[0] == FT_CONTROL_DIGEST;
    offline.entries++;
    return true;
}

/* A whole transaction, entry by entry.  False: it is over. */
static bool give_transaction(uint8_t *data, size_t size)
{
    const char *why = NULL;
    size_t at = 0;

    while (at < size && !offline.cut) {
        ssize_t n = ft_entry_length(data + at, size - at, &why);

        if (n <= 0 ||
            !ft_entry_begins(data + at, offline.appended == 0, &why)) {
            g_autofree char *text = g_strdup_printf(
                "log entry at position %" PRIu64 " (byte 0x%02x) is bad: %s",
                offline.appended, data[at],
                why ?: "a transaction ends inside it");

            ft_log_commit(&ft_driver_log, offline.appended);
            ft_stream_published();
            if (wait_executed(offline.appended)) {
                ft_offline_fail(text);
            }
            return false;
        }
        if (!take_entry(data + at, n)) {
            offline.cut = true;
            break;
        }
        offline.appended = ft_log_append(&ft_driver_log, data + at, n);
        at += n;
    }
    ft_log_commit(&ft_driver_log, offline.appended);
    ft_stream_published();
    return true;
}

static bool give_frame(const FtFrame *frame, const uint8_t *payload)
{
    bool good = true;

    if (frame->position > 0 && !offline.begun) {
        ft_offline_fail("the log's beginning is not in the file, so it can't "
                        "be executed");
        return false;
    }
    offline.begun = true;
    g_byte_array_append(offline.transaction, payload, frame->length);
    if (!(frame->flags & FT_FRAME_MORE)) {
        good = give_transaction(offline.transaction->data,
                                offline.transaction->len);
        g_byte_array_set_size(offline.transaction, 0);
    }
    while (good && offline.appended - ft_stream_executed() > WINDOW) {
        good = wait_a_little();
    }
    return good;
}

/* The file is given to the engine; true: up to an end that is none's fault. */
static bool give_file(void)
{
    const uint8_t *payload;
    FtFrame frame;
    FtLogRead read;

    while ((read = ft_log_reader_next(offline.reader, &frame, &payload)) ==
           FT_LOG_READ_FRAME && !offline.cut) {
        if (frame.type == FT_FRAME_END) {
            offline.end_text = g_strndup((char *)payload, frame.length);
        } else if (!give_frame(&frame, payload)) {
            return false;
        }
    }
    if (!wait_executed(offline.appended)) {
        return false;
    }
    if (read == FT_LOG_READ_BAD) {
        g_autofree char *why = g_strdup_printf(
            "log '%s': %s", ft_options.log_path,
            ft_log_reader_why(offline.reader));

        ft_offline_fail(why);
        return false;
    }
    if (read == FT_LOG_READ_SHORT) {
        offline.end_text = g_strdup(ft_log_reader_why(offline.reader));
    }
    return true;
}

static void *replay_thread(void *opaque)
{
    if (give_file()) {
        if (stop_is_set() && !offline.cut) {
            warn_report("ft: the log ends before where the replay should "
                        "stop; it stops at its end");
        }
        aio_bh_schedule_oneshot(qemu_get_aio_context(),
                                stop_is_set() ? stopped_bh : finished_bh,
                                NULL);
    }
    return NULL;
}

void ft_offline_fetched(uint64_t position)
{
    if (offline.pc_file && first_cpu) {
        fprintf(offline.pc_file, "%" PRIu64 " %" PRIx64 "\n", position,
                (uint64_t)CPU_GET_CLASS(first_cpu)->get_pc(first_cpu));
    }
}

/* --- main thread --------------------------------------------------------- */

/* The process's end closes it. */
static bool open_pc_file(Error **errp)
{
    if (ft_options.pc_path) {
        offline.pc_file = fopen(ft_options.pc_path, "we");
        if (!offline.pc_file) {
            error_setg_errno(errp, errno, "file of program counters '%s'",
                             ft_options.pc_path);
            return false;
        }
        fprintf(offline.pc_file, "# ft-pc 1\n");
    }
    return true;
}

static int spare_disk(void *opaque, QemuOpts *drive, Error **errp)
{
    if (!qemu_opt_get(drive, "snapshot")) {
        qemu_opt_set(drive, "snapshot", "on", &error_abort);
    }
    return 0;
}

void ft_offline_spare_disks(void)
{
    qemu_opts_foreach(qemu_find_opts("drive"), spare_disk, NULL, NULL);
}

bool ft_offline_setup(const char *path, Error **errp)
{
    g_autofree char *why = NULL;

    qemu_mutex_init(&offline.lock);
    offline.reader = ft_log_reader_open(path, &why);
    if (!offline.reader) {
        error_setg(errp, "%s", why);
        return false;
    }
    return open_pc_file(errp);
}

bool ft_offline_shares_disks(void)
{
    return strstr(ft_log_reader_hello_text(offline.reader),
                  "\nvm.disks=shared\n");
}

bool ft_offline_has_reads(Error **errp)
{
    if (strstr(ft_log_reader_hello_text(offline.reader), ".reads=own\n")) {
        error_setg(errp, "log '%s' is of a session with reads=own: what was "
                   "read from the shared disks is not in it, so it can't be "
                   "executed again", ft_options.log_path);
        return false;
    }
    return true;
}

/*
 * A replay's netdev may be of another type: nothing goes through it.  And
 * what was read from a shared disk is in the log: nothing is read from here.
 */
static char *without_places(const char *hello)
{
    g_auto(GStrv) lines = g_strsplit(hello, "\n", -1);
    GString *text = g_string_new(NULL);

    for (char **line = lines; *line; line++) {
        g_autofree char *key = g_strndup(*line, strcspn(*line, "="));

        if (**line && !g_pattern_match_simple("nic.*.netdev", key) &&
            !g_pattern_match_simple("disk.*.place", key) &&
            !g_pattern_match_simple("disk.*.format", key) &&
            !g_pattern_match_simple("disk.*.reads", key)) {
            g_string_append_printf(text, "%s\n", *line);
        }
    }
    return g_string_free(text, FALSE);
}

static bool is_same_machine(const FtCoreConfig *config, Error **errp)
{
    g_autofree char *hello = ft_core_hello_new(config, ft_state_id());
    g_autofree char *mine = without_places(hello);
    g_autofree char *logged = without_places(
        ft_log_reader_hello_text(offline.reader));
    g_autofree char *text = ft_core_hello_difference(logged, "the log has",
                                                     mine,
                                                     "this machine has");

    if (text) {
        const char *advice = strstr(text, ".contents:")
            ? "; a replay needs the disk as it was when the session began"
            : g_str_has_prefix(text, "state:")
            ? "; a session that began with a running machine is replayed "
            "from the state it began with (-incoming)" : "";

        error_setg(errp, "this is not the machine of log '%s': %s%s",
                   ft_options.log_path, text, advice);
        return false;
    }
    return true;
}

bool ft_offline_start(const FtCoreConfig *config, Error **errp)
{
    if (!is_same_machine(config, errp)) {
        return false;
    }
    offline.transaction = g_byte_array_new();
    offline.begun_us = g_get_monotonic_time();
    say("replaying '%s'", ft_options.log_path);
    ft_gate_begin();
    /* The guest's outputs left long ago, or never did. */
    if (!ft_options.show) {
        ft_gate_left_primary(FT_POSITION_ALL);
    } else {
        ft_gate_release(FT_POSITION_ALL);
    }
    qemu_thread_create(&offline.thread, "ft-replay", replay_thread, NULL,
                       QEMU_THREAD_DETACHED);
    return true;
}

void ft_offline_status(FtDriverStatus *status)
{
    memset(status, 0, sizeof(*status));
    status->core.role = FT_ROLE_BACKUP;
    status->core.executed = ft_stream_executed();
    status->core.appended = ft_log_end(&ft_driver_log);
    QEMU_LOCK_GUARD(&offline.lock);
    g_strlcpy(status->text, offline.text, sizeof(status->text));
    status->core.text = status->text;
    status->core.peer_node = status->peer_node;
}
