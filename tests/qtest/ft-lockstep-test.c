/*
 * Two machines of a pair are the same machine, instruction by instruction.
 *
 * Each test boots one of roms/ as a pair while every host CPU is kept busy,
 * so that the two are scheduled differently, and has both digest their CPU
 * and memory at the same log position, several times.
 *
 * FT_ROMS names the directory of the images.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/thread.h"
#include "qobject/qdict.h"
#include "libqtest.h"

#define DIGESTS 4
#define BETWEEN_US (500 * 1000)
#define WAIT_S 60
#define DISK_SIZE (8 * 1024 * 1024)

typedef struct Pair {
    char *directory;
    QTestState *primary, *backup;
} Pair;

typedef struct HostLoad {
    GThread *threads[8];
    guint count;
    gint stop;
} HostLoad;

static gpointer spin(gpointer opaque)
{
    HostLoad *load = opaque;

    while (!g_atomic_int_get(&load->stop)) {
        /* keep a host CPU busy */
    }
    return NULL;
}

static void load_start(HostLoad *load)
{
    load->count = MIN(g_get_num_processors(), G_N_ELEMENTS(load->threads));
    for (guint i = 0; i < load->count; i++) {
        load->threads[i] = g_thread_new("load", spin, load);
    }
}

static void load_stop(HostLoad *load)
{
    g_atomic_int_set(&load->stop, 1);
    for (guint i = 0; i < load->count; i++) {
        g_thread_join(load->threads[i]);
    }
}

static int free_port(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    g_assert_cmpint(bind(fd, (struct sockaddr *)&addr, len), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&addr, &len), ==, 0);
    close(fd);
    return ntohs(addr.sin_port);
}

static char *disk_option(const char *directory, char side, bool disk)
{
    g_autofree char *path = g_strdup_printf("%s/%c.raw", directory, side);
    int fd;

    if (!disk) {
        return g_strdup("");
    }
    fd = open(path, O_CREAT | O_RDWR | O_EXCL, 0600);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, DISK_SIZE), ==, 0);
    close(fd);
    return g_strdup_printf("-drive if=none,id=d0,format=raw,file=%s "
                           "-device virtio-blk-pci,drive=d0", path);
}

static QTestState *start_side(Pair *pair, const char *rom, char side,
                              bool disk, const char *ft)
{
    g_autofree char *drive = disk_option(pair->directory, side, disk);

    return qtest_initf("-accel tcg -M pc -m 16 -net none -bios %s/%s.rom "
                       "-serial file:%s/%c.serial %s "
                       "-ft %s,lease=dir:%s/lease,node=%c",
                       g_getenv("FT_ROMS"), rom, pair->directory, side, drive,
                       ft, pair->directory, side);
}

static QDict *query_ft(QTestState *qts)
{
    return qtest_qmp_assert_success_ref(qts, "{ 'execute': 'query-ft' }");
}

static void wait_state(QTestState *qts, const char *state)
{
    gint64 end = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC;

    for (;;) {
        QDict *info = query_ft(qts);
        bool there = g_str_equal(qdict_get_str(info, "state"), state);

        if (!there && g_get_monotonic_time() > end) {
            g_error("state is %s (%s), not %s", qdict_get_str(info, "state"),
                    qdict_get_str(info, "text"), state);
        }
        qobject_unref(info);
        if (there) {
            return;
        }
        g_usleep(10 * 1000);
    }
}

static void pair_start(Pair *pair, const char *rom, bool disk)
{
    int port = free_port();
    g_autofree char *backup = g_strdup_printf("backup,listen=127.0.0.1:%d",
                                              port);
    g_autofree char *primary = g_strdup_printf(
        "primary,peer=127.0.0.1:%d,new=on", port);
    g_autofree char *lease = NULL;

    pair->directory = g_dir_make_tmp("ft-lockstep-XXXXXX", NULL);
    lease = g_strdup_printf("%s/lease", pair->directory);
    g_assert_cmpint(g_mkdir(lease, 0700), ==, 0);
    pair->backup = start_side(pair, rom, 'b', disk, backup);
    pair->primary = start_side(pair, rom, 'a', disk, primary);
    wait_state(pair->primary, "protected");
    wait_state(pair->backup, "protected");
}

static void pair_end(Pair *pair)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s'",
                                               pair->directory);

    qtest_quit(pair->primary);
    qtest_quit(pair->backup);
    g_assert_cmpint(system(command), ==, 0);
    g_free(pair->directory);
}

static void assert_same(QDict *a, QDict *b, const char *key)
{
    g_assert_cmpstr(qdict_get_str(a, key), ==, qdict_get_str(b, key));
}

/* Returns the instruction count at which the two were compared. */
static uint64_t digest_both(Pair *pair)
{
    QDict *mine = qtest_qmp_assert_success_ref(
        pair->primary, "{ 'execute': 'x-ft-digest' }");
    QDict *event = qtest_qmp_eventwait_ref(pair->backup, "FT_DIGEST");
    QDict *data = qdict_get_qdict(event, "data");
    QDict *theirs = qdict_get_qdict(data, "digest");
    uint64_t icount = qdict_get_int(mine, "icount");

    assert_same(mine, theirs, "cpu");
    assert_same(mine, theirs, "ram");
    g_assert_cmpuint(qdict_get_int(theirs, "icount"), ==, icount);
    g_assert_true(qdict_get_bool(data, "equal"));
    qobject_unref(mine);
    qobject_unref(event);
    return icount;
}

static void lockstep(const char *rom, bool disk)
{
    HostLoad load = { 0 };
    uint64_t icount, last = 0;
    Pair pair;

    pair_start(&pair, rom, disk);
    load_start(&load);
    for (int i = 0; i < DIGESTS; i++) {
        g_usleep(BETWEEN_US);
        icount = digest_both(&pair);
        g_assert_cmpuint(icount, >, last);
        last = icount;
    }
    load_stop(&load);
    pair_end(&pair);
}

static void test_lockstep(const void *rom)
{
    lockstep(rom, g_str_equal(rom, "disk"));
}

/* A machine that was changed behind the log's back is found, and stops. */
static void test_divergence(void)
{
    Pair pair;
    QDict *event;

    pair_start(&pair, "counter-halt", false);
    qtest_writeb(pair.backup, 0x200000, 0xa5);
    event = qtest_qmp_assert_success_ref(pair.primary,
                                         "{ 'execute': 'x-ft-digest' }");
    qobject_unref(event);
    event = qtest_qmp_eventwait_ref(pair.backup, "FT_DIGEST");
    g_assert_false(qdict_get_bool(qdict_get_qdict(event, "data"), "equal"));
    qobject_unref(event);
    wait_state(pair.primary, "alone");
    qtest_set_expected_status(pair.backup, 3);
    qtest_wait_qemu(pair.backup);
    pair_end(&pair);
}

int main(int argc, char **argv)
{
    static const char *const roms[] = {
        "counter", "counter-halt", "time", "disk",
    };

    g_test_init(&argc, &argv, NULL);
    if (!g_getenv("FT_ROMS")) {
        g_printerr("FT_ROMS has to name the directory of roms/*.rom\n");
        return 1;
    }
    for (guint i = 0; i < G_N_ELEMENTS(roms); i++) {
        g_autofree char *path = g_strdup_printf("/ft/lockstep/%s", roms[i]);

        qtest_add_data_func(path, roms[i], test_lockstep);
    }
    qtest_add_func("/ft/divergence", test_divergence);
    return g_test_run();
}
