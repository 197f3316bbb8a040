/*
 * Little-endian numbers in bytes, for the wire and the disk.
 *
 * Thread: any.  No alignment is needed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_BYTES_H
#define FT_BYTES_H

#include <glib.h>
#include <string.h>

static inline void ft_put16(guint8 *p, guint16 v)
{
    v = GUINT16_TO_LE(v);
    memcpy(p, &v, sizeof(v));
}

static inline void ft_put32(guint8 *p, guint32 v)
{
    v = GUINT32_TO_LE(v);
    memcpy(p, &v, sizeof(v));
}

static inline void ft_put64(guint8 *p, guint64 v)
{
    v = GUINT64_TO_LE(v);
    memcpy(p, &v, sizeof(v));
}

static inline guint16 ft_get16(const guint8 *p)
{
    guint16 v;

    memcpy(&v, p, sizeof(v));
    return GUINT16_FROM_LE(v);
}

static inline guint32 ft_get32(const guint8 *p)
{
    guint32 v;

    memcpy(&v, p, sizeof(v));
    return GUINT32_FROM_LE(v);
}

static inline guint64 ft_get64(const guint8 *p)
{
    guint64 v;

    memcpy(&v, p, sizeof(v));
    return GUINT64_FROM_LE(v);
}

#endif
