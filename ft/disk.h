/*
 * The disk guard: a block filter above every disk of the guest.
 *
 * Purpose: a request's data and its completion become visible to the guest
 *   at one logged instruction (M18), overlapping requests happen in the same
 *   order on both sides (M19), and a result that only one side's disk gives
 *   never reaches the guest.  Each side reads and writes its own disk (M22).
 * Locks: BQL; coroutines of the main context.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DISK_H
#define FT_DISK_H

/* Called when this side's disk failed and the primary's did not. */
typedef void FtDiskFailFn(const char *why);

void ft_disk_init(FtDiskFailFn *fail);
/* Backup: the primary's request id failed with ret (-errno). */
void ft_disk_set_result(uint64_t id, int ret);
/* Requests are numbered alike on both sides, also from a state on. */
uint64_t ft_disk_next_request(void);
void ft_disk_set_next_request(uint64_t id);
/*
 * Main thread: this side's disk has all that its guest was told is written,
 * so that it may go live.  ft_stream_settled() is called when that comes.
 */
bool ft_disk_settled(void);
/* Any thread: a request to a disk of this side is under way. */
bool ft_disk_busy(void);

#endif
