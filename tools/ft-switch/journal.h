/*
 * The journal: what the switch saw, one JSON object a line.
 *
 * Purpose: port opened and closed, MAC learnt and moved, counters; each with
 *   "t", seconds of CLOCK_MONOTONIC, so that other programs on this machine
 *   can put the lines on their own time line.  docs/ft-switch.md lists them.
 * Thread: the main loop's, only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_SWITCH_JOURNAL_H
#define FT_SWITCH_JOURNAL_H

#include <glib.h>

typedef struct FtJournal FtJournal;

/* path NULL: a journal that keeps nothing.  NULL on error: *why (g_free). */
FtJournal *ft_journal_open(const char *path, char **why);
void ft_journal_close(FtJournal *journal);
/* format: members of a JSON object, without the braces. */
void ft_journal_write(FtJournal *journal, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

#endif
