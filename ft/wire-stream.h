/*
 * Frames on the log channel: short where they can be, log bytes packed.
 *
 * Purpose: what ft/wire.h calls a frame, to the bytes of one connection and
 *   back.  A small transaction costs less than a frame's header, so a
 *   connection's frames say only what has changed (docs/protocol.md).
 * Thread: any, one at a time for each object.
 * Ownership: a payload that the reader gives out is good until its next call.
 * Units: bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_WIRE_STREAM_H
#define FT_WIRE_STREAM_H

#include "wire.h"

/* One direction of one connection. */
typedef struct FtWireWriter FtWireWriter;
typedef struct FtWireReader FtWireReader;

FtWireWriter *ft_wire_writer_new(void);
void ft_wire_writer_free(FtWireWriter *writer);
/*
 * Appends the frame's beginning to out, and returns how much of payload has
 * to follow: all, or nothing.  So what is long need not be copied.
 */
gsize ft_wire_writer_begin(FtWireWriter *writer, const FtFrame *frame,
                           const void *payload, GByteArray *out);
/* Appends the frame's bytes to out. */
void ft_wire_writer_put(FtWireWriter *writer, const FtFrame *frame,
                        const void *payload, GByteArray *out);

FtWireReader *ft_wire_reader_new(void);
void ft_wire_reader_free(FtWireReader *reader);
/*
 * The frame at the beginning of bytes, checked: how many of them it takes;
 * 0: it is not all there.  < 0: *why (static) names what is wrong, and
 * nothing can be read any more.
 */
gssize ft_wire_reader_next(FtWireReader *reader, const guint8 *bytes,
                           gsize size, FtFrame *frame,
                           const guint8 **payload, const char **why);

#endif
