/*
 * The last frames for one address, in case its machine moves to another port.
 *
 * Purpose: a machine that dies takes frames with it that it had not read, and
 *   more come until its backup is live.  A client's TCP repeats them after
 *   0.2 s; libslirp's, behind which the host's clients are, after a second.
 *   So the switch repeats them when the address moves.  One that comes twice
 *   does no harm, as on any network.
 * Thread: the main loop's, only.
 * Ownership: frames are copied.
 * Units: microseconds of CLOCK_MONOTONIC.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_KEEP_H
#define FT_KEEP_H

#include <glib.h>

#define FT_KEEP_FRAMES_MAX 32
#define FT_KEEP_SIZE_MAX 2048           /* a longer frame is not kept */
#define FT_KEEP_AGE_US (2 * G_USEC_PER_SEC)

typedef struct FtKeep {
    GQueue frames;
} FtKeep;

typedef void FtKeepDeliver(gpointer opaque, const guint8 *frame, gsize size);

void ft_keep_init(FtKeep *keep);
void ft_keep_clear(FtKeep *keep);
void ft_keep_add(FtKeep *keep, const guint8 *frame, gsize size, gint64 now_us);
/* Hands out those that are not too old, in their order; none is kept. */
void ft_keep_deliver(FtKeep *keep, gint64 now_us, FtKeepDeliver *deliver,
                     gpointer opaque);

#endif
