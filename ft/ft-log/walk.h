/*
 * A log's entries, one after the other.
 *
 * Thread: one.  Ownership: an entry's bytes are the walk's, until the next.
 * Units: positions in bytes of the log, times in ns.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LOG_WALK_H
#define FT_LOG_WALK_H

#include "qemu/osdep.h"
#include "replay/ft-entry.h"
#include "ft/log-file.h"

typedef struct FtLogEntry {
    uint64_t position;
    uint64_t icount;            /* instructions executed before it */
    int64_t elapsed_ns;         /* since the log's first clock reading */
    FtEntryKind kind;
    const uint8_t *data;
    size_t size;
} FtLogEntry;

typedef struct FtLogWalk FtLogWalk;

/* NULL: *why (g_free) says why not. */
FtLogWalk *ft_log_walk_open(const char *path, char **why);
void ft_log_walk_free(FtLogWalk *walk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FtLogWalk, ft_log_walk_free)

/* FRAME: *entry is the next.  DONE, SHORT, BAD: as ft_log_reader_next(). */
FtLogRead ft_log_walk_next(FtLogWalk *walk, FtLogEntry *entry);
const char *ft_log_walk_why(const FtLogWalk *walk);
const FtLogReader *ft_log_walk_reader(const FtLogWalk *walk);
/* Once it is done: the reason that the END gave. */
const char *ft_log_walk_end_text(const FtLogWalk *walk);
uint64_t ft_log_walk_position(const FtLogWalk *walk);
uint64_t ft_log_walk_icount(const FtLogWalk *walk);

#endif
