/*
 * The watch over this process: what ft/watch.c sees, and the words for it.
 *
 * Thread: ft_progress_tick() in the one thread that feeds the log to the
 *   engine, each FT_WATCH_TICK_MS; it takes no lock.
 * Ownership: the text is the caller's (g_free).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_PROGRESS_H
#define FT_PROGRESS_H

/* NULL, or why this machine can't be relied on any more. */
char *ft_progress_tick(void);

#endif
