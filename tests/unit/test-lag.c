/*
 * How far a backup is behind, and how much its primary rests for it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>

#include "lag.h"
#include "limits.h"

#define STEP_US 2000
#define SECOND (G_USEC_PER_SEC / STEP_US)

/* A pair whose guest computes: a byte of log is a microsecond of it. */
typedef struct Pair {
    FtLag lag;
    gint64 now_us;
    double appended, executed;
} Pair;

/* The worst lag while both run, the backup at so many thousandths. */
static guint64 run(Pair *pair, guint steps, guint speed_permille)
{
    guint64 worst = 0;

    while (steps--) {
        pair->now_us += STEP_US;
        pair->appended += STEP_US * (1000 - pair->lag.rest_permille) / 1000.0;
        pair->executed = MIN(pair->appended, pair->executed +
                             STEP_US * speed_permille / 1000.0);
        ft_lag_update(&pair->lag, pair->appended, pair->executed,
                      pair->now_us);
        worst = MAX(worst, pair->lag.lag_ms);
    }
    return worst;
}

static void test_none(void)
{
    Pair pair = { .now_us = 1 };

    g_assert_cmpuint(run(&pair, 3 * SECOND, 1000), <=, FT_LAG_WANTED_MS);
    g_assert_cmpuint(pair.lag.rest_permille, ==, 0);
    ft_lag_reset(&pair.lag);
}

/* As slow as the backup, soon, and without swinging. */
static void test_slower(void)
{
    static const guint speeds[] = { 980, 900, 700 };

    for (gsize i = 0; i < G_N_ELEMENTS(speeds); i++) {
        Pair pair = { .now_us = 1 };
        guint slower = 1000 - speeds[i];
        guint64 settled_ms = FT_LAG_WANTED_MS +
            slower / FT_LAG_REST_PERMILLE_PER_MS;

        g_assert_cmpuint(run(&pair, SECOND, speeds[i]), <, 150);
        g_assert_cmpuint(run(&pair, SECOND, speeds[i]), <=, settled_ms + 5);
        g_assert_cmpuint(pair.lag.rest_permille + 50, >=, slower);
        g_assert_cmpuint(pair.lag.rest_permille, <=, slower + 50);
        ft_lag_reset(&pair.lag);
    }
}

static void test_far_slower(void)
{
    Pair pair = { .now_us = 1 };

    g_assert_cmpuint(run(&pair, 10 * SECOND, 300), <, 250);
    ft_lag_reset(&pair.lag);
}

static void test_raised_again(void)
{
    Pair pair = { .now_us = 1 };

    run(&pair, 3 * SECOND, 600);
    g_assert_cmpuint(pair.lag.rest_permille, >, 300);
    run(&pair, 3 * SECOND, 1000);
    g_assert_cmpuint(pair.lag.rest_permille, ==, 0);
    ft_lag_reset(&pair.lag);
}

/* A backup that has stood still: the primary hardly does until it is back. */
static void test_stopped(void)
{
    Pair pair = { .now_us = 1 };

    run(&pair, SECOND, 1000);
    g_assert_cmpuint(run(&pair, SECOND / 4, 0), >=, 200);
    g_assert_cmpuint(pair.lag.rest_permille, ==, FT_LAG_REST_MAX_PERMILLE);
    run(&pair, 2 * SECOND, 1000);
    g_assert_cmpuint(pair.lag.lag_ms, <, 20);
    ft_lag_reset(&pair.lag);
}

/* An idle guest owes its backup nothing. */
static void test_idle(void)
{
    Pair pair = { .now_us = 1 };

    run(&pair, SECOND, 500);
    pair.executed = pair.appended;
    for (guint i = 0; i < 60; i++) {
        pair.now_us += 50 * 1000;
        ft_lag_update(&pair.lag, pair.appended, pair.executed, pair.now_us);
    }
    g_assert_cmpuint(pair.lag.lag_ms, ==, 0);
    g_assert_cmpuint(pair.lag.rest_permille, ==, 0);
    ft_lag_reset(&pair.lag);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lag/none", test_none);
    g_test_add_func("/lag/slower", test_slower);
    g_test_add_func("/lag/far-slower", test_far_slower);
    g_test_add_func("/lag/raised-again", test_raised_again);
    g_test_add_func("/lag/stopped", test_stopped);
    g_test_add_func("/lag/idle", test_idle);
    return g_test_run();
}
