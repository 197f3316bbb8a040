/*
 * The core, event by event: the fence of a shared disk, and who may start
 * on it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core-fix.h"

#define HELLO_SHARED \
    "vm.uuid=00000000000000000000000000000000\nvm.disks=shared\n" \
    "state=power-on\nmachine.ram=256M\nmachine.type=pc\n"

static Fix make(FtRole role, gboolean new_vm)
{
    return fix_make_disks(role, new_vm, FT_LEASE_DISKS_SHARED);
}

static void feed_fenced(Fix *f, FtLeaseResult result, const char *expected)
{
    FEED(f, expected, .type = FT_EVENT_FENCED, .result = result,
         .text = "the target is away");
}

static void feed_record(Fix *f, FtLeaseDisks disks, guint64 generation,
                        const char *owner, const char *partner,
                        const char *expected)
{
    FtLeaseRecord now = { .generation = generation, .nonce = 77,
                          .disks = disks };

    g_strlcpy(now.owner, owner, FT_NODE_MAX);
    g_strlcpy(now.partner, partner, FT_NODE_MAX);
    FEED(f, expected, .type = FT_EVENT_LEASE, .result = FT_LEASE_WON,
         .record = &now);
}

/* A primary, before it calls anybody. */
static void test_first_start(void)
{
    Fix f = make(FT_ROLE_PRIMARY, TRUE);

    FEED(&f, "acquiring/started read", .type = FT_EVENT_START);
    feed_read(&f, 0, "", "", "step:0,,>1,p,");
    feed_won(&f, "fencing/won fence:1,p");
    /* Nothing happens before the answer, and what is away is shown. */
    feed_timer(&f, FT_TIMER_CONNECT, "");
    FEED(&f, "", .type = FT_EVENT_CMD_STOP);
    FEED(&f, "", .type = FT_EVENT_CMD_PROTECT, .state_id = 7);
    feed_timer(&f, FT_TIMER_FENCE, "fencing/fence-waits");
    feed_fenced(&f, FT_LEASE_UNKNOWN, "fencing/fence-waits");
    text_has(&f, "the target is away");
    feed_fenced(&f, FT_LEASE_WON, "connecting/won connect");
    /* Once. */
    feed_fenced(&f, FT_LEASE_WON, "");
    feed_timer(&f, FT_TIMER_FENCE, "");
    fix_free(&f);
}

/* With a shared disk the owner and its partner may start, and nobody else. */
static void start_as(FtLeaseDisks was, const char *owner,
                     const char *partner, const char *expected)
{
    Fix f = make(FT_ROLE_PRIMARY, FALSE);

    FEED(&f, "acquiring/started read", .type = FT_EVENT_START);
    feed_record(&f, was, 3, owner, partner, expected);
    if (g_str_has_prefix(expected, "step")) {
        g_assert_cmpint(f.step_to.disks, ==, FT_LEASE_DISKS_SHARED);
        feed_won(&f, "fencing/won fence:4,p");
    }
    fix_free(&f);
}

static void test_cold_start(void)
{
    start_as(FT_LEASE_DISKS_SHARED, "p", "", "step:3,p,>4,p,");
    start_as(FT_LEASE_DISKS_SHARED, "p", "b", "step:3,p,b>4,p,");
    start_as(FT_LEASE_DISKS_SHARED, "b", "p", "step:3,b,p>4,p,");
    start_as(FT_LEASE_DISKS_SHARED, "b", "",
             "halted/lease-not-eligible HALT");
    start_as(FT_LEASE_DISKS_SHARED, "b", "c",
             "halted/lease-not-eligible HALT");
    /* Another kind of disks is a person's copy of the owner's. */
    start_as(FT_LEASE_DISKS_OWN, "p", "b", "step:3,p,b>4,p,");
    start_as(FT_LEASE_DISKS_OWN, "b", "p",
             "halted/lease-not-eligible HALT");
}

static void test_cold_start_own(void)
{
    Fix f = fix_make(FT_ROLE_PRIMARY, FALSE);

    FEED(&f, "acquiring/started read", .type = FT_EVENT_START);
    feed_record(&f, FT_LEASE_DISKS_SHARED, 3, "b", "p",
                "halted/lease-not-eligible HALT");
    text_has(&f, "ran with disks=shared, and this machine was started with "
             "disks=own; only \"b\"");
    fix_free(&f);
}

static Fix backup_shared(void)
{
    FtLeaseRecord rec = { .generation = 1, .owner = "p", .partner = "b",
                          .nonce = 88, .disks = FT_LEASE_DISKS_SHARED };
    guint8 payload[FT_LEASE_RECORD_SIZE];
    Fix f = make(FT_ROLE_BACKUP, FALSE);

    FEED(&f, "listening/started", .type = FT_EVENT_START);
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, "node=p\n" HELLO_SHARED,
               "hello:0 pairing/peer-connected begin");
    ft_lease_record_out(&rec, payload);
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_PAIRED }, payload,
               sizeof(payload), "protected/paired start");
    return f;
}

/* A takeover: won, then fenced, then executed to the end, then live. */
static void test_takeover(void)
{
    Fix f = backup_shared();

    feed_log(&f, 0, 0, "store:0 commit:10");
    feed_log(&f, 10, FT_FRAME_MORE, "store:10");
    FEED(&f, "claiming/peer-closed step:1,p,b>2,b,", .type = FT_EVENT_CLOSED);
    feed_won(&f, "fencing/won fence:2,b");
    text_has(&f, "won generation 2");
    feed_log(&f, 10, 0, "");
    FEED(&f, "", .type = FT_EVENT_DRAINED);
    FEED(&f, "", .type = FT_EVENT_IDLE);
    feed_fenced(&f, FT_LEASE_UNKNOWN, "fencing/fence-waits");
    feed_fenced(&f, FT_LEASE_WON, "draining/won drain:10");
    FEED(&f, "alone/drained empty release:all announce",
         .type = FT_EVENT_DRAINED);
    fix_free(&f);
}

/* It was not paired in its own eyes, and the record says that it was. */
static void test_takeover_from_pairing(void)
{
    Fix f = make(FT_ROLE_BACKUP, FALSE);

    FEED(&f, "listening/started", .type = FT_EVENT_START);
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, "node=p\n" HELLO_SHARED,
               "hello:0 pairing/peer-connected begin");
    FEED(&f, "claiming/peer-closed read", .type = FT_EVENT_CLOSED);
    feed_record(&f, FT_LEASE_DISKS_SHARED, 1, "p", "b",
                "step:1,p,b>2,b,");
    feed_won(&f, "fencing/won fence:2,b");
    feed_fenced(&f, FT_LEASE_WON, "draining/won start drain:0");
    fix_free(&f);
}

/* Each way out while storage is away. */
static void test_leave(void)
{
    Fix f = backup_shared();

    FEED(&f, "claiming/peer-closed step:1,p,b>2,b,", .type = FT_EVENT_CLOSED);
    feed_won(&f, "fencing/won fence:2,b");
    FEED(&f, "ended/vm-ended EXIT", .type = FT_EVENT_CMD_END);
    feed_fenced(&f, FT_LEASE_WON, "");
    fix_free(&f);

    f = backup_shared();
    FEED(&f, "claiming/peer-closed step:1,p,b>2,b,", .type = FT_EVENT_CLOSED);
    feed_won(&f, "fencing/won fence:2,b");
    FEED(&f, "halted/local-failure HALT", .type = FT_EVENT_FAIL,
         .text = "it diverged");
    fix_free(&f);

    f = backup_shared();
    FEED(&f, "claiming/peer-closed step:1,p,b>2,b,", .type = FT_EVENT_CLOSED);
    feed_won(&f, "fencing/won fence:2,b");
    feed_fenced(&f, FT_LEASE_LOST, "halted/lease-lost HALT");
    fix_free(&f);
}

/* A primary that loses its backup runs on: that one only read. */
static void test_primary_alone(void)
{
    Fix f = make(FT_ROLE_PRIMARY, TRUE);

    FEED(&f, "acquiring/started read", .type = FT_EVENT_START);
    feed_read(&f, 0, "", "", "step:0,,>1,p,");
    feed_won(&f, "fencing/won fence:1,p");
    feed_fenced(&f, FT_LEASE_WON, "connecting/won connect");
    FEED(&f, "handshake/peer-connected hello:0", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, "node=b\n" HELLO_SHARED,
               "syncing/peer-connected begin hold:0");
    feed_held(&f, 0, "pairing/peer-connected step:1,p,>1,p,b");
    feed_won(&f, "paired:0 protected/paired start");
    FEED(&f, "claiming/peer-closed step:1,p,b>2,p,", .type = FT_EVENT_CLOSED);
    feed_won(&f, "alone/peer-closed empty release:all");
    fix_free(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/fence/first-start", test_first_start);
    g_test_add_func("/core/fence/cold-start", test_cold_start);
    g_test_add_func("/core/fence/cold-start-own", test_cold_start_own);
    g_test_add_func("/core/fence/takeover", test_takeover);
    g_test_add_func("/core/fence/takeover-from-pairing",
                    test_takeover_from_pairing);
    g_test_add_func("/core/fence/leave", test_leave);
    g_test_add_func("/core/fence/primary-alone", test_primary_alone);
    return g_test_run();
}
