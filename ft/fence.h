/*
 * The fence: nobody but the machine that won the lease writes a shared disk.
 *
 * Purpose: the lease stops decisions, not writes in flight.  The winner takes
 *   a persistent reservation on every shared LUN, on the very session it
 *   writes on, waits for what others had under way there, and looks at the
 *   lease once more.  A machine that was overtaken is refused from then on.
 *   After any doubt about a session nothing is written until all that was
 *   done again.  See docs/storage.md and docs/adr/0017-fence.md.
 * Thread: the main thread (BQL), coroutines of the main context;
 *   ft_fence_begin from any thread.
 * Source: SPC-4, 5.13 (persistent reservations).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_FENCE_H
#define FT_FENCE_H

#include "core.h"

/* Which disks are fenced; before the machine runs. */
void ft_fence_setup(void);

/*
 * FT_ACTION_FENCE: answered when others are shut out, or LOST, with text, when
 * the lease is another machine's by now; UNKNOWN tells meanwhile why it takes
 * long.
 */
typedef void FtFenceAnswerFn(FtLeaseResult result, const char *text);
void ft_fence_begin(FtFenceAnswerFn *answer);

/*
 * Around each request to a shared disk, in its coroutine:
 *
 *     do {
 *         ft_fence_enter();
 *         ret = ...;
 *     } while (ft_fence_leave(ret, &tries));      tries: 0 at first
 *
 * enter waits while it is in doubt whether this machine may write.  leave is
 * true when ret says nothing about the disk, so that it has to be done again.
 */
void coroutine_fn ft_fence_enter(void);
bool coroutine_fn ft_fence_leave(int ret, unsigned *tries);

/* For query-ft, one sentence; g_free.  NULL: no shared disk. */
char *ft_fence_text(void);

#endif
