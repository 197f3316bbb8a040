/*
 * When a silent peer is suspected, from what was measured.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core-fix.h"

enum {
    TICK = FT_SILENCE_TICK_MS,
    WINDOW = FT_JITTER_SLOTS * FT_JITTER_SLOT_MS,
};

/* For so long, a sign of the peer after each gap. */
static void hear(FtSilence *s, guint gap_ms, guint for_ms)
{
    for (guint at = 0; at < for_ms; at += gap_ms) {
        for (guint ms = 0; ms < gap_ms; ms += TICK) {
            ft_silence_tick(s);
        }
        ft_silence_heard_frame(s);
    }
}

static void say(FtSilence *s, guint bound_ms, guint patience_ms)
{
    FtHeartbeat heartbeat = { .bound_ms = bound_ms,
                              .patience_ms = patience_ms };

    ft_silence_heard_heartbeat(s, &heartbeat);
}

/* While little was measured, nobody is suspected soon. */
static void test_begin(void)
{
    FtSilence s;

    ft_silence_begin(&s);
    g_assert_cmpuint(ft_silence_bound_ms(&s, FALSE), ==, FT_SILENCE_MAX_MS);
    hear(&s, 2 * TICK, FT_SILENCE_LEARN_MS);
    g_assert_cmpuint(ft_silence_bound_ms(&s, FALSE), ==, FT_SILENCE_MAX_MS);
    hear(&s, 2 * TICK, FT_SILENCE_LEARN_MS);
    g_assert_cmpuint(ft_silence_bound_ms(&s, FALSE), ==,
                     FT_SILENCE_MAX_MS / 2);
    hear(&s, 2 * TICK, 2 * FT_SILENCE_LEARN_MS);
    g_assert_cmpuint(ft_silence_bound_ms(&s, FALSE), ==,
                     FT_SILENCE_MAX_MS / 4);
    hear(&s, 2 * TICK, WINDOW);
    g_assert_cmpuint(ft_silence_bound_ms(&s, FALSE), ==, FT_SILENCE_MIN_MS);
    g_assert_cmpuint(ft_silence_jitter_ms(&s), ==, 2 * TICK);
}

/* One long silence is remembered for a window, and then forgotten. */
static void test_longest(void)
{
    guint gap = FT_SILENCE_MIN_MS / FT_JITTER_FACTOR / TICK * TICK + 2 * TICK;
    FtSilence s;

    ft_silence_begin(&s);
    hear(&s, TICK, WINDOW);
    g_assert_cmpuint(ft_silence_bound_ms(&s, FALSE), ==, FT_SILENCE_MIN_MS);
    hear(&s, gap, gap);
    g_assert_cmpuint(ft_silence_jitter_ms(&s), ==, gap);
    g_assert_cmpuint(ft_silence_bound_ms(&s, FALSE), ==,
                     FT_JITTER_FACTOR * gap);
    hear(&s, TICK, WINDOW - 2 * FT_JITTER_SLOT_MS);
    g_assert_cmpuint(ft_silence_jitter_ms(&s), ==, gap);
    hear(&s, TICK, 3 * FT_JITTER_SLOT_MS);
    g_assert_cmpuint(ft_silence_jitter_ms(&s), ==, TICK);
    g_assert_cmpuint(ft_silence_bound_ms(&s, FALSE), ==, FT_SILENCE_MIN_MS);
}

/* However bad it is, a dead peer is found. */
static void test_most(void)
{
    FtSilence s;

    ft_silence_begin(&s);
    hear(&s, FT_SILENCE_MAX_MS - TICK, 2 * WINDOW);
    g_assert_cmpuint(ft_silence_bound_ms(&s, FALSE), ==, FT_SILENCE_MAX_MS);
    g_assert_cmpuint(ft_silence_bound_ms(&s, TRUE), ==,
                     FT_SILENCE_BACKUP_MS(FT_SILENCE_MAX_MS));
}

/* The silence that goes on is no measure of itself. */
static void test_going_on(void)
{
    FtSilence s;

    ft_silence_begin(&s);
    hear(&s, TICK, WINDOW);
    for (guint ms = 0; ms < FT_SILENCE_MIN_MS; ms += TICK) {
        g_assert_cmpuint(s.ms, <, ft_silence_bound_ms(&s, FALSE));
        ft_silence_tick(&s);
    }
    g_assert_cmpuint(s.ms, >=, ft_silence_bound_ms(&s, FALSE));
}

/* A backup waits for longer than its primary would, as that one says. */
static void test_backup(void)
{
    FtSilence s;

    ft_silence_begin(&s);
    hear(&s, TICK, WINDOW);
    say(&s, FT_SILENCE_MIN_MS + 100, 0);
    g_assert_cmpuint(ft_silence_bound_ms(&s, FALSE), ==, FT_SILENCE_MIN_MS);
    g_assert_cmpuint(ft_silence_bound_ms(&s, TRUE), ==,
                     FT_SILENCE_BACKUP_MS(FT_SILENCE_MIN_MS + 100));
    say(&s, G_MAXUINT32, 0);
    g_assert_cmpuint(ft_silence_bound_ms(&s, TRUE), ==,
                     FT_SILENCE_BACKUP_MS(FT_SILENCE_MAX_MS));
    say(&s, 0, 0);
    g_assert_cmpuint(ft_silence_bound_ms(&s, TRUE), ==,
                     FT_SILENCE_BACKUP_MS(FT_SILENCE_MIN_MS));
}

/* A peer whose host may make it late says so. */
static void test_patience(void)
{
    FtSilence s;

    ft_silence_begin(&s);
    hear(&s, TICK, WINDOW);
    say(&s, 0, FT_SILENCE_MIN_MS + 100);
    g_assert_cmpuint(ft_silence_bound_ms(&s, FALSE), ==,
                     FT_SILENCE_MIN_MS + 100);
    say(&s, 0, G_MAXUINT32);
    g_assert_cmpuint(ft_silence_bound_ms(&s, FALSE), ==, FT_SILENCE_MAX_MS);
}

/* Each path has a count of its own. */
static void test_paths(void)
{
    FtSilence s;

    ft_silence_begin(&s);
    ft_silence_tick(&s);
    say(&s, 0, 0);
    ft_silence_tick(&s);
    g_assert_cmpuint(s.ms, ==, TICK);
    g_assert_cmpuint(s.channel_ms, ==, 2 * TICK);
    g_assert_cmpuint(s.heartbeat_ms, ==, TICK);
    ft_silence_heard_frame(&s);
    g_assert_cmpuint(s.ms, ==, 0);
    g_assert_cmpuint(s.channel_ms, ==, 0);
    g_assert_cmpuint(s.heartbeat_ms, ==, TICK);
}

/* The core: a protected pair, a calm window, then nothing. */
static void core_suspects(Fix f, FtFrame frame, guint expected_ms)
{
    FtEvent tick = { .type = FT_EVENT_TIMER, .timer = FT_TIMER_SILENCE };
    FtCoreStatus status;
    guint count, ms = 0;

    for (guint n = 0; n < WINDOW / TICK; n++) {
        FtHeartbeat heartbeat = { .session = f.session,
                                  .role = 3 - f.core->role,
                                  .bound_ms = FT_SILENCE_MIN_MS };

        ft_core_event(f.core, &tick, &count);
        FEED(&f, "", .type = FT_EVENT_HEARTBEAT, .heartbeat = &heartbeat);
        if (n % 50 == 0) {
            feed_frame(&f, frame, NULL, 0, "");
        }
    }
    ft_core_status(f.core, &status);
    g_assert_cmpuint(status.jitter_ms, ==, TICK);
    g_assert_cmpuint(status.suspect_ms, ==, expected_ms);
    while (f.core->state == FT_STATE_PROTECTED && ms < 10000) {
        ft_core_event(f.core, &tick, &count);
        ms += TICK;
    }
    g_assert_cmpint(f.core->reason, ==, FT_REASON_PEER_SILENT);
    g_assert_cmpuint(ms, >=, expected_ms);
    g_assert_cmpuint(ms, <, expected_ms + TICK);
    ft_core_status(f.core, &status);
    g_assert_cmpuint(status.suspect_ms, ==, 0);
    fix_free(&f);
}

static void test_core(void)
{
    core_suspects(backup_protected(),
                  (FtFrame) { .type = FT_FRAME_KEEPALIVE },
                  FT_SILENCE_BACKUP_MS(FT_SILENCE_MIN_MS));
}

/* What it says to its peer is what it goes by. */
static void test_told(void)
{
    Fix f = primary_protected();

    feed_timer(&f, FT_TIMER_HEARTBEAT, "heartbeat keepalive:0");
    g_assert_cmpuint(f.heartbeat.bound_ms, ==, FT_SILENCE_MAX_MS);
    g_assert_cmpuint(f.heartbeat.patience_ms, ==, FT_SILENCE_MIN_MS);
    ft_core_set_late(f.core);
    feed_timer(&f, FT_TIMER_HEARTBEAT, "heartbeat");
    g_assert_cmpuint(f.heartbeat.patience_ms, ==, FT_SILENCE_MAX_MS);
    fix_free(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/silence/begin", test_begin);
    g_test_add_func("/silence/longest", test_longest);
    g_test_add_func("/silence/most", test_most);
    g_test_add_func("/silence/going-on", test_going_on);
    g_test_add_func("/silence/backup", test_backup);
    g_test_add_func("/silence/patience", test_patience);
    g_test_add_func("/silence/paths", test_paths);
    g_test_add_func("/silence/core", test_core);
    g_test_add_func("/silence/told", test_told);
    return g_test_run();
}
