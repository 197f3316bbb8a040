/*
 * The lease directory: one winner of every step, whatever happens.
 *
 * The race tests fork claimers that all want each step, some of which are
 * killed at any moment; whoever takes a killed one's place asks again with
 * its nonce, as a core does whose answer is unknown.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lease.h"

/*
 * The calls at which a claim is decided, to stop or to break one there.  The
 * names take the place of the C library's.
 */
static void (*before_claim)(void *opaque);  /* is written, but it looked */
static void *before_claim_opaque;
static int link_error;              /* of the next link, which is done */
static int fsync_error;             /* of the next fsync of a directory */

int unlinkat(int fd, const char *name, int flags)
{
    void (*hook)(void *opaque) = before_claim;

    before_claim = NULL;
    if (hook) {
        hook(before_claim_opaque);
    }
    return syscall(SYS_unlinkat, fd, name, flags);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    int err = link_error;

    link_error = 0;
    if (syscall(SYS_linkat, from_fd, from, to_fd, to, flags)) {
        return -1;
    }
    errno = err;
    return err ? -1 : 0;
}

int fsync(int fd)
{
    struct stat st;

    if (fsync_error && !fstat(fd, &st) && S_ISDIR(st.st_mode)) {
        errno = fsync_error;
        fsync_error = 0;
        return -1;
    }
    return syscall(SYS_fsync, fd);
}

typedef struct Place {
    char *path;
    FtLease *lease;
} Place;

static Place place_make(void)
{
    Place place = { .path = g_dir_make_tmp("ft-lease-XXXXXX", NULL) };
    char *uri = g_strdup_printf("dir:%s", place.path);
    char *why = NULL;

    place.lease = ft_lease_open(uri, NULL, &why);
    g_assert_nonnull(place.lease);
    g_free(uri);
    return place;
}

/* Removes it; returns how many files there were. */
static guint place_remove(Place *place)
{
    GDir *dir = g_dir_open(place->path, 0, NULL);
    const char *name;
    guint n = 0;

    while (dir && (name = g_dir_read_name(dir))) {
        char *file = g_build_filename(place->path, name, NULL);

        g_unlink(file);
        g_free(file);
        n++;
    }
    if (dir) {
        g_dir_close(dir);
    }
    g_rmdir(place->path);
    ft_lease_close(place->lease);
    g_free(place->path);
    return n;
}

static FtLeaseRecord next_of(const FtLeaseRecord *from, const char *owner,
                             guint64 nonce)
{
    FtLeaseRecord to = *from;

    to.generation++;
    to.disks = FT_LEASE_DISKS_OWN;
    g_strlcpy(to.owner, owner, FT_NODE_MAX);
    to.nonce = nonce;
    return to;
}

static FtLeaseResult step(Place *place, const FtLeaseRecord *from,
                          const FtLeaseRecord *to, FtLeaseRecord *now)
{
    char *why = NULL;
    FtLeaseResult result = ft_lease_step(place->lease, from, to, now, &why);

    g_assert_true((result == FT_LEASE_UNKNOWN) == (why != NULL));
    g_free(why);
    return result;
}

static void test_steps(void)
{
    Place place = place_make();
    FtLeaseRecord empty = { 0 }, a, b, c, now;
    char *why = NULL;

    g_assert_true(ft_lease_read(place.lease, &now, &why));
    g_assert_cmpuint(now.generation, ==, 0);

    a = next_of(&empty, "a", 1);
    b = next_of(&empty, "b", 2);
    g_assert_cmpint(step(&place, &empty, &a, &now), ==, FT_LEASE_WON);
    g_assert_true(ft_lease_record_equal(&now, &a));
    g_assert_cmpint(step(&place, &empty, &b, &now), ==, FT_LEASE_LOST);
    g_assert_true(ft_lease_record_equal(&now, &a));
    /* The same claim again: won once, said twice. */
    g_assert_cmpint(step(&place, &empty, &a, &now), ==, FT_LEASE_WON);

    /* Pairing changes the record, not the generation. */
    b = a;
    g_strlcpy(b.partner, "b", FT_NODE_MAX);
    b.nonce = 3;
    g_assert_cmpint(step(&place, &a, &b, &now), ==, FT_LEASE_WON);
    /* Same generation and owner, another nonce: not what it was. */
    a.nonce = 99;
    c = next_of(&a, "a", 4);
    g_assert_cmpint(step(&place, &a, &c, &now), ==, FT_LEASE_LOST);
    g_assert_true(ft_lease_read(place.lease, &now, &why));
    g_assert_true(ft_lease_record_equal(&now, &b));
    /* Landed, then somebody stepped on: it is lost now. */
    a = next_of(&b, "b", 5);
    g_assert_cmpint(step(&place, &b, &a, &now), ==, FT_LEASE_WON);
    c = next_of(&a, "c", 6);
    g_assert_cmpint(step(&place, &a, &c, &now), ==, FT_LEASE_WON);
    g_assert_cmpint(step(&place, &b, &a, &now), ==, FT_LEASE_LOST);
    g_assert_cmpstr(now.owner, ==, "c");
    place_remove(&place);
}

static void test_prune(void)
{
    Place place = place_make();
    FtLeaseRecord now = { 0 }, to, from = now;
    char *path, *why = NULL;

    path = g_build_filename(place.path, "claim.0000000000000bad", NULL);
    g_assert_true(g_file_set_contents(path, "half", 4, NULL));
    for (guint i = 1; i <= 100; i++) {
        to = next_of(&from, "a", i);
        g_assert_cmpint(step(&place, &from, &to, &now), ==, FT_LEASE_WON);
        from = now;
    }
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_free(path);
    /* One that slept since record 3: its number 4 is free again. */
    from.generation = 3;
    from.nonce = 3;
    to = next_of(&from, "b", 1234);
    path = g_build_filename(place.path, "record.0000000004", NULL);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_cmpint(step(&place, &from, &to, &now), ==, FT_LEASE_LOST);
    /* And even with such a stale record there, the newest counts. */
    g_assert_true(g_file_set_contents(path, "stale", 5, NULL));
    g_assert_true(ft_lease_read(place.lease, &now, &why));
    g_assert_cmpuint(now.generation, ==, 100);
    g_free(path);
    g_assert_cmpuint(place_remove(&place), <=, 20);
}

static void unknown_with(Place *place, const char *expected)
{
    FtLeaseRecord empty = { 0 }, to = next_of(&empty, "a", 1), now;
    char *why = NULL;

    g_assert_cmpint(ft_lease_step(place->lease, &empty, &to, &now, &why), ==,
                    FT_LEASE_UNKNOWN);
    g_assert_nonnull(strstr(why, expected));
    g_clear_pointer(&why, g_free);
    g_assert_false(ft_lease_read(place->lease, &now, &why));
    g_assert_nonnull(strstr(why, expected));
    g_free(why);
}

static void test_unknown(void)
{
    Place place = place_make();
    char *other = g_strdup_printf("%s.away", place.path);
    char *path = g_build_filename(place.path, "record.0000000001", NULL);
    FtLeaseRecord empty = { 0 }, to = next_of(&empty, "a", 1), now;

    g_assert_cmpint(g_rename(place.path, other), ==, 0);
    unknown_with(&place, "create or mount it");
    g_assert_cmpint(g_rename(other, place.path), ==, 0);

    g_assert_true(g_file_set_contents(path, "short", 5, NULL));
    unknown_with(&place, "record.0000000001 is damaged");
    g_unlink(path);
    g_assert_cmpint(step(&place, &empty, &to, &now), ==, FT_LEASE_WON);
    g_free(path);
    g_free(other);
    place_remove(&place);
}

static void steps_by_another(void *opaque)
{
    Place *place = opaque;
    FtLeaseRecord from, to, now;
    char *why = NULL;

    for (guint i = 0; i < 40; i++) {
        g_assert_true(ft_lease_read(place->lease, &from, &why));
        to = next_of(&from, "another", 1000 + i);
        g_assert_cmpint(step(place, &from, &to, &now), ==, FT_LEASE_WON);
    }
}

/* A claimer that has looked sleeps until the number it saw is free again. */
static void test_sleeper(void)
{
    Place place = place_make();
    FtLeaseRecord empty = { 0 }, a, b, now;

    a = next_of(&empty, "a", 1);
    g_assert_cmpint(step(&place, &empty, &a, &now), ==, FT_LEASE_WON);
    b = next_of(&a, "b", 2);
    before_claim = steps_by_another;
    before_claim_opaque = &place;
    g_assert_cmpint(step(&place, &a, &b, &now), ==, FT_LEASE_LOST);
    g_assert_cmpstr(now.owner, ==, "another");
    g_assert_cmpuint(now.generation, ==, 41);
    place_remove(&place);
}

/* Errors after which nobody knows; the same claim again tells. */
static void test_errors(void)
{
    Place place = place_make();
    FtLeaseRecord empty = { 0 }, a, b, now;

    a = next_of(&empty, "a", 1);
    link_error = EIO;
    g_assert_cmpint(step(&place, &empty, &a, &now), ==, FT_LEASE_UNKNOWN);
    g_assert_cmpint(step(&place, &empty, &a, &now), ==, FT_LEASE_WON);

    b = next_of(&a, "b", 2);
    fsync_error = EIO;
    g_assert_cmpint(step(&place, &a, &b, &now), ==, FT_LEASE_UNKNOWN);
    g_assert_cmpint(step(&place, &a, &b, &now), ==, FT_LEASE_WON);
    g_assert_cmpint(place_remove(&place), ==, 2);
}

/* Races. */

enum { CLAIMERS = 3, STEPS_MAX = 2000 };

typedef struct Shared {
    atomic_uint winners[STEPS_MAX + 1]; /* by generation: a bit a claimer */
    atomic_uint done[CLAIMERS];         /* generation it has a result of */
    atomic_uint unknown;
} Shared;

static void claimer_wait(Shared *shared, guint generation)
{
    /* Nobody starts on a generation before all know who won the last one:
     * then each generation has to have exactly one who was told so. */
    for (guint i = 0; i < CLAIMERS; i++) {
        while (atomic_load(&shared->done[i]) + 1 < generation) {
            g_usleep(50);
        }
    }
}

static void claimer_run(Place *place, Shared *shared, guint me, guint steps)
{
    char name[8];

    g_snprintf(name, sizeof(name), "n%u", me);
    for (guint g = atomic_load(&shared->done[me]) + 1; g <= steps; g++) {
        guint64 nonce = (guint64)g * CLAIMERS + me + 1;
        FtLeaseRecord from = { 0 }, to, now;
        FtLeaseResult result;

        claimer_wait(shared, g);
        if (g > 1) {
            guint winner = g_bit_nth_lsf(atomic_load(&shared->winners[g - 1]),
                                         -1);

            from.generation = g - 1;
            from.disks = FT_LEASE_DISKS_OWN;
            g_snprintf(from.owner, FT_NODE_MAX, "n%u", winner);
            from.nonce = (guint64)(g - 1) * CLAIMERS + winner + 1;
        }
        to = next_of(&from, name, nonce);
        while ((result = step(place, &from, &to, &now)) == FT_LEASE_UNKNOWN) {
            atomic_fetch_add(&shared->unknown, 1);
        }
        if (result == FT_LEASE_WON) {
            atomic_fetch_or(&shared->winners[g], 1u << me);
        }
        atomic_store(&shared->done[me], g);
    }
    _exit(0);
}

static pid_t claimer_start(Place *place, Shared *shared, guint me, guint steps)
{
    pid_t pid = fork();

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        claimer_run(place, shared, me, steps);
    }
    return pid;
}

static void race(guint steps, gboolean kill_them)
{
    Place place = place_make();
    Shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[CLAIMERS];
    guint left = CLAIMERS, kills = 0;
    FtLeaseRecord now;
    char *why = NULL;

    g_assert_true(shared != MAP_FAILED);
    for (guint i = 0; i < CLAIMERS; i++) {
        pids[i] = claimer_start(&place, shared, i, steps);
    }
    while (left) {
        guint victim = g_test_rand_int_range(0, CLAIMERS);
        int status;

        if (kill_them && pids[victim]) {
            g_usleep(g_test_rand_int_range(0, 4000));
            kill(pids[victim], SIGKILL);
        }
        for (guint i = 0; i < CLAIMERS; i++) {
            if (!pids[i] ||
                waitpid(pids[i], &status, kill_them ? WNOHANG : 0) <= 0) {
                continue;
            }
            if (WIFSIGNALED(status)) {
                g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
                kills++;
                pids[i] = claimer_start(&place, shared, i, steps);
            } else {
                g_assert_cmpint(WEXITSTATUS(status), ==, 0);
                pids[i] = 0;
                left--;
            }
        }
    }
    for (guint g = 1; g <= steps; g++) {
        guint winners = atomic_load(&shared->winners[g]);

        g_assert_true(winners && !(winners & (winners - 1)));
    }
    g_assert_true(ft_lease_read(place.lease, &now, &why));
    g_assert_cmpuint(now.generation, ==, steps);
    g_test_message("%u generations, %u claimers, %u kills, %u unknown: "
                   "one winner each", steps, CLAIMERS, kills,
                   atomic_load(&shared->unknown));
    g_assert_true(!kill_them || kills > 0);
    munmap(shared, sizeof(*shared));
    place_remove(&place);
}

static void test_race(void)
{
    race(1200, FALSE);
}

static void test_race_kill(void)
{
    race(1000, TRUE);
}

/*
 * Claimers that wait for nobody and are stopped now and then, for longer
 * than records are kept: nobody wins twice, nobody sees the past.
 */
static void sleeper_run(Place *place, Shared *shared, guint me, guint steps)
{
    guint64 seen = 0, nonce = me + 1;
    FtLeaseRecord from, to, now;
    char name[8], *why = NULL;

    g_snprintf(name, sizeof(name), "n%u", me);
    while (seen < steps) {
        if (!ft_lease_read(place->lease, &from, &why)) {
            g_clear_pointer(&why, g_free);
            continue;
        }
        g_assert_cmpuint(from.generation, >=, seen);
        seen = from.generation;
        to = next_of(&from, name, nonce += CLAIMERS);
        if (seen < steps &&
            step(place, &from, &to, &now) == FT_LEASE_WON) {
            guint others = atomic_fetch_or(&shared->winners[to.generation],
                                           1u << me);

            g_assert_cmpuint(others, ==, 0);
            seen = to.generation;
        }
    }
    _exit(0);
}

static void test_race_stop(void)
{
    const guint steps = 2000;
    Place place = place_make();
    Shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[CLAIMERS];
    guint told = 0, stops = 0;
    int status;

    g_assert_true(shared != MAP_FAILED);
    for (guint i = 0; i < CLAIMERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            sleeper_run(&place, shared, i, steps);
        }
    }
    while (waitpid(pids[0], &status, WNOHANG) == 0) {
        guint victim = g_test_rand_int_range(1, CLAIMERS);

        kill(pids[victim], SIGSTOP);
        g_usleep(g_test_rand_int_range(0, 30000));
        kill(pids[victim], SIGCONT);
        g_usleep(g_test_rand_int_range(0, 2000));
        stops++;
    }
    g_assert_cmpint(status, ==, 0);
    for (guint i = 1; i < CLAIMERS; i++) {
        g_assert_cmpint(waitpid(pids[i], &status, 0), ==, pids[i]);
        g_assert_cmpint(status, ==, 0);
    }
    for (guint g = 1; g <= steps; g++) {
        told += atomic_load(&shared->winners[g]) != 0;
    }
    g_test_message("%u generations, %u stops: no double winner; %u winners "
                   "were outrun before they knew", steps, stops, steps - told);
    munmap(shared, sizeof(*shared));
    place_remove(&place);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lease-dir/steps", test_steps);
    g_test_add_func("/lease-dir/prune", test_prune);
    g_test_add_func("/lease-dir/unknown", test_unknown);
    g_test_add_func("/lease-dir/sleeper", test_sleeper);
    g_test_add_func("/lease-dir/errors", test_errors);
    g_test_add_func("/lease-dir/race", test_race);
    g_test_add_func("/lease-dir/race-kill", test_race_kill);
    g_test_add_func("/lease-dir/race-stop", test_race_stop);
    return g_test_run();
}
