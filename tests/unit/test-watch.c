/*
 * The watch over progress: what it takes for a livelock, and what does not.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>

#include "limits.h"
#include "watch.h"

enum { DISK_TICKS = FT_STUCK_DISK_MS / FT_WATCH_TICK_MS,
       MAIN_TICKS = FT_MAIN_HANG_MS / FT_WATCH_TICK_MS };

static FtWatchInput waiting(void)
{
    FtWatchInput in = { .follows = TRUE, .log_waits = TRUE, .executed = 1000,
                        .icount = 77, .vcpu_rounds = 1, .main_rounds = 1 };

    return in;
}

static void turn(FtWatchInput *in)
{
    in->vcpu_rounds++;
    in->main_rounds++;
}

/* Ticks while both threads turn, until it is not good; -1: never. */
static int ticks_until(FtWatch *w, FtWatchInput *in, FtWatchResult *result)
{
    for (int n = 1; n <= 10 * DISK_TICKS; n++) {
        turn(in);
        *result = ft_watch_tick(w, in);
        if (*result != FT_WATCH_GOOD) {
            return n;
        }
    }
    return -1;
}

static void test_livelock(void)
{
    FtWatch w = { 0 };
    FtWatchInput in = waiting();
    FtWatchResult result;
    int ticks = ticks_until(&w, &in, &result);

    g_assert_cmpint(result, ==, FT_WATCH_LIVELOCK);
    g_assert_cmpint(ticks * FT_WATCH_TICK_MS, <=, 1000);
    g_assert_cmpint(ticks, >=, FT_STUCK_ROUNDS);
    /* Said once, then counted anew. */
    turn(&in);
    g_assert_cmpint(ft_watch_tick(&w, &in), ==, FT_WATCH_GOOD);
}

/* The vCPU of a paused machine stands, and so does a log that needs it. */
static void test_paused(void)
{
    FtWatch w = { 0 };
    FtWatchInput in = waiting();
    FtWatchResult result = FT_WATCH_GOOD;
    int ticks;

    in.paused = TRUE;
    for (ticks = 0; ticks < DISK_TICKS && result == FT_WATCH_GOOD; ticks++) {
        in.main_rounds++;
        result = ft_watch_tick(&w, &in);
    }
    g_assert_cmpint(result, ==, FT_WATCH_LIVELOCK);
    g_assert_cmpint(ticks * FT_WATCH_TICK_MS, <=, 1000);
}

static void test_steps(void)
{
    FtWatch w = { 0 };
    FtWatchInput in = waiting();

    for (int n = 0; n < 1000; n++) {
        turn(&in);
        if (n % (FT_STUCK_ROUNDS - 1) == 0) {
            n % 2 ? in.icount++ : in.executed++;
        }
        g_assert_cmpint(ft_watch_tick(&w, &in), ==, FT_WATCH_GOOD);
    }
}

/* Nothing to execute, or nothing is followed: no step is due. */
static void test_idle(void)
{
    FtWatch w = { 0 };
    FtWatchInput in = waiting();
    FtWatchResult result;

    in.log_waits = FALSE;
    g_assert_cmpint(ticks_until(&w, &in, &result), ==, -1);
    in.log_waits = TRUE;
    in.follows = FALSE;
    g_assert_cmpint(ticks_until(&w, &in, &result), ==, -1);
}

/* A host that does not let one of the threads run proves nothing. */
static void test_slow_host(void)
{
    FtWatch w = { 0 };
    FtWatchInput in = waiting();

    for (int n = 0; n < 10 * MAIN_TICKS; n++) {
        in.main_rounds++;
        g_assert_cmpint(ft_watch_tick(&w, &in), ==, FT_WATCH_GOOD);
    }
    for (int n = 0; n < MAIN_TICKS - 1; n++) {
        in.vcpu_rounds++;
        g_assert_cmpint(ft_watch_tick(&w, &in), ==, FT_WATCH_GOOD);
    }
}

/* Few rounds in many ticks count as few. */
static void test_rounds_count(void)
{
    FtWatch w = { 0 };
    FtWatchInput in = waiting();
    int rounds = 0, ticks = 0;

    g_assert_cmpint(ft_watch_tick(&w, &in), ==, FT_WATCH_GOOD);
    while (ticks++ < 1000) {
        if (ticks % 20 == 0) {
            turn(&in);
            rounds++;
        }
        if (ft_watch_tick(&w, &in) == FT_WATCH_LIVELOCK) {
            break;
        }
    }
    g_assert_cmpint(rounds, ==, FT_STUCK_ROUNDS);
}

static void test_disk(void)
{
    FtWatch w = { 0 };
    FtWatchInput in = waiting();
    FtWatchResult result;
    int ticks;

    in.disk_busy = TRUE;
    ticks = ticks_until(&w, &in, &result);
    g_assert_cmpint(result, ==, FT_WATCH_DISK);
    g_assert_cmpint(ticks, >=, DISK_TICKS);
}

static void test_main_hangs(void)
{
    FtWatch w = { 0 };
    FtWatchInput in = waiting();
    int ticks = 1;

    in.follows = FALSE;         /* a primary, too */
    ft_watch_tick(&w, &in);
    while (ft_watch_tick(&w, &in) == FT_WATCH_GOOD) {
        in.vcpu_rounds++;
        ticks++;
    }
    g_assert_cmpint(ticks, ==, MAIN_TICKS);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/watch/livelock", test_livelock);
    g_test_add_func("/watch/paused", test_paused);
    g_test_add_func("/watch/steps", test_steps);
    g_test_add_func("/watch/idle", test_idle);
    g_test_add_func("/watch/slow-host", test_slow_host);
    g_test_add_func("/watch/rounds-count", test_rounds_count);
    g_test_add_func("/watch/disk", test_disk);
    g_test_add_func("/watch/main-hangs", test_main_hangs);
    return g_test_run();
}
