/*
 * One shared LUN, as the fence sees it: its session and its reservation.
 *
 * Thread: the main thread (BQL), coroutines of the main context, one at a
 *   time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_FENCE_LUN_H
#define FT_FENCE_LUN_H

#include "block/block_int.h"
#include "iscsi-session.h"

typedef struct FtFenceLun {
    BlockDriverState *bs;
    char *name;                 /* without a login */
    FtIscsiSession *session;
    uint64_t key;               /* what is registered; never used again */
    unsigned command_ms;
    bool tried;                 /* preempting works */
    bool shared;
    bool renew;                 /* its session is in doubt */
    char *useless;              /* why it can't be fenced; NULL: it can */
    QLIST_ENTRY(FtFenceLun) next;
} FtFenceLun;

FtFenceLun *ft_fence_lun_new(BlockDriverState *bs, struct iscsi_context *ctx,
                             int number);
/* closes: the disk does; else it goes on without a fence. */
void ft_fence_lun_free(FtFenceLun *lun, bool closes);

/* Nothing may be sent to it before ft_fence_lun_renew(). */
bool ft_fence_lun_is_dropped(const FtFenceLun *lun);
/* False: not yet; *why (g_free it) is set anew. */
bool coroutine_fn ft_fence_lun_renew(FtFenceLun *lun, char **why);
/*
 * Renews, reserves, and waits for what others had under way.  True: done, or
 * useless says that it can't be.  False: not yet; *why as above.
 */
bool coroutine_fn ft_fence_lun_take(FtFenceLun *lun, char **why);

#endif
