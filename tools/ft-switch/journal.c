/*
 * The journal: what the switch saw, one JSON object a line.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "journal.h"

struct FtJournal {
    FILE *file;                     /* NULL: keeps nothing */
    gboolean failed;                /* one complaint is enough */
};

FtJournal *ft_journal_open(const char *path, char **why)
{
    FtJournal *journal = g_new0(FtJournal, 1);

    if (path) {
        journal->file = fopen(path, "ae");
        if (!journal->file) {
            *why = g_strdup_printf("--log: can't open '%s': %s", path,
                                   g_strerror(errno));
            g_free(journal);
            return NULL;
        }
        /* A reader follows the file while the switch runs. */
        setvbuf(journal->file, NULL, _IOLBF, 0);
    }
    return journal;
}

void ft_journal_close(FtJournal *journal)
{
    if (journal->file) {
        fclose(journal->file);
    }
    g_free(journal);
}

void ft_journal_write(FtJournal *journal, const char *format, ...)
{
    gint64 now_us = g_get_monotonic_time();
    g_autofree char *members = NULL;
    va_list args;

    if (!journal->file) {
        return;
    }
    va_start(args, format);
    members = g_strdup_vprintf(format, args);
    va_end(args);
    if (fprintf(journal->file, "{\"t\":%" G_GINT64_FORMAT ".%06d,%s}\n",
                now_us / G_USEC_PER_SEC, (int)(now_us % G_USEC_PER_SEC),
                members) < 0 && !journal->failed) {
        journal->failed = TRUE;
        g_printerr("ft-switch: --log: can't write: %s; lines are missing "
                   "from here on\n", g_strerror(errno));
    }
}
