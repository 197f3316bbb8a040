/*
 * Fuzzes the bytes of the log channel: short frames and packed log.
 *
 * The input is a list of steps: a frame that the writer makes, or bytes that
 * it never made.  The reader gets all of it in pieces.  Up to the first wrong
 * byte what comes out is what went in; after it, anything but a frame longer
 * than any, or one with another checksum.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>

#include "fuzz.h"
#include "ft/limits.h"
#include "ft/wire-stream.h"

#define PAYLOAD_MAX 5000

static void put(FtWireWriter *writer, Input *in, GByteArray *out)
{
    static const FtFrameType types[] = {
        FT_FRAME_LOG, FT_FRAME_LOG, FT_FRAME_ACK, FT_FRAME_KEEPALIVE,
        FT_FRAME_END
    };
    guint8 kind = input_byte(in), payload[PAYLOAD_MAX] = { 0 }, held;
    FtFrame frame = {
        .type = types[kind % G_N_ELEMENTS(types)],
        .session = kind >= 250 ? kind : 1,
        .generation = 1,
        .position = input_number(in, kind & 16 ? 8 : 2),
    };
    const uint8_t *bytes;
    size_t size;

    if (frame.type == FT_FRAME_LOG) {
        frame.flags = kind & 32 ? FT_FRAME_MORE : 0;
        held = input_byte(in);      /* once: MIN is a macro */
        frame.held = MIN(frame.position, held);
        frame.length = input_number(in, 2) % PAYLOAD_MAX;
    } else if (frame.type == FT_FRAME_ACK) {
        frame.length = FT_ACK_SIZE;
    }
    size = input_byte(in);
    bytes = input_bytes(in, MIN(frame.length, size), &size);
    memcpy(payload, bytes, size);
    ft_wire_writer_put(writer, &frame, payload, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size };
    FtWireWriter *writer = ft_wire_writer_new();
    FtWireReader *reader = ft_wire_reader_new();
    GByteArray *wire = g_byte_array_new();
    gsize at = 0, have = 0, good = G_MAXSIZE;
    gsize piece = input_byte(&in) + 1;
    gssize n;

    while (in.size) {
        if (input_byte(&in) & 7) {
            put(writer, &in, wire);
        } else {
            size_t wrong;
            const uint8_t *bytes = input_bytes(&in, input_byte(&in), &wrong);

            if (wrong) {
                good = MIN(good, wire->len);
            }
            g_byte_array_append(wire, bytes, wrong);
        }
    }
    g_byte_array_append(wire, (const guint8 *)"", 1);   /* nothing whole */
    do {
        const guint8 *payload;
        const char *why = NULL;
        FtFrame frame;

        n = ft_wire_reader_next(reader, wire->data + at, have - at, &frame,
                                &payload, &why);
        MUST(n >= 0 || why);
        if (n > 0) {
            at += n;
            MUST(at <= have && frame.length <= FT_FRAME_PAYLOAD_MAX);
            MUST(ft_wire_frame_fits(&frame, &why));
            MUST(ft_wire_frame_check(&frame, payload, &why));
        } else if (n == 0 && have < wire->len) {
            have = MIN(have + piece, wire->len);
            n = 1;
        }
    } while (n > 0);
    /* What the writer made is all read. */
    MUST(at >= MIN(good, wire->len - 1));
    g_byte_array_unref(wire);
    ft_wire_reader_free(reader);
    ft_wire_writer_free(writer);
    return 0;
}
