/*
 * The last frames for one address, in case its machine moves to another port.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "keep.h"

typedef struct Kept {
    gint64 at_us;
    gsize size;
    guint8 frame[];
} Kept;

void ft_keep_init(FtKeep *keep)
{
    g_queue_init(&keep->frames);
}

void ft_keep_clear(FtKeep *keep)
{
    g_queue_clear_full(&keep->frames, g_free);
}

void ft_keep_add(FtKeep *keep, const guint8 *frame, gsize size, gint64 now_us)
{
    Kept *kept;

    if (size > FT_KEEP_SIZE_MAX) {
        return;
    }
    if (g_queue_get_length(&keep->frames) == FT_KEEP_FRAMES_MAX) {
        g_free(g_queue_pop_head(&keep->frames));
    }
    kept = g_malloc(sizeof(*kept) + size);
    kept->at_us = now_us;
    kept->size = size;
    memcpy(kept->frame, frame, size);
    g_queue_push_tail(&keep->frames, kept);
}

void ft_keep_deliver(FtKeep *keep, gint64 now_us, FtKeepDeliver *deliver,
                     gpointer opaque)
{
    Kept *kept;

    while ((kept = g_queue_pop_head(&keep->frames))) {
        if (now_us - kept->at_us <= FT_KEEP_AGE_US) {
            deliver(opaque, kept->frame, kept->size);
        }
        g_free(kept);
    }
}
