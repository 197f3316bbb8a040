/*
 * The wire format: what goes out comes in, and nothing else does.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "limits.h"
#include "wire.h"

static const FtFrameType types[] = {
    FT_FRAME_HELLO, FT_FRAME_REFUSE, FT_FRAME_PAIRED, FT_FRAME_LOG,
    FT_FRAME_ACK, FT_FRAME_KEEPALIVE, FT_FRAME_FAILOVER, FT_FRAME_END,
    FT_FRAME_FAILED,
};

static const guint32 length_max[] = {
    FT_HELLO_MAX, FT_REASON_MAX, FT_REASON_MAX, FT_FRAME_PAYLOAD_MAX,
    FT_ACK_SIZE, 0, 0, FT_REASON_MAX, FT_REASON_MAX,
};

static void test_crc(void)
{
    const char *digits = "123456789";
    guint8 buf[100];

    g_assert_cmphex(ft_wire_crc32c(0, digits, 9), ==, 0xe3069283);
    memset(buf, 0, 32);
    g_assert_cmphex(ft_wire_crc32c(0, buf, 32), ==, 0x8a9136aa);
    memset(buf, 0xff, 32);
    g_assert_cmphex(ft_wire_crc32c(0, buf, 32), ==, 0x62a8ab43);
    for (guint i = 0; i < sizeof(buf); i++) {
        buf[i] = i * 7 + 3;
    }
    for (guint cut = 0; cut <= sizeof(buf); cut++) {
        guint32 crc = ft_wire_crc32c(0, buf, cut);

        g_assert_cmphex(ft_wire_crc32c(crc, buf + cut, sizeof(buf) - cut), ==,
                        ft_wire_crc32c(0, buf, sizeof(buf)));
    }
}

static FtFrame frame_make(FtFrameType type, guint32 length)
{
    return (FtFrame) {
        .type = type,
        .flags = type == FT_FRAME_LOG ? FT_FRAME_MORE : 0,
        .session = G_GUINT64_CONSTANT(0x1122334455667788),
        .generation = 42,
        .position = G_GUINT64_CONSTANT(0xfedcba9876543210),
        .held = type == FT_FRAME_LOG ? 0x01020304 : 0,
        .length = length,
    };
}

static void test_frame_round_trip(void)
{
    guint8 *payload = g_malloc(FT_FRAME_PAYLOAD_MAX);
    guint8 header[FT_FRAME_HEADER_SIZE];
    const char *why;

    for (guint i = 0; i < FT_FRAME_PAYLOAD_MAX; i++) {
        payload[i] = i * 31;
    }
    for (guint t = 0; t < G_N_ELEMENTS(types); t++) {
        FtFrame out = frame_make(types[t], length_max[t]);
        FtFrame in;

        ft_wire_frame_out(&out, payload, header);
        g_assert_true(ft_wire_frame_in(&in, header, &why));
        g_assert_true(ft_wire_frame_check(&in, payload, &why));
        g_assert_cmpint(in.type, ==, out.type);
        g_assert_cmphex(in.flags, ==, out.flags);
        g_assert_cmphex(in.session, ==, out.session);
        g_assert_cmpuint(in.generation, ==, out.generation);
        g_assert_cmphex(in.position, ==, out.position);
        g_assert_cmphex(in.held, ==, out.held);
        g_assert_cmpuint(in.length, ==, out.length);

        out.length++;
        ft_wire_frame_out(&out, payload, header);
        g_assert_false(ft_wire_frame_in(&in, header, &why));
        g_assert_cmpstr(why, ==, "frame longer than its type allows");
    }
    g_free(payload);
}

/* The bytes themselves: a change of them needs a new version. */
static void test_frame_bytes(void)
{
    static const guint8 expected[FT_FRAME_HEADER_SIZE - 4] = {
        'Q', 'F', 'T', '1', 1, 0, 4, 0, 1, 0, 0, 0, 3, 0, 0, 0,
        0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
        42, 0, 0, 0, 0, 0, 0, 0,
        0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe, 4, 3, 2, 1,
    };
    FtFrame frame = frame_make(FT_FRAME_LOG, 3);
    guint8 header[FT_FRAME_HEADER_SIZE];

    ft_wire_frame_out(&frame, "abc", header);
    g_assert_cmpmem(header, sizeof(expected), expected, sizeof(expected));
}

static void test_frame_corrupt(void)
{
    FtFrame out = frame_make(FT_FRAME_LOG, 64);
    guint8 good[FT_FRAME_HEADER_SIZE + 64], bad[sizeof(good)];
    guint8 *payload = good + FT_FRAME_HEADER_SIZE;
    const char *why;
    FtFrame in;

    for (guint i = 0; i < 64; i++) {
        payload[i] = i;
    }
    ft_wire_frame_out(&out, payload, good);
    for (guint i = 0; i < sizeof(good); i++) {
        for (guint bit = 0; bit < 8; bit++) {
            memcpy(bad, good, sizeof(good));
            bad[i] ^= 1 << bit;
            why = NULL;
            /* Of a longer one the rest would never come: no frame either. */
            g_assert_false(ft_wire_frame_in(&in, bad, &why) &&
                           in.length <= 64 &&
                           ft_wire_frame_check(&in,
                                               bad + FT_FRAME_HEADER_SIZE,
                                               &why));
        }
    }
}

static void type_refused(FtFrameType type, guint at, guint8 value,
                         const char *expected)
{
    FtFrame frame = frame_make(type, 0);
    guint8 header[FT_FRAME_HEADER_SIZE];
    const char *why = NULL;

    ft_wire_frame_out(&frame, NULL, header);
    header[at] = value;
    g_assert_false(ft_wire_frame_in(&frame, header, &why));
    g_assert_nonnull(strstr(why, expected));
}

static void frame_refused(guint at, guint8 value, const char *expected)
{
    type_refused(FT_FRAME_KEEPALIVE, at, value, expected);
}

static void test_frame_refused(void)
{
    frame_refused(0, 'X', "no frame");
    frame_refused(4, 2, "another protocol version");
    frame_refused(6, 0, "unknown type");
    frame_refused(6, 10, "unknown type");
    frame_refused(7, 1, "unknown type");
    frame_refused(8, 1, "unknown flags");
    frame_refused(11, 0x80, "unknown flags");
    frame_refused(12, 1, "longer than");
    type_refused(FT_FRAME_ACK, 40, 1, "held");
    type_refused(FT_FRAME_END, 43, 1, "held");
    type_refused(FT_FRAME_FAILED, 8, 2, "unknown flags");
}

static void test_heartbeat(void)
{
    FtHeartbeat out = { .session = 5, .generation = 6, .sequence = 7,
                        .position = 8, .bound_ms = 9, .patience_ms = 10,
                        .role = 2 };
    guint8 good[FT_HEARTBEAT_SIZE], bad[FT_HEARTBEAT_SIZE];
    const char *why;
    FtHeartbeat in;

    ft_wire_heartbeat_out(&out, good);
    g_assert_true(ft_wire_heartbeat_in(&in, good, sizeof(good), &why));
    g_assert_cmpuint(in.session, ==, 5);
    g_assert_cmpuint(in.generation, ==, 6);
    g_assert_cmpuint(in.sequence, ==, 7);
    g_assert_cmpuint(in.position, ==, 8);
    g_assert_cmpuint(in.bound_ms, ==, 9);
    g_assert_cmpuint(in.patience_ms, ==, 10);
    g_assert_cmpuint(in.role, ==, 2);
    for (guint size = 0; size < sizeof(good); size++) {
        g_assert_false(ft_wire_heartbeat_in(&in, good, size, &why));
    }
    for (guint i = 0; i < sizeof(good); i++) {
        memcpy(bad, good, sizeof(good));
        bad[i] ^= 0x10;
        g_assert_false(ft_wire_heartbeat_in(&in, bad, sizeof(bad), &why));
    }
    out.role = 3;
    ft_wire_heartbeat_out(&out, good);
    g_assert_false(ft_wire_heartbeat_in(&in, good, sizeof(good), &why));
    g_assert_cmpstr(why, ==, "heartbeat of an unknown role");
}

static void test_ack(void)
{
    FtAck out = { .executed = 123456789012345, .icount = 99 }, in;
    guint8 payload[FT_ACK_SIZE];

    ft_wire_ack_out(&out, payload);
    g_assert_true(ft_wire_ack_in(&in, payload, sizeof(payload)));
    g_assert_cmpuint(in.executed, ==, out.executed);
    g_assert_cmpuint(in.icount, ==, out.icount);
    g_assert_false(ft_wire_ack_in(&in, payload, sizeof(payload) - 1));
    g_assert_false(ft_wire_ack_in(&in, payload, 0));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/crc", test_crc);
    g_test_add_func("/wire/frame/round-trip", test_frame_round_trip);
    g_test_add_func("/wire/frame/bytes", test_frame_bytes);
    g_test_add_func("/wire/frame/corrupt", test_frame_corrupt);
    g_test_add_func("/wire/frame/refused", test_frame_refused);
    g_test_add_func("/wire/heartbeat", test_heartbeat);
    g_test_add_func("/wire/ack", test_ack);
    return g_test_run();
}
