/*
 * A session's log in memory: bytes addressed by log position.
 *
 * Purpose: on the primary, what was appended and is not acknowledged yet; on
 *   the backup, what was received and is not executed yet.
 * Thread: any; every function takes the log's own lock, which is a leaf: no
 *   other lock is taken while it is held.
 * Ownership: the log owns its bytes; copies and views go out.
 * Units: positions and sizes in bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LOG_H
#define FT_LOG_H

#include "qemu/thread.h"

typedef struct FtLogRing FtLogRing;

typedef struct FtLog {
    QemuMutex lock;
    QemuCond cond;          /* broadcast by commit, trim and wake */

    /* Protected by lock. */
    FtLogRing *ring;
    size_t most;            /* bytes that it had at a time, */
    gint64 looks_since_us;  /* since then */
    uint64_t base;          /* the oldest position that is kept */
    uint64_t committed;     /* whole transactions end here */
    uint64_t end;           /* the newest byte's position plus one */
} FtLog;

void ft_log_init(FtLog *log);
/* Forgets everything; the next byte has position 0. */
void ft_log_reset(FtLog *log);
/* Returns the position after the last byte. */
uint64_t ft_log_append(FtLog *log, const void *data, size_t size);
/* Bytes before position are whole transactions from now on. */
void ft_log_commit(FtLog *log, uint64_t position);
/* All that was appended is. */
void ft_log_commit_all(FtLog *log);
/* Bytes before position are not needed any more. */
void ft_log_trim(FtLog *log, uint64_t position);
/* Copies up to size bytes from position, not beyond limit; returns how many. */
size_t ft_log_copy(FtLog *log, uint64_t position, uint64_t limit,
                   void *data, size_t size);
/* The log's bytes where they are. */
typedef struct FtLogView {
    const uint8_t *data;
    size_t size;
    FtLogRing *ring;
} FtLogView;

/*
 * Looks at the bytes from position to limit, or as many of them as there are.
 * They may be read until the view ends, as long as nobody trims them.
 */
void ft_log_view(FtLog *log, uint64_t position, uint64_t limit,
                 FtLogView *view);
void ft_log_view_end(FtLogView *view);
uint64_t ft_log_end(FtLog *log);
/* The oldest position that is kept. */
uint64_t ft_log_base(FtLog *log);
uint64_t ft_log_committed(FtLog *log);
/* Waits until something is committed beyond position, or the time is over. */
void ft_log_wait(FtLog *log, uint64_t position, int timeout_ms);
/* Ends everybody's wait. */
void ft_log_wake(FtLog *log);

#endif
