/*
 * A session's log in memory: bytes addressed by log position.
 *
 * Purpose: on the primary, what was appended and is not acknowledged yet; on
 *   the backup, what was received and is not executed yet.
 * Thread: any; every function takes the log's own lock, which is a leaf: no
 *   other lock is taken while it is held.
 * Ownership: the log owns its bytes; copies go out.
 * Units: positions and sizes in bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LOG_H
#define FT_LOG_H

#include "qemu/thread.h"

typedef struct FtLog {
    QemuMutex lock;
    QemuCond cond;          /* broadcast by commit, trim and wake */

    /* Protected by lock. */
    uint8_t *bytes;
    size_t capacity;
    size_t head;            /* offset in bytes[] of position base */
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
uint64_t ft_log_end(FtLog *log);
/* The oldest position that is kept. */
uint64_t ft_log_base(FtLog *log);
uint64_t ft_log_committed(FtLog *log);
/* Waits until something is committed beyond position, or the time is over. */
void ft_log_wait(FtLog *log, uint64_t position, int timeout_ms);
/* Ends everybody's wait. */
void ft_log_wake(FtLog *log);

#endif
