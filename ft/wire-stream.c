/*
 * Frames on the log channel, short and packed.
 *
 * A short frame begins with a byte that no long one begins with:
 *
 *   u8      0x80, the type, flags (FLAGS_SHIFT), PACKED
 *   varint  bytes that follow the checksum
 *   varint  position, less that of the frame before it (zigzag)
 *   varint  held, of the types that have it
 *   u32     CRC32C, little-endian
 *
 * Session and generation are those of the long frame before.  The checksum
 * is the long frame's, of the unpacked payload: it covers what is left out,
 * and whatever both ends have kept of earlier frames.
 *
 * Packed payload is one part of a raw deflate stream that goes through all
 * packed frames of the direction, flushed, without the four bytes that every
 * flush ends with.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>
#include <zlib.h>

#include "bytes.h"
#include "limits.h"
#include "wire-stream.h"

enum {
    SHORT = 0x80,
    PACKED = 0x40,
    FLAGS_SHIFT = 4,
    FLAGS_MASK = 3,
    TYPE_MASK = 15,
    VARINT_MAX = 10,
    /* What is longer is a stream of packets, and not worth the time. */
    PACK_MAX = 4096,
    PACK_LEVEL = 4,
    PACK_WINDOW_BITS = 12,
    PACK_MEMORY = 6,
};

static const guint8 flush_end[4] = { 0, 0, 0xff, 0xff };

/* What both ends know from the frames before. */
typedef struct Context {
    gboolean begun;             /* there was a long frame */
    guint sent;                 /* a bit for each type that there was */
    guint64 session;
    guint64 generation;
    guint64 position;
} Context;

struct FtWireWriter {
    Context context;
    z_stream zip;
    GByteArray *packed;
};

struct FtWireReader {
    Context context;
    z_stream zip;
    guint8 *unpacked;           /* FT_FRAME_PAYLOAD_MAX */
};

static void context_advance(Context *context, const FtFrame *frame)
{
    context->begun = TRUE;
    context->sent |= 1u << frame->type;
    context->session = frame->session;
    context->generation = frame->generation;
    context->position = frame->position;
}

/* --- writing ------------------------------------------------------------- */

FtWireWriter *ft_wire_writer_new(void)
{
    FtWireWriter *writer = g_new0(FtWireWriter, 1);

    if (deflateInit2(&writer->zip, PACK_LEVEL, Z_DEFLATED, -PACK_WINDOW_BITS,
                     PACK_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
        g_error("no memory to pack the log");
    }
    writer->packed = g_byte_array_new();
    return writer;
}

void ft_wire_writer_free(FtWireWriter *writer)
{
    if (writer) {
        deflateEnd(&writer->zip);
        g_byte_array_unref(writer->packed);
        g_free(writer);
    }
}

static void put_varint(GByteArray *out, guint64 value)
{
    guint8 bytes[VARINT_MAX];
    guint n = 0;

    while (value >= 0x80) {
        bytes[n++] = value | 0x80;
        value >>= 7;
    }
    bytes[n++] = value;
    g_byte_array_append(out, bytes, n);
}

static guint64 zigzag(guint64 difference)
{
    return (difference << 1) ^ -(difference >> 63);
}

/* Into writer->packed. */
static void pack(FtWireWriter *writer, const void *payload, gsize size)
{
    z_stream *zip = &writer->zip;
    gsize room = deflateBound(zip, size) + 16;

    g_byte_array_set_size(writer->packed, room);
    zip->next_in = (void *)payload;
    zip->avail_in = size;
    zip->next_out = writer->packed->data;
    zip->avail_out = room;
    if (deflate(zip, Z_SYNC_FLUSH) != Z_OK || !zip->avail_out) {
        g_error("zlib can't pack %zu bytes into %zu", size, room);
    }
    g_byte_array_set_size(writer->packed,
                          room - zip->avail_out - sizeof(flush_end));
}

/* How much of the payload has to follow: all of it, or nothing. */
static gsize put_short(FtWireWriter *writer, const FtFrame *frame,
                       const void *payload, guint32 crc, GByteArray *out)
{
    /* zlib calls it an error to flush twice with nothing in between. */
    gboolean packed = frame->type == FT_FRAME_LOG && frame->length &&
        frame->length <= PACK_MAX;
    guint8 first = SHORT | frame->flags << FLAGS_SHIFT | frame->type;
    guint8 crc_bytes[4];
    gsize size = frame->length;

    if (packed) {
        pack(writer, payload, size);
        size = writer->packed->len;
        first |= PACKED;
    }
    g_byte_array_append(out, &first, 1);
    put_varint(out, size);
    put_varint(out, zigzag(frame->position - writer->context.position));
    if (ft_wire_tells_held(frame->type)) {
        put_varint(out, frame->held);
    }
    ft_put32(crc_bytes, crc);
    g_byte_array_append(out, crc_bytes, sizeof(crc_bytes));
    if (!packed) {
        return size;
    }
    g_byte_array_append(out, writer->packed->data, size);
    return 0;
}

/* The first of a type is long: rare ones are, and a reader sees them all. */
static gboolean may_be_short(const Context *context, const FtFrame *frame)
{
    return context->begun && context->sent & 1u << frame->type &&
        frame->session == context->session &&
        frame->generation == context->generation;
}

gsize ft_wire_writer_begin(FtWireWriter *writer, const FtFrame *frame,
                           const void *payload, GByteArray *out)
{
    guint8 header[FT_FRAME_HEADER_SIZE];
    gsize rest = frame->length;

    ft_wire_frame_out(frame, payload, header);
    if (may_be_short(&writer->context, frame)) {
        rest = put_short(writer, frame, payload, ft_wire_frame_crc(header),
                         out);
    } else {
        g_byte_array_append(out, header, sizeof(header));
    }
    context_advance(&writer->context, frame);
    return rest;
}

void ft_wire_writer_put(FtWireWriter *writer, const FtFrame *frame,
                        const void *payload, GByteArray *out)
{
    gsize rest = ft_wire_writer_begin(writer, frame, payload, out);

    g_byte_array_append(out, payload, rest);
}

/* --- reading ------------------------------------------------------------- */

FtWireReader *ft_wire_reader_new(void)
{
    FtWireReader *reader = g_new0(FtWireReader, 1);

    if (inflateInit2(&reader->zip, -PACK_WINDOW_BITS) != Z_OK) {
        g_error("no memory to unpack the log");
    }
    reader->unpacked = g_malloc(FT_FRAME_PAYLOAD_MAX);
    return reader;
}

void ft_wire_reader_free(FtWireReader *reader)
{
    if (reader) {
        inflateEnd(&reader->zip);
        g_free(reader->unpacked);
        g_free(reader);
    }
}

typedef struct In {
    const guint8 *at, *end;
    gboolean bad;               /* a number that is too long */
    gboolean is_short;          /* the bytes end too soon */
} In;

static guint64 get_varint(In *in)
{
    guint64 value = 0;

    for (guint n = 0; n < VARINT_MAX; n++) {
        if (in->at == in->end) {
            in->is_short = TRUE;
            return 0;
        }
        value |= (guint64)(*in->at & 0x7f) << (7 * n);
        if (!(*in->at++ & 0x80)) {
            return value;
        }
    }
    in->bad = TRUE;
    return 0;
}

static guint64 unzigzag(guint64 number)
{
    return (number >> 1) ^ -(number & 1);
}

/* False: it is no part of the stream, or longer than a frame. */
static gboolean unpack(FtWireReader *reader, const guint8 *bytes, gsize size,
                       guint32 *length)
{
    z_stream *zip = &reader->zip;
    int ret;

    zip->next_in = (void *)bytes;
    zip->avail_in = size;
    zip->next_out = reader->unpacked;
    zip->avail_out = FT_FRAME_PAYLOAD_MAX;
    ret = inflate(zip, Z_SYNC_FLUSH);
    if ((ret != Z_OK && ret != Z_BUF_ERROR) || zip->avail_in) {
        return FALSE;
    }
    zip->next_in = (void *)flush_end;
    zip->avail_in = sizeof(flush_end);
    ret = inflate(zip, Z_SYNC_FLUSH);
    if ((ret != Z_OK && ret != Z_BUF_ERROR) || zip->avail_in) {
        return FALSE;
    }
    *length = FT_FRAME_PAYLOAD_MAX - zip->avail_out;
    return TRUE;
}

/* Header fields from the bytes; what they leave out, from the context. */
static gboolean header_in(const Context *context, In *in, FtFrame *frame,
                          guint64 *size)
{
    guint8 first = *in->at++;

    *frame = (FtFrame) {
        .type = first & TYPE_MASK,
        .flags = first >> FLAGS_SHIFT & FLAGS_MASK,
        .session = context->session,
        .generation = context->generation,
    };
    *size = get_varint(in);
    frame->position = context->position + unzigzag(get_varint(in));
    if (ft_wire_tells_held(frame->type)) {
        guint64 held = get_varint(in);

        in->bad |= held > G_MAXUINT32;
        frame->held = held;
    }
    if (in->end - in->at < 4) {
        in->is_short = TRUE;
    } else {
        frame->crc = ft_get32(in->at);
        in->at += 4;
    }
    return !in->is_short && !in->bad;
}

static gssize short_next(FtWireReader *reader, const guint8 *bytes, gsize size,
                         FtFrame *frame, const guint8 **payload,
                         const char **why)
{
    In in = { .at = bytes, .end = bytes + size };
    guint64 wire_size;

    if (!header_in(&reader->context, &in, frame, &wire_size)) {
        if (!in.bad) {
            return 0;
        }
        *why = "short frame with a number that is none";
        return -1;
    }
    frame->length = MIN(wire_size, G_MAXUINT32);
    if (!ft_wire_frame_fits(frame, why)) {
        return -1;
    }
    if ((guint64)(in.end - in.at) < wire_size) {
        return 0;
    }
    *payload = in.at;
    if (bytes[0] & PACKED) {
        if (frame->type != FT_FRAME_LOG ||
            !unpack(reader, in.at, wire_size, &frame->length)) {
            *why = "frame that can't be unpacked";
            return -1;
        }
        *payload = reader->unpacked;
    }
    return in.at + wire_size - bytes;
}

static gssize long_next(const guint8 *bytes, gsize size, FtFrame *frame,
                        const guint8 **payload, const char **why)
{
    if (size < FT_FRAME_HEADER_SIZE) {
        return 0;
    }
    if (!ft_wire_frame_in(frame, bytes, why)) {
        return -1;
    }
    if (size - FT_FRAME_HEADER_SIZE < frame->length) {
        return 0;
    }
    *payload = bytes + FT_FRAME_HEADER_SIZE;
    return FT_FRAME_HEADER_SIZE + frame->length;
}

gssize ft_wire_reader_next(FtWireReader *reader, const guint8 *bytes,
                           gsize size, FtFrame *frame,
                           const guint8 **payload, const char **why)
{
    gssize n;

    if (!size) {
        return 0;
    }
    n = reader->context.begun && bytes[0] & SHORT
        ? short_next(reader, bytes, size, frame, payload, why)
        : long_next(bytes, size, frame, payload, why);
    if (n <= 0) {
        return n;
    }
    if (!ft_wire_frame_check(frame, *payload, why)) {
        return -1;
    }
    context_advance(&reader->context, frame);
    return n;
}
