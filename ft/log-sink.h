/*
 * The session's log on its way to a file.
 *
 * Purpose: writes what the wire carries to a file too (docs/log.md).  A
 *   thread of its own writes, so that a disk that is slow, full or gone
 *   costs the file and nothing else.
 * Thread: setup in the main thread; status in any; the rest in
 *   the driver's I/O thread.
 * Units: positions in bytes of the log.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LOG_SINK_H
#define FT_LOG_SINK_H

#include "core.h"
#include "log.h"

typedef struct FtLogSinkStatus {
    const char *path;           /* NULL: no file was asked for */
    bool writing;
    uint64_t bytes;             /* the file's size */
    char text[256];             /* what it does, or why it ended */
} FtLogSinkStatus;

/*
 * Opens (or creates) the file and leaves its contents until a session
 * begins.  False: it can't be written, or is something else than a log.
 */
bool ft_log_sink_setup(const char *path, Error **errp);
/*
 * Without a file: a backup keeps its log, up to bound bytes, in a file without
 * a name in directory, where ft_log_sink_save() can give it one.
 */
void ft_log_sink_setup_spool(const char *directory, uint64_t bound);
/*
 * Gives the session's log the name path, once what waits is written; this
 * process begins no other session.  Any thread.  False: there is none, or
 * path is on another file system.
 */
bool ft_log_sink_save(const char *path);
/* A session's log begins; hello says what machine it is of. */
void ft_log_sink_begin(FtRole role, const char *hello, uint64_t session,
                       uint64_t generation);
/* Takes the log's bytes up to position, whole transactions. */
void ft_log_sink_take(FtLog *log, uint64_t position);
/* The log ends here; text says why. */
void ft_log_sink_end(const char *text);
void ft_log_sink_status(FtLogSinkStatus *status);

#endif
