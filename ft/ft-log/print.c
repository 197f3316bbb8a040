/*
 * ft-log print, follow and around.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "ft-log.h"

/* How often a log that is being written is looked at. */
#define FOLLOW_US (50 * 1000)

FtLogWalk *ft_log_open(const char *path)
{
    g_autofree char *why = NULL;
    FtLogWalk *walk = ft_log_walk_open(path, &why);

    if (!walk) {
        fprintf(stderr, "ft-log: %s\n", why);
    }
    return walk;
}

int ft_log_ended(const char *path, const FtLogWalk *walk, FtLogRead result)
{
    if (result == FT_LOG_READ_DONE) {
        printf("end of the log at position %" PRIu64 ": %s\n",
               ft_log_walk_position(walk), ft_log_walk_end_text(walk));
        return FT_LOG_GOOD;
    }
    fflush(stdout);
    fprintf(stderr, "ft-log: log '%s': %s\n", path, ft_log_walk_why(walk));
    return FT_LOG_DIFFERENT;
}

void ft_log_print_header(const char *path, const FtLogReader *reader)
{
    const FtLogFileHeader *header = ft_log_reader_header(reader);
    const FtFrame *hello = ft_log_reader_hello(reader);
    g_auto(GStrv) lines = g_strsplit(ft_log_reader_hello_text(reader), "\n",
                                     2);
    g_autoptr(GDateTime) begun =
        g_date_time_new_from_unix_utc(header->begun_us / G_USEC_PER_SEC);
    g_autofree char *when = begun ? g_date_time_format(begun, "%F %T UTC")
                                  : g_strdup("?");

    printf("%s: written by the %s, %s, begun %s, session 0x%" PRIx64
           ", generation %" PRIu64 "\n", path,
           header->role == 1 ? "primary" : "backup", lines[0] ?: "", when,
           hello->session, hello->generation);
}

bool ft_log_is_chosen(const FtLogEntry *entry, const FtLogOptions *options)
{
    return (!options->kinds || options->kinds & (1u << entry->kind)) &&
        entry->position >= options->from && entry->position < options->to &&
        entry->icount >= options->from_icount &&
        entry->icount < options->to_icount;
}

void ft_log_print_title(const FtLogOptions *options)
{
    printf("  %12s %15s  %-13s%s\n", "position", "instruction",
           options->pc ? "kind" : "kind", options->pc
           ? "guest's address, event" : "event");
}

void ft_log_print_entry(const FtLogEntry *entry, const FtLogOptions *options,
                        const char *mark)
{
    g_autoptr(GString) text = g_string_new(NULL);
    uint64_t address;

    if (ft_log_pc_find(options->pc, entry->position, &address)) {
        g_autofree char *name = ft_log_symbols_name(options->symbols, address);

        g_string_append_printf(text, "%-32s ", name);
    } else if (options->pc) {
        g_string_append_printf(text, "%-32s ", "?");
    }
    ft_entry_describe(text, entry->data, entry->size);
    printf("%s %12" PRIu64 " %15" PRIu64 "  %-13s%s\n", mark, entry->position,
           entry->icount, ft_entry_kind_name(entry->kind), text->str);
}

/* --- the last few -------------------------------------------------------- */

static void kept_free(gpointer opaque)
{
    FtLogEntry *entry = opaque;

    g_free((void *)entry->data);
    g_free(entry);
}

/* A queue of at most max copies. */
static void keep(GQueue *kept, const FtLogEntry *entry, uint64_t max)
{
    FtLogEntry *copy = g_memdup2(entry, sizeof(*entry));

    copy->data = g_memdup2(entry->data, entry->size);
    g_queue_push_tail(kept, copy);
    if (g_queue_get_length(kept) > max) {
        kept_free(g_queue_pop_head(kept));
    }
}

static void print_kept(GQueue *kept, const FtLogOptions *options)
{
    FtLogEntry *entry;

    while ((entry = g_queue_pop_head(kept))) {
        ft_log_print_entry(entry, options, " ");
        kept_free(entry);
    }
}

/* --- commands ------------------------------------------------------------ */

/* NULL: it was said why. */
static FtLogWalk *open_to_print(const char *path, const FtLogOptions *options)
{
    FtLogWalk *walk = ft_log_open(path);

    if (walk) {
        ft_log_print_header(path, ft_log_walk_reader(walk));
        ft_log_print_title(options);
    }
    return walk;
}

int ft_log_print(const char *path, const FtLogOptions *options)
{
    g_autoptr(FtLogWalk) walk = open_to_print(path, options);
    GQueue kept = G_QUEUE_INIT;
    FtLogRead result;
    FtLogEntry entry;

    if (!walk) {
        return FT_LOG_TROUBLE;
    }
    while ((result = ft_log_walk_next(walk, &entry)) == FT_LOG_READ_FRAME) {
        if (!ft_log_is_chosen(&entry, options)) {
            continue;
        }
        if (options->last) {
            keep(&kept, &entry, options->last);
        } else {
            ft_log_print_entry(&entry, options, " ");
        }
    }
    print_kept(&kept, options);
    return ft_log_ended(path, walk, result);
}

/* A new session writes the file anew. */
static bool is_written_anew(const char *path, const FtLogWalk *walk)
{
    struct stat st;

    return !stat(path, &st) &&
        (uint64_t)st.st_size < ft_log_reader_offset(ft_log_walk_reader(walk));
}

int ft_log_follow(const char *path, const FtLogOptions *options)
{
    g_autoptr(FtLogWalk) walk = open_to_print(path, options);
    FtLogRead result;
    FtLogEntry entry;

    if (!walk) {
        return FT_LOG_TROUBLE;
    }
    while ((result = ft_log_walk_next(walk, &entry)) == FT_LOG_READ_FRAME ||
           result == FT_LOG_READ_SHORT) {
        if (result == FT_LOG_READ_FRAME) {
            if (ft_log_is_chosen(&entry, options)) {
                ft_log_print_entry(&entry, options, " ");
            }
            continue;
        }
        fflush(stdout);
        if (is_written_anew(path, walk)) {
            fprintf(stderr, "ft-log: '%s' is being written anew: another "
                    "session has begun\n", path);
            return FT_LOG_DIFFERENT;
        }
        g_usleep(FOLLOW_US);
    }
    return ft_log_ended(path, walk, result);
}

int ft_log_around(const char *path, uint64_t where,
                  const FtLogOptions *options)
{
    g_autoptr(FtLogWalk) walk = open_to_print(path, options);
    GQueue kept = G_QUEUE_INIT;
    int after = options->context;
    bool reached = false;
    FtLogRead result;
    FtLogEntry entry;

    if (!walk) {
        return FT_LOG_TROUBLE;
    }
    while ((result = ft_log_walk_next(walk, &entry)) == FT_LOG_READ_FRAME) {
        /* The entry that has the byte, or executes the instruction. */
        bool is_there = !reached && (options->by_icount
            ? where < entry.icount + MAX(ft_entry_instructions(entry.data), 1)
            : where < entry.position + entry.size);

        if (is_there) {
            reached = true;
            print_kept(&kept, options);
            ft_log_print_entry(&entry, options, ">");
        } else if (!ft_log_is_chosen(&entry, options)) {
            continue;
        } else if (!reached) {
            keep(&kept, &entry, options->context);
        } else if (after-- > 0) {
            ft_log_print_entry(&entry, options, " ");
        } else {
            return FT_LOG_GOOD;
        }
    }
    print_kept(&kept, options);
    if (!reached) {
        fflush(stdout);
        fprintf(stderr, "ft-log: the log ends before, at position %" PRIu64
                ", instruction %" PRIu64 "\n", ft_log_walk_position(walk),
                ft_log_walk_icount(walk));
    }
    return ft_log_ended(path, walk, result) || !reached;
}
