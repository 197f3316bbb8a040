/*
 * What is left when a backup, or a replay, stops because it differs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "qemu-version.h"
#include "system/replay.h"
#include "replay/ft-stream.h"
#include "driver.h"
#include "evidence.h"
#include "limits.h"
#include "log-file.h"
#include "log-sink.h"
#include "offline.h"
#include "options.h"

/* The newest bundles that are kept. */
#define KEEP 8
/* Its log, when there is no file of the whole. */
#define LOG_MAX (4 * MiB)
/* A directory with this in it is a bundle. */
#define SUMMARY "summary.txt"

static struct {
    char *parent;
    gint begun;                 /* atomic */
    char *directory;
    const char *trouble;        /* the first file that couldn't be written */

    char *digest_here, *digest_there, *differences;
} evidence;

void ft_evidence_setup(const char *directory)
{
    evidence.parent = directory
        ? g_canonicalize_filename(directory, NULL)
        : g_strdup_printf("/var/tmp/qemu-ft-evidence-%u",
                          (unsigned)geteuid());
}

void ft_evidence_digests(const FtDigestData *mine, const FtDigestData *theirs,
                         const char *differences)
{
    evidence.digest_here = ft_digest_data_text(mine);
    evidence.digest_there = ft_digest_data_text(theirs);
    evidence.differences = g_strdup(differences);
}

/* --- places -------------------------------------------------------------- */

/* In a place that everybody can write to, it has to be our own. */
static const char *make_parent(void)
{
    GStatBuf st;

    if (g_mkdir(evidence.parent, 0700) && errno != EEXIST) {
        return strerror(errno);
    }
    if (g_lstat(evidence.parent, &st)) {
        return strerror(errno);
    }
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid()) {
        return "it is no directory of this user's";
    }
    return NULL;
}

const char *ft_evidence_directory(void)
{
    return make_parent() ? NULL : evidence.parent;
}

static char *bundle_name(void)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%Y%m%d-%H%M%S");
    g_autofree char *node = g_strdup(ft_options.node ?: g_get_host_name());

    g_strcanon(node, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS ".-_", '_');
    return g_strdup_printf("%s-%s-%d", time, node, (int)getpid());
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        if (g_file_test(child, G_FILE_TEST_IS_DIR) &&
            !g_file_test(child, G_FILE_TEST_IS_SYMLINK)) {
            remove_tree(child);
        } else {
            g_unlink(child);
        }
    }
    g_rmdir(path);
}

/* Their names begin with their time. */
static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)b, *(char *const *)a);
}

static void remove_old(void)
{
    g_autoptr(GPtrArray) bundles = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(evidence.parent, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *mark = g_build_filename(evidence.parent, name,
                                                 SUMMARY, NULL);

        if (g_file_test(mark, G_FILE_TEST_IS_REGULAR)) {
            g_ptr_array_add(bundles, g_build_filename(evidence.parent, name,
                                                      NULL));
        }
    }
    g_ptr_array_sort(bundles, compare_names);
    for (guint i = KEEP - 1; i < bundles->len; i++) {
        remove_tree(bundles->pdata[i]);
    }
}

static void write_file(const char *name, const void *data, gssize size)
{
    g_autofree char *path = g_build_filename(evidence.directory, name, NULL);
    g_autoptr(GError) err = NULL;

    if (data && !g_file_set_contents(path, data, size, &err)) {
        evidence.trouble = evidence.trouble ?: "a file of it can't be written";
    }
}

/* --- the log ------------------------------------------------------------- */

/* What is in memory: the last that was executed, and what waits. */
static void write_tail(void)
{
    FtLogFileHeader header = {
        .role = FT_ROLE_BACKUP,
        .begun_us = g_get_real_time(),
    };
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autofree uint8_t *data = g_malloc(FT_FRAME_PAYLOAD_MAX);
    const char *hello = "node=evidence\n", *end = "the end of what was kept";
    uint64_t limit = ft_log_committed(&ft_driver_log);
    FtFrame frame = { .type = FT_FRAME_HELLO, .length = strlen(hello) };
    size_t n;

    g_byte_array_set_size(out, FT_LOG_FILE_HEADER_SIZE);
    ft_log_file_header_out(&header, out->data);
    ft_log_file_put(out, &frame, hello);
    frame.type = FT_FRAME_LOG;
    frame.position = ft_log_base(&ft_driver_log);
    while (out->len < LOG_MAX &&
           (n = ft_log_copy(&ft_driver_log, frame.position, limit, data,
                            FT_FRAME_PAYLOAD_MAX))) {
        frame.length = n;
        frame.flags = frame.position + n < limit ? FT_FRAME_MORE : 0;
        ft_log_file_put(out, &frame, data);
        frame.position += n;
    }
    frame.type = FT_FRAME_END;
    frame.flags = 0;
    frame.length = strlen(end);
    ft_log_file_put(out, &frame, end);
    write_file("tail.log", out->data, out->len);
}

/* The whole session's, if it was kept.  Returns where it is. */
static char *keep_whole_log(void)
{
    g_autofree char *here = NULL;
    FtLogSinkStatus sink;

    if (ft_options.replay) {
        return g_canonicalize_filename(ft_options.log_path, NULL);
    }
    here = g_build_filename(evidence.directory, "session.log", NULL);
    if (ft_log_sink_save(here)) {
        return g_steal_pointer(&here);
    }
    ft_log_sink_status(&sink);
    return g_strdup(sink.path);
}

/* --- the command --------------------------------------------------------- */

static void add_word(GString *line, const char *word)
{
    g_autofree char *shown = ft_iscsi_mask(word);
    g_autofree char *quoted = g_shell_quote(shown);

    g_string_append_printf(line, " %s",
                           strpbrk(shown, " \t\n'\"\\$`&|;<>()*?[]#~!{}")
                           || !*shown ? quoted : shown);
}

/* This process's; log: with this log instead of a peer. */
static char *command_line(const char *log)
{
    g_autofree char *args = NULL, *replay = NULL, *cwd = g_get_current_dir();
    GString *line = g_string_new("cd");
    size_t size = 0;

    g_file_get_contents("/proc/self/cmdline", &args, &size, NULL);
    add_word(line, cwd);
    g_string_append(line, " &&");
    if (log) {
        replay = g_strdup_printf("replay,log=%s", log);
    }
    for (size_t at = 0; at < size; at += strlen(args + at) + 1) {
        bool is_ft = !strcmp(args + at, "-ft") || !strcmp(args + at, "--ft");

        add_word(line, args + at);
        if (is_ft && replay) {
            add_word(line, replay);
            at += strlen(args + at) + 1;
        }
    }
    return g_string_free(line, FALSE);
}

/* --- the summary --------------------------------------------------------- */

static bool has_machine(void)
{
    return bql_locked() && ft_stream_locked();
}

static void add_state(GString *text)
{
    FtDriverStatus status;

    ft_driver_status(&status);
    g_string_append_printf(
        text, "log position:  %" PRIu64 " (received up to %" PRIu64 ")\n"
        "instruction:   %" PRIu64 "\n"
        "session:       0x%016" PRIx64 "\ngeneration:    %" PRIu64 "\n"
        "program:       QEMU-FT on QEMU %s\nprocess:       %d\n",
        ft_stream_executed(), ft_log_committed(&ft_driver_log),
        ft_stream_icount(), status.core.session, status.core.generation,
        QEMU_FULL_VERSION, (int)getpid());
}

static void add_files(GString *text, const char *log)
{
    g_string_append(text, "\nFiles:\n");
    if (evidence.digest_here) {
        g_string_append(text, "  digest-here.txt   what this machine is, part "
                        "by part\n  digest-there.txt  what its log says; "
                        "compare the two with diff\n");
    }
    g_string_append(text, "  registers.txt     this machine's CPU");
    g_string_append(text, has_machine() ? "\n" : ", perhaps a little later\n");
    if (has_machine()) {
        g_string_append(text, "  devices/          this machine's devices, as "
                        "migration would send each\n");
    }
    g_string_append_printf(text, "  tail.log          the log's end, for "
                           "people: ft-log print tail.log\n  command.txt       how "
                           "this process was started\n");
    if (!log) {
        g_string_append(text, "\nThe whole log was not kept (spool= or log=FILE "
                        "does that), so this can't be replayed.\n");
    }
}

static char *summary(const char *why, const char *log)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%Y-%m-%d %H:%M:%S %z");
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "%s\n\nwhen:          %s\n", why, time);
    add_state(text);
    if (evidence.differences) {
        g_string_append_printf(text, "\nWhat differs:\n%s",
                               evidence.differences);
    }
    add_files(text, log);
    if (log) {
        g_autofree char *command = command_line(log);

        g_string_append_printf(text, "\nThe whole log is %s.\nTo replay it, "
                               "with the disks as they were when the session "
                               "began:\n\n%s\n", log, command);
    }
    return g_string_free(text, FALSE);
}

static void write_bundle(const char *why)
{
    g_autofree char *log = keep_whole_log(), *text = summary(why, log);
    g_autofree char *command = command_line(NULL);
    g_autofree char *registers = ft_digest_cpu_text();

    write_file(SUMMARY, text, -1);
    write_file("digest-here.txt", evidence.digest_here, -1);
    write_file("digest-there.txt", evidence.digest_there, -1);
    write_file("registers.txt", registers, -1);
    write_file("command.txt", command, -1);
    write_tail();
    if (has_machine()) {
        g_autofree char *devices = g_build_filename(evidence.directory,
                                                    "devices", NULL);

        g_mkdir(devices, 0700);
        ft_stream_hold_clocks(true);
        ft_digest_devices_dump(devices);
        ft_stream_hold_clocks(false);
    }
}

char *ft_evidence_write(const char *why)
{
    g_autofree char *name = NULL;
    const char *trouble;

    if (!evidence.parent || qatomic_xchg(&evidence.begun, true)) {
        return g_strdup("");
    }
    trouble = make_parent();
    if (!trouble) {
        remove_old();
        name = bundle_name();
        evidence.directory = g_build_filename(evidence.parent, name, NULL);
        if (g_mkdir(evidence.directory, 0700)) {
            trouble = strerror(errno);
        }
    }
    if (trouble) {
        return g_strdup_printf("; no evidence could be written to '%s': %s "
                               "(evidence=DIR)", evidence.parent, trouble);
    }
    write_bundle(why);
    return g_strdup_printf("; evidence is in %s%s%s", evidence.directory,
                           evidence.trouble ? ", but " : "",
                           evidence.trouble ?: "");
}
