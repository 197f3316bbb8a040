/*
 * Would a shared disk on this LUN's target be fenced?
 *
 * Thread: the main thread of a process without others; calls block.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_FENCE_CHECK_H
#define FT_FENCE_CHECK_H

#include "ft/iscsi-address.h"

enum {
    FT_FENCE_WORKS = 0,
    FT_FENCE_BROKEN = 1,        /* the target does not do what it needs */
    FT_FENCE_FAILED = 2,        /* it could not be found out */
};

/*
 * Plays a machine that is overtaken, and the one that takes its place, on a
 * LUN that nobody uses; what is on it stays.  A LUN that somebody has
 * reserved is left alone without force.  One of the above; prints it.
 */
int ft_fence_check(const char *uri, const FtIscsiLogin *login,
                   gboolean force);

#endif
