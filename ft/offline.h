/*
 * Replaying a session's log from a file, with no peer and no lease.
 *
 * Purpose: a backup whose log comes from a file.  It compares the digests in
 *   it, lets nothing out, and ends at the log's end: with 0, or with
 *   FT_EXIT_FAILED and the reason when it diverges or the file is damaged.
 * Thread: any, unless said otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_OFFLINE_H
#define FT_OFFLINE_H

#include "driver.h"

/*
 * Before drives are made: what the guest writes to a -drive is kept apart and
 * forgotten, so that the log can be executed again and again.
 */
void ft_offline_spare_disks(void);
/* Did the two machines of the log share their disks?  After setup. */
bool ft_offline_shares_disks(void);
/* And has the log what was read from them?  False: *errp. */
bool ft_offline_has_reads(Error **errp);
/* Main thread, while the machine is set up. */
bool ft_offline_setup(const char *path, Error **errp);
/*
 * Main thread, once, when the machine is complete: compares it with the
 * log's, and begins.  False: it is another machine, *errp names a part.
 */
bool ft_offline_start(const FtCoreConfig *config, Error **errp);

/* As the driver's functions of the same name. */
void ft_offline_status(FtDriverStatus *status);
void ft_offline_end(void);
void ft_offline_fail(const char *why);

/* The stream's callback: the guest's program counter is written (pc=FILE). */
void ft_offline_fetched(uint64_t position);

#endif
