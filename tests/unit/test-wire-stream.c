/*
 * The frames of a connection, short and packed, and back.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>
#include <zlib.h>

#include "bytes.h"
#include "limits.h"
#include "wire-stream.h"

#define FRAMES 400
#define SHORT_LOG_PACKED (0x80 | 0x40 | FT_FRAME_LOG)

typedef struct Sent {
    FtFrame frame;
    guint8 *payload;
    gsize begins, ends;         /* in the connection's bytes */
} Sent;

typedef struct Connection {
    FtWireWriter *writer;
    GByteArray *bytes;
    GArray *sent;               /* Sent */
} Connection;

static void connection_init(Connection *c)
{
    c->writer = ft_wire_writer_new();
    c->bytes = g_byte_array_new();
    c->sent = g_array_new(FALSE, FALSE, sizeof(Sent));
}

static void connection_clear(Connection *c)
{
    for (guint i = 0; i < c->sent->len; i++) {
        g_free(g_array_index(c->sent, Sent, i).payload);
    }
    g_array_unref(c->sent);
    g_byte_array_unref(c->bytes);
    ft_wire_writer_free(c->writer);
}

/* Returns how many bytes it took. */
static gsize put(Connection *c, FtFrame frame, const void *payload)
{
    Sent sent = {
        .frame = frame,
        .payload = g_memdup2(payload, frame.length),
        .begins = c->bytes->len,
    };

    ft_wire_writer_put(c->writer, &frame, payload, c->bytes);
    sent.ends = c->bytes->len;
    g_array_append_val(c->sent, sent);
    return sent.ends - sent.begins;
}

static gboolean same(const FtFrame *frame, const guint8 *payload,
                     const Sent *sent)
{
    const FtFrame *f = &sent->frame;

    return frame->type == f->type && frame->flags == f->flags &&
        frame->session == f->session && frame->generation == f->generation &&
        frame->position == f->position && frame->held == f->held &&
        frame->length == f->length &&
        !memcmp(payload, sent->payload, f->length);
}

/* What a guest's log looks like: a few codes, counts, and a clock. */
static guint32 make_log(GRand *rand, guint8 *log, guint32 size)
{
    for (guint32 i = 0; i < size; i++) {
        log[i] = g_rand_int_range(rand, 0, 4) ? i % 9 : g_rand_int(rand);
    }
    return size;
}

static FtFrame any_frame(GRand *rand, guint64 *position, guint8 *payload)
{
    static const guint32 sizes[] = { 1, 40, 300, 4096, 4097, 20000 };
    FtFrame frame = { .session = 0x1234567890abcdef, .generation = 7 };

    switch (g_rand_int_range(rand, 0, 8)) {
    case 0:
        frame.type = FT_FRAME_KEEPALIVE;
        frame.held = g_rand_int_range(rand, 0, 1000);
        break;
    case 1:
        frame.type = FT_FRAME_ACK;
        frame.length = make_log(rand, payload, FT_ACK_SIZE);
        break;
    case 2:
        frame.type = FT_FRAME_END;
        frame.flags = FT_FRAME_UNPAIRED;
        frame.length = make_log(rand, payload, 20);
        break;
    case 3:
        frame.session++;        /* another session: the long form */
        G_GNUC_FALLTHROUGH;
    default:
        frame.type = FT_FRAME_LOG;
        frame.flags = g_rand_boolean(rand) ? FT_FRAME_MORE : 0;
        frame.held = g_rand_int_range(rand, 0, 1000);
        frame.length = make_log(rand, payload, g_rand_int_range(rand, 1,
            1 + sizes[g_rand_int_range(rand, 0, G_N_ELEMENTS(sizes))]));
    }
    *position += g_rand_int_range(rand, 0, 3000);
    frame.position = 1000 + *position;
    return frame;
}

static void fill(Connection *c, GRand *rand, guint frames)
{
    guint8 payload[32768];
    guint64 position = 0;

    for (guint i = 0; i < frames; i++) {
        FtFrame frame = any_frame(rand, &position, payload);

        put(c, frame, payload);
    }
}

/* Read in pieces of any size, all comes out as it went in. */
static void test_round_trip(void)
{
    guint32 seed = g_test_rand_int();
    GRand *rand = g_rand_new_with_seed(seed);
    FtWireReader *reader = ft_wire_reader_new();
    gsize at = 0, have = 0;
    guint n_frames = 0;
    Connection c;

    g_test_message("seed %u", seed);
    connection_init(&c);
    fill(&c, rand, FRAMES);
    while (n_frames < FRAMES) {
        const guint8 *payload;
        const char *why = NULL;
        FtFrame frame;
        /* Behind what is there are other bytes: it must not look at them. */
        guint8 *piece = g_memdup2(c.bytes->data + at, have - at);
        gssize n = ft_wire_reader_next(reader, piece, have - at, &frame,
                                       &payload, &why);

        g_assert_cmpstr(why, ==, NULL);
        g_assert_cmpint(n, >=, 0);
        if (n) {
            const Sent *sent = &g_array_index(c.sent, Sent, n_frames++);

            g_assert_true(same(&frame, payload, sent));
            at += n;
            g_assert_cmpuint(at, ==, sent->ends);
        } else {
            g_assert_cmpuint(have, <, c.bytes->len);
            have = MIN(have + g_rand_int_range(rand, 1, 500), c.bytes->len);
        }
        g_free(piece);
    }
    connection_clear(&c);
    ft_wire_reader_free(reader);
    g_rand_free(rand);
}

static void test_sizes(void)
{
    FtFrame log = { .type = FT_FRAME_LOG, .session = G_MAXUINT64,
                    .generation = 1, .position = 1 << 20, .length = 60 };
    FtFrame ack = { .type = FT_FRAME_ACK, .session = G_MAXUINT64,
                    .generation = 1, .position = 1 << 20,
                    .length = FT_ACK_SIZE };
    guint8 payload[60] = { 29, 0, 0, 1, 2, 3, 4, 5, 6, 31 };
    Connection c;

    connection_init(&c);
    g_assert_cmpuint(put(&c, log, payload), ==, FT_FRAME_HEADER_SIZE + 60);
    log.position += 60;
    put(&c, log, payload);
    log.position += 60;
    /* The same again: a header of eight bytes and a reference. */
    g_assert_cmpuint(put(&c, log, payload), <=, 16);
    put(&c, ack, payload);
    ack.position += 60;
    g_assert_cmpuint(put(&c, ack, payload), <=, 8 + FT_ACK_SIZE);
    connection_clear(&c);
}

/* A changed bit is found, or has no meaning: nothing else comes out. */
static void test_damage(void)
{
    guint32 seed = g_test_rand_int();
    GRand *rand = g_rand_new_with_seed(seed);
    Connection c;

    g_test_message("seed %u", seed);
    connection_init(&c);
    fill(&c, rand, 30);
    for (guint i = 0; i < 3000; i++) {
        FtWireReader *reader = ft_wire_reader_new();
        gsize at = 0, where = g_rand_int_range(rand, 0, c.bytes->len);
        guint8 bit = 1 << g_rand_int_range(rand, 0, 8);
        guint n_frames = 0;
        const guint8 *payload;
        const char *why;
        FtFrame frame;
        gssize n;

        c.bytes->data[where] ^= bit;
        while ((n = ft_wire_reader_next(reader, c.bytes->data + at,
                                        c.bytes->len - at, &frame, &payload,
                                        &why)) > 0) {
            const Sent *sent = &g_array_index(c.sent, Sent, n_frames++);

            g_assert_true(same(&frame, payload, sent));
            at += n;
        }
        c.bytes->data[where] ^= bit;
        ft_wire_reader_free(reader);
    }
    connection_clear(&c);
    g_rand_free(rand);
}

/* A few bytes that unpack to more than any frame holds. */
static void test_bomb(void)
{
    guint8 *zeros = g_malloc0(4 * FT_FRAME_PAYLOAD_MAX);
    FtFrame frame = { .type = FT_FRAME_LOG, .session = 5, .generation = 1,
                      .length = 1 };
    FtWireReader *reader = ft_wire_reader_new();
    guint8 packed[8192] = { 0 };
    const char *why = NULL;
    const guint8 *payload;
    guint8 first = SHORT_LOG_PACKED;
    guint8 size[2], rest[6] = { 0 };
    z_stream zip = { .next_in = zeros, .avail_in = 4 * FT_FRAME_PAYLOAD_MAX,
                     .next_out = packed, .avail_out = sizeof(packed) };
    Connection c;
    gssize n;

    connection_init(&c);
    put(&c, frame, zeros);
    n = ft_wire_reader_next(reader, c.bytes->data, c.bytes->len, &frame,
                            &payload, &why);
    g_assert_cmpint(n, ==, c.bytes->len);
    g_assert_cmpint(deflateInit2(&zip, 9, Z_DEFLATED, -12, 9, 0), ==, Z_OK);
    g_assert_cmpint(deflate(&zip, Z_SYNC_FLUSH), ==, Z_OK);
    g_byte_array_set_size(c.bytes, 0);
    g_byte_array_append(c.bytes, &first, 1);
    size[0] = zip.total_out | 0x80;
    size[1] = zip.total_out >> 7;
    g_byte_array_append(c.bytes, size, sizeof(size));
    g_byte_array_append(c.bytes, rest, sizeof(rest));
    g_byte_array_append(c.bytes, packed, zip.total_out);
    n = ft_wire_reader_next(reader, c.bytes->data, c.bytes->len, &frame,
                            &payload, &why);
    g_assert_cmpint(n, <, 0);
    g_assert_cmpstr(why, ==, "frame that can't be unpacked");
    deflateEnd(&zip);
    connection_clear(&c);
    ft_wire_reader_free(reader);
    g_free(zeros);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire-stream/round-trip", test_round_trip);
    g_test_add_func("/wire-stream/sizes", test_sizes);
    g_test_add_func("/wire-stream/damage", test_damage);
    g_test_add_func("/wire-stream/bomb", test_bomb);
    return g_test_run();
}
