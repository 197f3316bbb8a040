/*
 * Faults on purpose on a write's way to a shared disk.
 *
 * Purpose: tests say at which point of which write this process gets a
 *   signal (x-ft-fault), to see that nothing is lost wherever it dies.
 * Thread: any, without locks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DISK_FAULT_H
#define FT_DISK_FAULT_H

#include "qapi/qapi-types-ft.h"

/* The signal comes at that point of the count'th write from now on. */
void ft_disk_fault_set(FtDiskPoint point, uint32_t count, int signal);
/* A write comes to this point; up to position the log has what led to it. */
void ft_disk_fault_at(FtDiskPoint point, uint64_t position);
/* The log up to position has come so far: LOGGED, SENT, ACKNOWLEDGED. */
void ft_disk_fault_log(FtDiskPoint point, uint64_t position);
/* True: a write is to be met while the disk has it. */
bool ft_disk_fault_is_at(FtDiskPoint point);

#endif
