/*
 * ft-log verify and compare.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "ft/core.h"
#include "ft-log.h"

int ft_log_verify(const char *path)
{
    g_autoptr(FtLogWalk) walk = ft_log_open(path);
    uint64_t entries = 0;
    FtLogRead result;
    FtLogEntry entry;

    if (!walk) {
        return FT_LOG_TROUBLE;
    }
    ft_log_print_header(path, ft_log_walk_reader(walk));
    while ((result = ft_log_walk_next(walk, &entry)) == FT_LOG_READ_FRAME) {
        if (!entries && entry.position) {
            printf("the log begins at position %" PRIu64 "; what was before "
                   "is not in the file\n", entry.position);
        }
        entries++;
    }
    printf("%" PRIu64 " bytes of log, %" PRIu64 " entries, %" PRIu64
           " instructions are good\n", ft_log_walk_position(walk), entries,
           ft_log_walk_icount(walk));
    return ft_log_ended(path, walk, result);
}

/* --- compare ------------------------------------------------------------- */

typedef struct Side {
    const char *path;
    FtLogWalk *walk;
    FtLogEntry entry;
    FtLogRead result;
} Side;

static void next(Side *side)
{
    side->result = ft_log_walk_next(side->walk, &side->entry);
}

static bool is_equal(const FtLogEntry *a, const FtLogEntry *b)
{
    return a->position == b->position && a->size == b->size &&
        !memcmp(a->data, b->data, a->size);
}

/* The entry at hand and those after it. */
static void print_rest(Side *side, const FtLogOptions *options)
{
    printf("%s:\n", side->path);
    for (int i = 0; i <= options->context; i++) {
        if (side->result != FT_LOG_READ_FRAME) {
            printf("  %s\n", side->result == FT_LOG_READ_DONE
                   ? "end of the log" : ft_log_walk_why(side->walk));
            return;
        }
        ft_log_print_entry(&side->entry, options, i ? " " : ">");
        next(side);
    }
}

static void print_before(const char *path, uint64_t position,
                         const FtLogOptions *options)
{
    FtLogOptions before = *options;
    g_autoptr(FtLogWalk) walk = ft_log_open(path);
    uint64_t starts[64];
    uint64_t count = 0, want = MIN(options->context, 64);
    FtLogEntry entry;

    if (!walk || !want) {
        return;
    }
    while (ft_log_walk_next(walk, &entry) == FT_LOG_READ_FRAME &&
           entry.position < position) {
        starts[count++ % want] = entry.position;
    }
    if (!count) {
        return;
    }
    before.from = starts[count > want ? count % want : 0];
    printf("both:\n");
    ft_log_walk_free(g_steal_pointer(&walk));
    walk = ft_log_open(path);
    while (walk && ft_log_walk_next(walk, &entry) == FT_LOG_READ_FRAME &&
           entry.position < position) {
        if (entry.position >= before.from) {
            ft_log_print_entry(&entry, options, " ");
        }
    }
}

static void compare_machines(const Side *a, const Side *b)
{
    g_autofree char *text = ft_core_hello_difference(
        ft_log_reader_hello_text(ft_log_walk_reader(a->walk)), "the first has",
        ft_log_reader_hello_text(ft_log_walk_reader(b->walk)),
        "the second has");

    if (text) {
        printf("the logs are of different machines: %s\n", text);
    }
    if (ft_log_reader_hello(ft_log_walk_reader(a->walk))->session !=
        ft_log_reader_hello(ft_log_walk_reader(b->walk))->session) {
        printf("the logs are of different sessions\n");
    }
}

int ft_log_compare(const char *path_a, const char *path_b,
                   const FtLogOptions *options)
{
    Side a = { .path = path_a }, b = { .path = path_b };
    uint64_t position;

    a.walk = ft_log_open(path_a);
    b.walk = a.walk ? ft_log_open(path_b) : NULL;
    if (!b.walk) {
        return FT_LOG_TROUBLE;
    }
    compare_machines(&a, &b);
    do {
        next(&a);
        next(&b);
    } while (a.result == FT_LOG_READ_FRAME && b.result == FT_LOG_READ_FRAME &&
             is_equal(&a.entry, &b.entry));
    if (a.result == FT_LOG_READ_DONE && b.result == FT_LOG_READ_DONE) {
        printf("equal: %" PRIu64 " bytes of log, %" PRIu64 " instructions\n",
               ft_log_walk_position(a.walk), ft_log_walk_icount(a.walk));
        return FT_LOG_GOOD;
    }
    position = a.result == FT_LOG_READ_FRAME ? a.entry.position
                                             : ft_log_walk_position(a.walk);
    if (a.result == FT_LOG_READ_FRAME && b.result == FT_LOG_READ_FRAME) {
        printf("the logs differ from position %" PRIu64 ", instruction %"
               PRIu64 "\n", position, a.entry.icount);
    } else {
        printf("the logs are equal up to position %" PRIu64
               ", where one ends\n", position);
    }
    ft_log_print_title(options);
    print_before(path_a, position, options);
    print_rest(&a, options);
    print_rest(&b, options);
    return FT_LOG_DIFFERENT;
}
