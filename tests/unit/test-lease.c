/*
 * The lease record's bytes and the choice of a backend.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "lease.h"
#include "wire.h"

static FtLeaseRecord record_make(void)
{
    FtLeaseRecord rec = {
        .generation = 7,
        .owner = "left",
        .partner = "right",
        .disks = FT_LEASE_DISKS_OWN,
        .nonce = G_GUINT64_CONSTANT(0xdeadbeefcafef00d),
    };

    for (guint i = 0; i < sizeof(rec.vm_uuid); i++) {
        rec.vm_uuid[i] = i + 1;
    }
    return rec;
}

static void test_round_trip(void)
{
    FtLeaseRecord out = record_make(), in;
    guint8 sector[FT_LEASE_RECORD_SIZE];
    const char *why;

    ft_lease_record_out(&out, sector);
    g_assert_true(ft_lease_record_in(&in, sector, &why));
    g_assert_true(ft_lease_record_equal(&out, &in));

    out.partner[0] = 0;
    memset(out.owner, 'x', FT_NODE_MAX - 1);
    ft_lease_record_out(&out, sector);
    g_assert_true(ft_lease_record_in(&in, sector, &why));
    g_assert_true(ft_lease_record_equal(&out, &in));
}

static void test_corrupt(void)
{
    FtLeaseRecord out = record_make(), in;
    guint8 sector[FT_LEASE_RECORD_SIZE];
    const char *why;

    ft_lease_record_out(&out, sector);
    for (guint i = 0; i < sizeof(sector); i++) {
        why = NULL;
        sector[i] ^= 0x40;
        g_assert_false(ft_lease_record_in(&in, sector, &why));
        g_assert_nonnull(why);
        sector[i] ^= 0x40;
    }
    memset(sector, 0, sizeof(sector));
    g_assert_false(ft_lease_record_in(&in, sector, &why));
    g_assert_cmpstr(why, ==, "it is no lease record");
}

/* A right checksum is not enough. */
static void refused(guint at, guint8 value, const char *expected)
{
    FtLeaseRecord rec = record_make();
    guint8 sector[FT_LEASE_RECORD_SIZE];
    const char *why = NULL;
    guint32 crc;

    ft_lease_record_out(&rec, sector);
    sector[at] = value;
    crc = GUINT32_TO_LE(ft_wire_crc32c(0, sector, sizeof(sector) - 4));
    memcpy(sector + sizeof(sector) - 4, &crc, 4);
    g_assert_false(ft_lease_record_in(&rec, sector, &why));
    g_assert_nonnull(strstr(why, expected));
}

static void test_refused(void)
{
    refused(4, 2, "another version");
    refused(24, 0, "impossible");                       /* generation 0 */
    refused(40, 3, "impossible");                       /* disks */
    refused(64, 0, "impossible");                       /* no owner */
    refused(64 + FT_NODE_MAX - 1, 'x', "impossible");   /* no end */
    refused(64 + 2 * FT_NODE_MAX - 1, 'x', "impossible");
}

static void test_equal(void)
{
    FtLeaseRecord a = record_make(), b = a;

    b.nonce++;
    g_assert_false(ft_lease_record_equal(&a, &b));
    b = a;
    b.partner[0] = 0;
    g_assert_false(ft_lease_record_equal(&a, &b));
    b = a;
    b.owner[0] = 'L';
    g_assert_false(ft_lease_record_equal(&a, &b));
    b = a;
    b.generation++;
    g_assert_false(ft_lease_record_equal(&a, &b));
    a.generation = b.generation = 0;
    b.nonce++;
    g_assert_true(ft_lease_record_equal(&a, &b));
}

static void test_uri(void)
{
    char *why = NULL;
    FtLease *lease;

    g_assert_null(ft_lease_open("ftp://x", NULL, &why));
    g_assert_nonnull(strstr(why, "dir:PATH"));
    g_free(why);
    g_assert_null(ft_lease_open("dir:", NULL, &why));
    g_assert_nonnull(strstr(why, "dir:PATH"));
    g_free(why);
    lease = ft_lease_open("dir:/nowhere/at/all", NULL, &why);
    g_assert_nonnull(lease);
    g_assert_cmpstr(lease->uri, ==, "dir:/nowhere/at/all");
    ft_lease_close(lease);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lease/round-trip", test_round_trip);
    g_test_add_func("/lease/corrupt", test_corrupt);
    g_test_add_func("/lease/refused", test_refused);
    g_test_add_func("/lease/equal", test_equal);
    g_test_add_func("/lease/uri", test_uri);
    return g_test_run();
}
