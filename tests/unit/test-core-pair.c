/*
 * The core, event by event: a pair, what ends it, and commands.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core-fix.h"

/* Protected. */

static void test_log(void)
{
    Fix f = primary_protected();

    FEED(&f, "log:0-10", .type = FT_EVENT_APPENDED, .position = 10);
    FEED(&f, "log:10-30", .type = FT_EVENT_APPENDED, .position = 30);
    feed_ack(&f, 10, 5, "release:10");
    feed_ack(&f, 10, 7, "");
    feed_ack(&f, 30, 30, "release:30");
    feed_timer(&f, FT_TIMER_HEARTBEAT, "heartbeat keepalive:30");
    g_assert_cmpuint(f.heartbeat.position, ==, 30);
    fix_free(&f);

    f = backup_protected();
    feed_log(&f, 0, FT_FRAME_MORE, "store:0");
    FEED(&f, "", .type = FT_EVENT_IDLE);
    feed_log(&f, 10, 0, "store:10 commit:20");
    feed_log(&f, 20, FT_FRAME_MORE, "store:20");
    FEED(&f, "ack:20", .type = FT_EVENT_IDLE);
    FEED(&f, "", .type = FT_EVENT_IDLE);
    FEED(&f, "", .type = FT_EVENT_EXECUTED, .position = 12, .icount = 3);
    feed_timer(&f, FT_TIMER_HEARTBEAT, "heartbeat ack:20");
    g_assert_cmpuint(f.heartbeat.position, ==, 30);
    fix_free(&f);
}

static void ack_bad(guint64 position, guint64 executed)
{
    Fix f = primary_protected();

    FEED(&f, "log:0-10", .type = FT_EVENT_APPENDED, .position = 10);
    FEED(&f, "log:10-30", .type = FT_EVENT_APPENDED, .position = 30);
    feed_ack(&f, 10, 5, "release:10");
    feed_ack(&f, position, executed,
             "close claiming/peer-bad-frame step:1,p,b>2,p,");
    fix_free(&f);
}

static void test_ack_bad(void)
{
    ack_bad(31, 5);
    ack_bad(9, 5);
    ack_bad(20, 4);
    ack_bad(20, 21);
}

static void test_log_bad(void)
{
    Fix f = backup_protected();

    feed_log(&f, 0, 0, "store:0 commit:10");
    feed_log(&f, 20, 0, "failed:10 halted/peer-bad-frame close HALT");
    text_has(&f, "log at position 20, expected was 10");
    fix_free(&f);

    f = backup_protected();
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_LOG, .session = 56 }, "x", 1,
               "failed:0 halted/peer-bad-frame close HALT");
    fix_free(&f);

    f = backup_protected();
    FEED(&f, "failed:0 halted/peer-bad-frame close HALT", .type = FT_EVENT_BAD_FRAME,
         .text = "frame with a wrong checksum");
    text_has(&f, "wrong checksum");
    fix_free(&f);

    f = backup_protected();
    feed_log(&f, 0, FT_FRAME_MORE, "store:0");
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_END, .position = 10 }, NULL,
               0, "failed:10 halted/peer-bad-frame close HALT");
    fix_free(&f);
}

static void test_claim_primary(void)
{
    Fix f = primary_protected();
    guint64 nonce;

    FEED(&f, "log:0-10", .type = FT_EVENT_APPENDED, .position = 10);
    FEED(&f, "claiming/peer-closed step:1,p,b>2,p,", .type = FT_EVENT_CLOSED,
         .text = "connection reset");
    nonce = f.step_to.nonce;
    /* It executes on, and nothing leaves. */
    FEED(&f, "", .type = FT_EVENT_APPENDED, .position = 20);
    feed_unknown(&f, "claiming/lease-unreachable");
    feed_timer(&f, FT_TIMER_LEASE, "step:1,p,b>2,p,");
    g_assert_cmphex(nonce, ==, f.step_to.nonce);
    feed_won(&f, "alone/peer-closed empty release:all");
    text_has(&f, "connection reset; this machine, \"p\", won generation 2");
    fix_free(&f);

    f = primary_protected();
    FEED(&f, "claiming/peer-closed step:1,p,b>2,p,", .type = FT_EVENT_CLOSED);
    feed_lost(&f, "halted/lease-lost HALT");
    text_has(&f, "\"other\" won generation 2; this machine, \"p\"");
    FEED(&f, "", .type = FT_EVENT_APPENDED, .position = 20);
    fix_free(&f);
}

static void test_claim_backup(void)
{
    Fix f = backup_protected();

    feed_log(&f, 0, 0, "store:0 commit:10");
    feed_log(&f, 10, FT_FRAME_MORE, "store:10");
    FEED(&f, "claiming/peer-closed step:1,p,b>2,b,", .type = FT_EVENT_CLOSED);
    g_assert_cmpuint(f.step_from.nonce, ==, 88);
    feed_log(&f, 20, 0, "");
    feed_unknown(&f, "claiming/lease-unreachable");
    feed_timer(&f, FT_TIMER_LEASE, "step:1,p,b>2,b,");
    feed_won(&f, "draining/won drain:10");
    FEED(&f, "alone/drained empty release:all announce",
         .type = FT_EVENT_DRAINED);
    text_has(&f, "won generation 2");
    FEED(&f, "ended/vm-ended EXIT", .type = FT_EVENT_CMD_END);
    fix_free(&f);

    f = backup_protected();
    FEED(&f, "claiming/peer-closed step:1,p,b>2,b,", .type = FT_EVENT_CLOSED);
    feed_lost(&f, "halted/lease-lost HALT");
    fix_free(&f);
}

/* Ticks until the state is claiming; the other path may be kept alive. */
static guint ticks_until_claim(Fix *f, gboolean heartbeats, gboolean frames)
{
    FtRole role = f->core->config.role;

    for (guint n = 1; n < 1000; n++) {
        FtHeartbeat heartbeat = { .session = f->session, .sequence = n,
                                  .role = 3 - role };

        if (heartbeats) {
            FEED(f, "", .type = FT_EVENT_HEARTBEAT, .heartbeat = &heartbeat);
        }
        if (frames) {
            feed_frame(f, (FtFrame) { .type = FT_FRAME_KEEPALIVE }, NULL, 0,
                       "");
        }
        FtEvent tick = { .type = FT_EVENT_TIMER, .timer = FT_TIMER_SILENCE };
        guint count;

        ft_core_event(f->core, &tick, &count);
        if (f->core->state == FT_STATE_CLAIMING) {
            g_assert_cmpint(f->core->reason, ==, FT_REASON_PEER_SILENT);
            return n;
        }
    }
    return 0;
}

static guint silent_ms(FtRole role, gboolean heartbeats, gboolean frames)
{
    Fix f = role == FT_ROLE_PRIMARY ? primary_protected() : backup_protected();
    guint ticks = ticks_until_claim(&f, heartbeats, frames);

    fix_free(&f);
    return ticks * FT_SILENCE_TICK_MS;
}

static void silence(FtRole role, gboolean heartbeats, gboolean frames,
                    guint expected_ms)
{
    guint ms = silent_ms(role, heartbeats, frames);

    g_assert_cmpuint(ms, >=, expected_ms);
    g_assert_cmpuint(ms, <, expected_ms + FT_SILENCE_TICK_MS);
}

static void test_silence(void)
{
    silence(FT_ROLE_PRIMARY, FALSE, FALSE, FT_SILENCE_MAX_MS);
    silence(FT_ROLE_BACKUP, FALSE, FALSE,
            FT_SILENCE_BACKUP_MS(FT_SILENCE_MAX_MS));
    silence(FT_ROLE_PRIMARY, TRUE, FALSE, FT_CHANNEL_SILENCE_MS);
    silence(FT_ROLE_BACKUP, TRUE, FALSE, FT_CHANNEL_SILENCE_MS);
    g_assert_cmpuint(0, ==, silent_ms(FT_ROLE_BACKUP, FALSE, TRUE));
}

/* Heartbeats of another session, or one's own, are no sign of life. */
static void test_heartbeat_other(void)
{
    Fix f = backup_protected();
    FtHeartbeat other = { .session = 1, .role = 1 };
    FtHeartbeat own = { .session = f.session, .role = 2 };
    FtEvent tick = { .type = FT_EVENT_TIMER, .timer = FT_TIMER_SILENCE };
    guint count, n = 0;

    while (f.core->state == FT_STATE_PROTECTED && ++n < 1000) {
        FEED(&f, "", .type = FT_EVENT_HEARTBEAT, .heartbeat = &other);
        FEED(&f, "", .type = FT_EVENT_HEARTBEAT, .heartbeat = &own);
        ft_core_event(f.core, &tick, &count);
    }
    g_assert_cmpuint(n * FT_SILENCE_TICK_MS, >=,
                     FT_SILENCE_BACKUP_MS(FT_SILENCE_MAX_MS));
    g_assert_cmpuint(n, <, 1000);
    fix_free(&f);
}

/* Commands. */

static void test_failover(void)
{
    Fix f = primary_protected();
    const char *why;

    FEED(&f, "log:0-10", .type = FT_EVENT_APPENDED, .position = 10);
    g_assert_true(ft_core_can(f.core, FT_EVENT_CMD_FAILOVER, &why));
    FEED(&f, "failover:10", .type = FT_EVENT_CMD_FAILOVER);
    FEED(&f, "claiming/peer-closed step:1,p,b>2,p,", .type = FT_EVENT_CLOSED);
    g_assert_false(ft_core_can(f.core, FT_EVENT_CMD_FAILOVER, &why));
    feed_lost(&f, "halted/lease-lost HALT");
    fix_free(&f);

    f = backup_protected();
    feed_log(&f, 0, 0, "store:0 commit:10");
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_FAILOVER, .position = 10 },
               NULL, 0, "claiming/test-failover step:1,p,b>2,b,");
    feed_log(&f, 10, 0, "");
    FEED(&f, "", .type = FT_EVENT_IDLE);
    feed_timer(&f, FT_TIMER_HEARTBEAT, "heartbeat");
    feed_won(&f, "close draining/won drain:10");
    fix_free(&f);

    f = backup_protected();
    FEED(&f, "claiming/test-failover step:1,p,b>2,b,",
         .type = FT_EVENT_CMD_FAILOVER);
    feed_lost(&f, "halted/lease-lost close HALT");
    fix_free(&f);
}

static void test_stop(void)
{
    Fix f = primary_protected();

    FEED(&f, "log:0-10", .type = FT_EVENT_APPENDED, .position = 10);
    FEED(&f, "ending/unpaired step:1,p,b>2,p,", .type = FT_EVENT_CMD_STOP);
    FEED(&f, "log:10-20", .type = FT_EVENT_APPENDED, .position = 20);
    feed_ack(&f, 10, 0, "release:10");
    feed_won(&f, "end:20 close alone/unpaired empty release:all");
    fix_free(&f);

    /* The backup went away meanwhile: the same step, the same end. */
    f = primary_protected();
    FEED(&f, "ending/unpaired step:1,p,b>2,p,", .type = FT_EVENT_CMD_STOP);
    FEED(&f, "", .type = FT_EVENT_CLOSED);
    feed_won(&f, "alone/unpaired empty release:all");
    fix_free(&f);

    f = primary_protected();
    FEED(&f, "ending/unpaired step:1,p,b>2,p,", .type = FT_EVENT_CMD_STOP);
    feed_lost(&f, "halted/lease-lost close HALT");
    fix_free(&f);

    f = backup_protected();
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_END,
                               .flags = FT_FRAME_UNPAIRED }, NULL, 0,
               "ended/unpaired close EXIT");
    fix_free(&f);
}

static void test_end(void)
{
    Fix f = primary_protected();

    FEED(&f, "log:0-10", .type = FT_EVENT_APPENDED, .position = 10);
    FEED(&f, "log:10-15 ending/vm-ended end:15", .type = FT_EVENT_CMD_END,
         .position = 15);
    feed_ack(&f, 10, 0, "release:10");
    feed_ack(&f, 15, 0, "release:15 ended/vm-ended close EXIT");
    fix_free(&f);

    f = primary_protected();
    FEED(&f, "log:0-15 ending/vm-ended end:15", .type = FT_EVENT_CMD_END,
         .position = 15);
    FEED(&f, "claiming/peer-closed step:1,p,b>2,p,", .type = FT_EVENT_CLOSED);
    feed_won(&f, "empty release:all ended/vm-ended EXIT");
    fix_free(&f);

    f = primary_protected();
    FEED(&f, "log:0-15 ending/vm-ended end:15", .type = FT_EVENT_CMD_END,
         .position = 15);
    FEED(&f, "claiming/peer-closed step:1,p,b>2,p,", .type = FT_EVENT_CLOSED);
    feed_lost(&f, "halted/lease-lost HALT");
    fix_free(&f);

    f = backup_protected();
    feed_log(&f, 0, 0, "store:0 commit:10");
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_END, .position = 10 }, NULL,
               0, "ack:10 ending/vm-ended");
    FEED(&f, "", .type = FT_EVENT_CMD_END);     /* not before it is done */
    FEED(&f, "", .type = FT_EVENT_CLOSED);
    FEED(&f, "", .type = FT_EVENT_EXECUTED, .position = 9);
    FEED(&f, "ended/vm-ended EXIT", .type = FT_EVENT_EXECUTED,
         .position = 10);
    fix_free(&f);
}

static void test_fail(void)
{
    Fix f = primary_protected();

    FEED(&f, "halted/local-failure close HALT", .type = FT_EVENT_FAIL,
         .text = "disk error");
    text_has(&f, "disk error");
    FEED(&f, "", .type = FT_EVENT_CLOSED);
    feed_won(&f, "");
    fix_free(&f);
}

/* A backup that can't go on says why, and its primary keeps that in sight. */
static void test_backup_fails(void)
{
    const char *why = "it diverged\nat 30";
    FtCoreStatus status;
    Fix f = backup_protected();

    feed_log(&f, 0, 0, "store:0 commit:10");
    FEED(&f, "failed:10 halted/local-failure close HALT",
         .type = FT_EVENT_FAIL, .text = "it diverged");
    fix_free(&f);

    f = backup_pairing();
    FEED(&f, "failed:0 halted/local-failure close HALT",
         .type = FT_EVENT_FAIL);
    fix_free(&f);

    f = fix_make(FT_ROLE_BACKUP, FALSE);
    FEED(&f, "listening/started", .type = FT_EVENT_START);
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    FEED(&f, "halted/local-failure close HALT", .type = FT_EVENT_FAIL);
    fix_free(&f);

    f = primary_protected();
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_FAILED }, why, strlen(why),
               "close claiming/peer-failed step:1,p,b>2,p,");
    feed_unknown(&f, "claiming/lease-unreachable");
    ft_core_status(f.core, &status);
    g_assert_cmpint(status.cause, ==, FT_REASON_PEER_FAILED);
    feed_timer(&f, FT_TIMER_LEASE, "step:1,p,b>2,p,");
    feed_won(&f, "alone/peer-failed empty release:all");
    text_has(&f, "the backup stopped: it diverged at 30; this machine, \"p\"");
    fix_free(&f);

    f = primary_pairing();
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_FAILED }, NULL, 0,
               "close claiming/peer-failed");
    feed_won(&f, "step:1,p,b>2,p,");
    feed_won(&f, "connecting/peer-failed");
    fix_free(&f);

    f = primary_protected();
    FEED(&f, "log:0-15 ending/vm-ended end:15", .type = FT_EVENT_CMD_END,
         .position = 15);
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_FAILED }, NULL, 0,
               "close claiming/peer-failed step:1,p,b>2,p,");
    feed_won(&f, "empty release:all ended/vm-ended EXIT");
    fix_free(&f);
}

/* A backup that stopped reading does not blame the channel. */
static void test_backlog(void)
{
    Fix f = backup_protected();

    f.core->received = f.core->committed = FT_RING_MAX / 2;
    g_assert_cmpuint(ticks_until_claim(&f, TRUE, FALSE), ==, 0);
    f.core->executed = 1;
    g_assert_cmpuint(ticks_until_claim(&f, TRUE, FALSE), ==, 1);
    fix_free(&f);
}

/* An answer with another claim's nonce is asked for again. */
static void test_other_answer(void)
{
    Fix f = primary_protected();
    FtLeaseRecord other;

    FEED(&f, "claiming/peer-closed step:1,p,b>2,p,", .type = FT_EVENT_CLOSED);
    other = f.step_to;
    other.nonce++;
    FEED(&f, "claiming/lease-unreachable", .type = FT_EVENT_LEASE,
         .result = FT_LEASE_WON, .record = &other);
    feed_timer(&f, FT_TIMER_LEASE, "step:1,p,b>2,p,");
    feed_won(&f, "alone/peer-closed empty release:all");
    /* The log goes nowhere; it may begin anew. */
    FEED(&f, "", .type = FT_EVENT_APPENDED, .position = 5);
    FEED(&f, "", .type = FT_EVENT_APPENDED, .position = 0);
    fix_free(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/protected/log", test_log);
    g_test_add_func("/core/protected/ack-bad", test_ack_bad);
    g_test_add_func("/core/protected/log-bad", test_log_bad);
    g_test_add_func("/core/claim/primary", test_claim_primary);
    g_test_add_func("/core/claim/backup", test_claim_backup);
    g_test_add_func("/core/silence", test_silence);
    g_test_add_func("/core/silence/other", test_heartbeat_other);
    g_test_add_func("/core/failover", test_failover);
    g_test_add_func("/core/stop", test_stop);
    g_test_add_func("/core/end", test_end);
    g_test_add_func("/core/fail", test_fail);
    g_test_add_func("/core/fail/backup", test_backup_fails);
    g_test_add_func("/core/silence/backlog", test_backlog);
    g_test_add_func("/core/claim/other-answer", test_other_answer);
    return g_test_run();
}
