/*
 * The core, event by event: a running VM gets a backup.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core-fix.h"

#define ID G_GUINT64_CONSTANT(7)
/* A primary whose guest runs alone, of generation 1. */
static Fix primary_alone(void)
{
    Fix f = fix_make(FT_ROLE_PRIMARY, TRUE);

    FEED(&f, "acquiring/started read", .type = FT_EVENT_START);
    feed_read(&f, 0, "", "", "step:0,,>1,p,");
    feed_won(&f, "connecting/won connect");
    FEED(&f, "connecting/won", .type = FT_EVENT_CONNECT_FAILED);
    return f;
}

static Fix primary_calls(void)
{
    Fix f = primary_alone();

    FEED(&f, "alone/unpaired begin start empty release:all",
         .type = FT_EVENT_CMD_STOP);
    FEED(&f, "", .type = FT_EVENT_APPENDED, .position = 1000);
    FEED(&f, "connecting/protect connect", .type = FT_EVENT_CMD_PROTECT,
         .state_id = ID);
    return f;
}

static Fix primary_handshake(void)
{
    Fix f = primary_calls();

    FEED(&f, "", .type = FT_EVENT_APPENDED, .position = 50);
    FEED(&f, "handshake/peer-connected hello:0", .type = FT_EVENT_CONNECTED);
    return f;
}

static Fix primary_syncing(void)
{
    Fix f = primary_handshake();

    feed_hello(&f, "node=b\n" HELLO_STATE,
               "syncing/peer-connected log:0-50");
    return f;
}

static Fix primary_held(void)
{
    Fix f = primary_syncing();

    feed_ack(&f, 50, 50, "hold:50");
    return f;
}

static Fix primary_pairs(void)
{
    Fix f = primary_held();

    feed_held(&f, 40, "pairing/peer-connected step:1,p,>1,p,b");
    return f;
}

static void test_way(void)
{
    Fix f = primary_handshake();

    /* The log goes on while the two compare themselves. */
    FEED(&f, "", .type = FT_EVENT_APPENDED, .position = 60);
    feed_hello(&f, "node=b\n" HELLO_STATE,
               "syncing/peer-connected log:0-60");
    FEED(&f, "log:60-70", .type = FT_EVENT_APPENDED, .position = 70);
    /* Received is not executed, and nothing is released: all is free. */
    feed_ack(&f, 60, 20, "");
    feed_ack(&f, 70, 59, "");
    feed_ack(&f, 70, 60, "hold:70");
    FEED(&f, "log:70-90", .type = FT_EVENT_APPENDED, .position = 90);
    /* What left before the hold has to be there before the lease is asked. */
    feed_held(&f, 85, "");
    feed_ack(&f, 84, 70, "release:84");
    feed_ack(&f, 90, 70,
             "release:90 pairing/peer-connected step:1,p,>1,p,b");
    /* Meanwhile outputs leave as acknowledged. */
    FEED(&f, "log:90-95", .type = FT_EVENT_APPENDED, .position = 95);
    feed_unknown(&f, "pairing/lease-unreachable");
    feed_ack(&f, 95, 70, "release:95");
    feed_timer(&f, FT_TIMER_LEASE, "step:1,p,>1,p,b");
    feed_won(&f, "paired:0 protected/paired");
    FEED(&f, "log:95-99", .type = FT_EVENT_APPENDED, .position = 99);
    feed_ack(&f, 99, 99, "release:99");
    fix_free(&f);
}

/* A backup that is always a little behind is near enough. */
static void test_lag(void)
{
    Fix f = primary_syncing();

    for (guint tick = 1; tick < G_N_ELEMENTS(f.core->marks) + 2; tick++) {
        guint64 at = 50 + 10 * tick;
        char *line = g_strdup_printf("log:%d-%d", (int)at - 10, (int)at);

        FEED(&f, line, .type = FT_EVENT_APPENDED, .position = at);
        g_free(line);
        feed_ack(&f, at, 49, "");
        line = g_strdup_printf("heartbeat keepalive:%d", (int)at);
        feed_timer(&f, FT_TIMER_HEARTBEAT, line);
        feed_timer(&f, FT_TIMER_HEARTBEAT, "heartbeat");
        g_free(line);
    }
    /* 70 is the oldest mark: FT_PAIR_LAG_MS ago the log ended there. */
    feed_ack(&f, 120, 69, "");
    feed_ack(&f, 120, 70, "hold:120");
    fix_free(&f);
}

static void test_lost(void)
{
    Fix f = primary_syncing();

    FEED(&f, "alone/peer-closed empty release:all", .type = FT_EVENT_CLOSED);
    FEED(&f, "", .type = FT_EVENT_APPENDED, .position = 60);
    /* And again, with another backup. */
    FEED(&f, "connecting/protect connect", .type = FT_EVENT_CMD_PROTECT,
         .state_id = ID);
    FEED(&f, "handshake/peer-connected hello:0", .type = FT_EVENT_CONNECTED);
    /* The old answer to HOLD, had one been asked, would be of no use. */
    feed_held(&f, 0, "");
    feed_hello(&f, "node=b\n" HELLO_STATE, "syncing/peer-connected hold:0");
    feed_held(&f, 0, "pairing/peer-connected step:1,p,>1,p,b");
    fix_free(&f);

    f = primary_held();
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_FAILED }, "no disk", 7,
               "refuse:0 close alone/peer-failed empty release:all");
    text_has(&f, "the backup stopped: no disk");
    fix_free(&f);

    f = primary_held();
    feed_ack(&f, 51, 50,
             "refuse:0 close alone/peer-bad-frame empty release:all");
    fix_free(&f);

    /* The answer to a HOLD of a session that is over. */
    f = primary_held();
    FEED(&f, "alone/peer-closed empty release:all", .type = FT_EVENT_CLOSED);
    FEED(&f, "connecting/protect connect", .type = FT_EVENT_CMD_PROTECT,
         .state_id = ID);
    FEED(&f, "handshake/peer-connected hello:0", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, "node=b\n" HELLO_STATE, "syncing/peer-connected hold:0");
    feed_held(&f, 0, "");
    feed_held(&f, 0, "pairing/peer-connected step:1,p,>1,p,b");
    fix_free(&f);
}

static void test_lost_pairing(void)
{
    Fix f = primary_pairs();

    FEED(&f, "claiming/peer-closed", .type = FT_EVENT_CLOSED);
    feed_unknown(&f, "claiming/lease-unreachable");
    FEED(&f, "", .type = FT_EVENT_APPENDED, .position = 60);
    feed_timer(&f, FT_TIMER_LEASE, "step:1,p,>1,p,b");
    feed_won(&f, "step:1,p,b>2,p,");
    feed_won(&f, "alone/peer-closed empty release:all");
    text_has(&f, "\"p\", won generation 2");
    fix_free(&f);

    f = primary_pairs();
    FEED(&f, "claiming/peer-closed", .type = FT_EVENT_CLOSED);
    feed_won(&f, "step:1,p,b>2,p,");
    feed_lost(&f, "halted/lease-lost HALT");
    fix_free(&f);
}

static void test_differs(void)
{
    Fix f = primary_handshake();

    feed_hello(&f, "node=b\n" HELLO_REST,
               "refuse:0 close alone/peer-differs empty release:all");
    text_has(&f, "state: primary 0000000000000007, backup power-on; a VM "
             "that runs needs a backup started with -incoming");
    fix_free(&f);

    f = primary_handshake();
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_REFUSE }, "peer-busy: x", 12,
               "close alone/peer-busy empty release:all");
    fix_free(&f);

    /* A relay whose backup does not listen yet. */
    f = primary_handshake();
    FEED(&f, "connecting/peer-closed", .type = FT_EVENT_CLOSED);
    feed_timer(&f, FT_TIMER_CONNECT, "connect");
    fix_free(&f);
}

static void test_bounds(void)
{
    guint64 much = (guint64)FT_LOG_BUFFER_MAX + 1;
    Fix f = primary_calls();

    FEED(&f, "", .type = FT_EVENT_APPENDED, .position = much - 1);
    FEED(&f, "alone/protect-failed empty release:all",
         .type = FT_EVENT_APPENDED, .position = much);
    text_has(&f, "64 MiB of log");
    fix_free(&f);

    f = primary_syncing();
    feed_ack(&f, 50, 0, "");
    FEED(&f, "log:50-67108914", .type = FT_EVENT_APPENDED,
         .position = 50 + much - 1);
    FEED(&f, "log:67108914-67108915 refuse:0 close alone/protect-failed "
         "empty release:all", .type = FT_EVENT_APPENDED,
         .position = 50 + much);
    fix_free(&f);

    f = primary_calls();
    feed_timer(&f, FT_TIMER_PROTECT, "alone/protect-failed empty release:all");
    text_has(&f, "did not follow in time");
    fix_free(&f);

    f = primary_pairs();
    feed_timer(&f, FT_TIMER_PROTECT, "");
    fix_free(&f);
}

/* An answer to a call that nobody waits for any more. */
static void test_stale_call(void)
{
    Fix f = primary_calls();

    FEED(&f, "alone/protect-failed empty release:all",
         .type = FT_EVENT_PROTECT_FAILED, .text = "the stream broke");
    text_has(&f, "the stream broke");
    /* The same before the log began: there is nothing to undo. */
    FEED(&f, "alone/protect-failed",
         .type = FT_EVENT_PROTECT_FAILED, .text = "nobody takes the stream");
    text_has(&f, "nobody takes the stream");
    FEED(&f, "connecting/protect", .type = FT_EVENT_CMD_PROTECT,
         .state_id = ID);
    FEED(&f, "close connect", .type = FT_EVENT_CONNECTED);
    FEED(&f, "handshake/peer-connected hello:0", .type = FT_EVENT_CONNECTED);
    fix_free(&f);
}

static void test_commands(void)
{
    Fix f = primary_syncing();
    const char *why;

    g_assert_false(ft_core_can(f.core, FT_EVENT_CMD_PROTECT, &why));
    g_assert_true(ft_core_can(f.core, FT_EVENT_CMD_STOP, &why));
    FEED(&f, "end:50 close alone/unpaired empty release:all",
         .type = FT_EVENT_CMD_STOP);
    g_assert_true(ft_core_can(f.core, FT_EVENT_CMD_PROTECT, &why));
    fix_free(&f);

    f = primary_held();
    FEED(&f, "end:50 empty release:all ended/vm-ended close EXIT",
         .type = FT_EVENT_CMD_END, .position = 50);
    fix_free(&f);

    /* In pairing the end waits for the lease, and then for the backup. */
    f = primary_pairs();
    FEED(&f, "log:50-70", .type = FT_EVENT_CMD_END, .position = 70);
    feed_won(&f, "paired:0 protected/paired ending/vm-ended end:70");
    feed_ack(&f, 70, 50, "release:70 ended/vm-ended close EXIT");
    fix_free(&f);

    f = primary_pairs();
    FEED(&f, "log:50-70", .type = FT_EVENT_CMD_END, .position = 70);
    FEED(&f, "claiming/peer-closed", .type = FT_EVENT_CLOSED);
    feed_won(&f, "step:1,p,b>2,p,");
    feed_won(&f, "empty release:all ended/vm-ended EXIT");
    fix_free(&f);

    f = primary_protected();
    g_assert_false(ft_core_can(f.core, FT_EVENT_CMD_PROTECT, &why));
    g_assert_nonnull(strstr(why, "already"));
    fix_free(&f);
    f = primary_connected();
    g_assert_false(ft_core_can(f.core, FT_EVENT_CMD_PROTECT, &why));
    g_assert_nonnull(strstr(why, "has not begun"));
    fix_free(&f);
}

/* The backup. */

static Fix backup_follows(void)
{
    Fix f = fix_make(FT_ROLE_BACKUP, FALSE);

    FEED(&f, "listening/started", .type = FT_EVENT_START, .state_id = ID);
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, "node=p\n" HELLO_STATE,
               "hello:0 pairing/peer-connected begin start");
    feed_log(&f, 0, 0, "store:0 commit:10");
    FEED(&f, "ack:10", .type = FT_EVENT_IDLE);
    return f;
}

static void test_backup(void)
{
    Fix f = backup_follows();

    feed_paired(&f, "b", "protected/paired");
    feed_log(&f, 10, 0, "store:10 commit:20");
    FEED(&f, "claiming/peer-closed step:1,p,b>2,b,", .type = FT_EVENT_CLOSED);
    feed_won(&f, "draining/won drain:20");
    FEED(&f, "alone/drained empty release:all announce",
         .type = FT_EVENT_DRAINED);
    fix_free(&f);

    /* Named, but never told so. */
    f = backup_follows();
    FEED(&f, "claiming/peer-closed read", .type = FT_EVENT_CLOSED);
    feed_read(&f, 1, "p", "b", "step:1,p,b>2,b,");
    feed_won(&f, "draining/won drain:10");
    fix_free(&f);
}

/* Its state is of no use again: it stops, and says what to do. */
static void test_backup_not_named(void)
{
    Fix f = backup_follows();

    FEED(&f, "claiming/peer-closed read", .type = FT_EVENT_CLOSED);
    feed_read(&f, 1, "p", "", "halted/not-paired HALT");
    text_has(&f, "give ft-protect again");
    fix_free(&f);

    f = backup_follows();
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_REFUSE }, "too slow", 8,
               "halted/peer-refused close HALT");
    text_has(&f, "too slow");
    fix_free(&f);

    f = backup_follows();
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_END,
                               .flags = FT_FRAME_UNPAIRED, .position = 10 },
               NULL, 0, "ended/unpaired close EXIT");
    fix_free(&f);

    f = backup_follows();
    feed_log(&f, 20, 0, "failed:10 halted/peer-bad-frame close HALT");
    fix_free(&f);
}

static void test_backup_loads(void)
{
    Fix f = fix_make(FT_ROLE_BACKUP, FALSE);

    FEED(&f, "", .type = FT_EVENT_CONNECTED);
    feed_timer(&f, FT_TIMER_LEASE, "");
    FEED(&f, "halted/local-failure HALT", .type = FT_EVENT_FAIL,
         .text = "the stream broke");
    fix_free(&f);

    f = fix_make(FT_ROLE_BACKUP, FALSE);
    FEED(&f, "ended/vm-ended EXIT", .type = FT_EVENT_CMD_END);
    fix_free(&f);

    /* The primary's log begins elsewhere: the right one may yet come. */
    f = fix_make(FT_ROLE_BACKUP, FALSE);
    FEED(&f, "listening/started", .type = FT_EVENT_START, .state_id = ID + 1);
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, "node=p\n" HELLO_STATE,
               "refuse:0 close listening/peer-differs");
    fix_free(&f);
}

/* A survivor is a primary: it calls, streams, holds and pairs. */
static void test_survivor(void)
{
    Fix f = backup_protected();
    FtHeartbeat heartbeat;

    feed_log(&f, 0, 0, "store:0 commit:10");
    FEED(&f, "claiming/peer-closed step:1,p,b>2,b,", .type = FT_EVENT_CLOSED);
    feed_won(&f, "draining/won drain:10");
    FEED(&f, "alone/drained empty release:all announce",
         .type = FT_EVENT_DRAINED);
    FEED(&f, "", .type = FT_EVENT_APPENDED, .position = 90);
    FEED(&f, "connecting/protect connect", .type = FT_EVENT_CMD_PROTECT,
         .state_id = ID);
    FEED(&f, "handshake/peer-connected hello:0", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, "node=c\n" HELLO_STATE, "syncing/peer-connected hold:0");
    feed_held(&f, 0, "pairing/peer-connected step:2,b,>2,b,c");
    feed_won(&f, "paired:0 protected/paired");
    FEED(&f, "log:0-10", .type = FT_EVENT_APPENDED, .position = 10);
    feed_ack(&f, 10, 10, "release:10");
    feed_timer(&f, FT_TIMER_HEARTBEAT, "heartbeat keepalive:10");
    heartbeat = f.heartbeat;
    g_assert_cmpint(heartbeat.role, ==, FT_ROLE_PRIMARY);
    FEED(&f, "claiming/peer-closed step:2,b,c>3,b,", .type = FT_EVENT_CLOSED);
    feed_won(&f, "alone/peer-closed empty release:all");
    fix_free(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/sync/way", test_way);
    g_test_add_func("/core/sync/lag", test_lag);
    g_test_add_func("/core/sync/lost", test_lost);
    g_test_add_func("/core/sync/lost-pairing", test_lost_pairing);
    g_test_add_func("/core/sync/differs", test_differs);
    g_test_add_func("/core/sync/bounds", test_bounds);
    g_test_add_func("/core/sync/stale-call", test_stale_call);
    g_test_add_func("/core/sync/commands", test_commands);
    g_test_add_func("/core/sync/backup", test_backup);
    g_test_add_func("/core/sync/backup/not-named", test_backup_not_named);
    g_test_add_func("/core/sync/backup/loads", test_backup_loads);
    g_test_add_func("/core/sync/survivor", test_survivor);
    return g_test_run();
}
