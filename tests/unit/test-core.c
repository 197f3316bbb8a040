/*
 * The core, event by event: from the start to a pair, and its tables.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core-fix.h"

/* Starting. */

static void start_with(gboolean new_vm, guint64 generation, const char *owner,
                       const char *partner, const char *expected,
                       const char *text)
{
    Fix f = fix_make(FT_ROLE_PRIMARY, new_vm);

    FEED(&f, "acquiring/started read", .type = FT_EVENT_START);
    feed_read(&f, generation, owner, partner, expected);
    if (text) {
        text_has(&f, text);
    }
    fix_free(&f);
}

static void test_start(void)
{
    start_with(FALSE, 0, "", "", "halted/lease-new HALT", "new=on");
    start_with(TRUE, 3, "p", "", "halted/lease-not-new HALT",
               "generation 3, run by \"p\"");
    start_with(FALSE, 3, "p", "b", "step:3,p,b>4,p,", NULL);
    start_with(FALSE, 3, "b", "p", "step:3,b,p>4,p,", NULL);
    start_with(FALSE, 3, "b", "", "halted/lease-not-eligible HALT",
               "Start the VM on \"b\"; if that is this machine, with node=b");
}

static void test_start_other_vm(void)
{
    Fix f = fix_make(FT_ROLE_PRIMARY, FALSE);
    FtLeaseRecord now = { .generation = 1, .owner = "p", .vm_uuid = { 1 } };

    FEED(&f, "acquiring/started read", .type = FT_EVENT_START);
    FEED(&f, "halted/lease-other-vm HALT", .type = FT_EVENT_LEASE,
         .result = FT_LEASE_WON, .record = &now);
    fix_free(&f);
}

static void test_start_unreachable(void)
{
    Fix f = fix_make(FT_ROLE_PRIMARY, TRUE);
    FtLeaseRecord first;

    FEED(&f, "acquiring/started read", .type = FT_EVENT_START);
    feed_unknown(&f, "acquiring/lease-unreachable");
    text_has(&f, "the storage is away");
    feed_timer(&f, FT_TIMER_LEASE, "read");
    feed_unknown(&f, "");
    feed_timer(&f, FT_TIMER_LEASE, "read");
    feed_read(&f, 0, "", "", "step:0,,>1,p,");
    /* Storage that does not answer at all is shown, and not asked twice. */
    feed_timer(&f, FT_TIMER_LEASE, "acquiring/lease-unreachable");
    feed_timer(&f, FT_TIMER_LEASE, "");
    first = f.step_to;
    feed_unknown(&f, "acquiring/lease-unreachable");
    feed_timer(&f, FT_TIMER_LEASE, "step:0,,>1,p,");
    g_assert_cmphex(first.nonce, ==, f.step_to.nonce);
    feed_won(&f, "connecting/won connect");
    fix_free(&f);
}

static void test_connect(void)
{
    Fix f = fix_make(FT_ROLE_PRIMARY, TRUE);

    FEED(&f, "acquiring/started read", .type = FT_EVENT_START);
    feed_read(&f, 0, "", "", "step:0,,>1,p,");
    feed_won(&f, "connecting/won connect");
    FEED(&f, "connecting/won", .type = FT_EVENT_CONNECT_FAILED,
         .text = "Connection refused");
    text_has(&f, "Connection refused");
    feed_timer(&f, FT_TIMER_CONNECT, "connect");
    /* The same again is no news. */
    FEED(&f, "", .type = FT_EVENT_CONNECT_FAILED,
         .text = "Connection refused");
    feed_timer(&f, FT_TIMER_CONNECT, "connect");
    FEED(&f, "alone/unpaired begin start empty release:all",
         .type = FT_EVENT_CMD_STOP);
    FEED(&f, "close", .type = FT_EVENT_CONNECTED);
    FEED(&f, "ended/vm-ended EXIT", .type = FT_EVENT_CMD_END);
    FEED(&f, "", .type = FT_EVENT_FAIL, .text = "late");
    fix_free(&f);
}

/* The handshake. */

static void refused_by_backup(const char *payload, const char *text)
{
    Fix f = fix_make(FT_ROLE_BACKUP, FALSE);

    FEED(&f, "listening/started", .type = FT_EVENT_START);
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, payload, "refuse:0 close listening/peer-differs");
    g_assert_cmpstr(text_of(&f), ==, text);
    /* The next one may be right. */
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, "node=p\n" HELLO_REST, "hello:0 pairing/peer-connected begin");
    fix_free(&f);
}

static void test_differs(void)
{
    refused_by_backup("node=p\n" HELLO_ZERO "machine.ram=512M\n"
                      "machine.type=pc\n",
                      "machine.ram: primary 512M, backup 256M");
    refused_by_backup("node=p\n" HELLO_ZERO "machine.ram=256M\n",
                      "machine.type: primary (none), backup pc");
    refused_by_backup("node=p\n" HELLO_REST "net.0=e1000\n",
                      "net.0: primary e1000, backup (none)");
    refused_by_backup("node=p\nvm.uuid=1\nvm.disks=own\nstate=power-on\n",
                      "vm.uuid: primary 1, backup "
                      "00000000000000000000000000000000");
    refused_by_backup("node=b\n" HELLO_REST,
                      "both machines are called \"b\": give one of them "
                      "another name with node=");
}

static void test_refused(void)
{
    Fix f = primary_connected();
    const char *text = "peer-differs: machine.ram: primary 256M, backup 512M";

    feed_frame(&f, (FtFrame) { .type = FT_FRAME_REFUSE }, text, strlen(text),
               "close connecting/peer-differs");
    g_assert_cmpstr(text_of(&f), ==,
                    "machine.ram: primary 256M, backup 512M");
    feed_timer(&f, FT_TIMER_CONNECT, "connect");
    FEED(&f, "handshake/peer-connected hello:0", .type = FT_EVENT_CONNECTED);
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_REFUSE, .session = 9 },
               "peer-busy:\nx", 12, "close connecting/peer-busy");
    feed_timer(&f, FT_TIMER_CONNECT, "connect");
    FEED(&f, "handshake/peer-connected hello:0", .type = FT_EVENT_CONNECTED);
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_REFUSE }, "\xff no", 4,
               "close connecting/peer-refused");
    fix_free(&f);
}

static void test_rubbish(void)
{
    Fix f = fix_make(FT_ROLE_BACKUP, FALSE);

    FEED(&f, "listening/started", .type = FT_EVENT_START);
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    FEED(&f, "close listening/peer-bad-frame", .type = FT_EVENT_BAD_FRAME,
         .text = "no frame");
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, "no node here\n", "close listening/peer-bad-frame");
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, "node=a\tb\n", "close listening/peer-bad-frame");
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    f.session = 5;
    feed_log(&f, 0, 0, "close listening/peer-bad-frame");
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    feed_timer(&f, FT_TIMER_HANDSHAKE, "close listening/peer-silent");
    fix_free(&f);
}

/* Pairing. */

static void test_pairing_lost_primary(void)
{
    Fix f = primary_pairing();
    guint64 nonce = f.step_to.nonce;

    FEED(&f, "claiming/peer-closed", .type = FT_EVENT_CLOSED);
    feed_unknown(&f, "claiming/lease-unreachable");
    feed_timer(&f, FT_TIMER_LEASE, "step:1,p,>1,p,b");
    g_assert_cmphex(nonce, ==, f.step_to.nonce);
    feed_won(&f, "step:1,p,b>2,p,");
    g_assert_cmphex(nonce, ==, f.step_from.nonce);
    feed_won(&f, "connecting/peer-closed");
    feed_timer(&f, FT_TIMER_CONNECT, "connect");
    fix_free(&f);

    f = primary_pairing();
    FEED(&f, "close claiming/peer-bad-frame", .type = FT_EVENT_BAD_FRAME);
    feed_won(&f, "step:1,p,b>2,p,");
    feed_lost(&f, "halted/lease-lost HALT");
    text_has(&f, "\"other\" won generation 2");
    fix_free(&f);
}

static void test_pairing_lost_backup(void)
{
    Fix f = backup_pairing();

    FEED(&f, "claiming/peer-closed read", .type = FT_EVENT_CLOSED);
    feed_read(&f, 1, "p", "", "listening/not-paired");
    fix_free(&f);

    f = backup_pairing();
    FEED(&f, "claiming/peer-closed read", .type = FT_EVENT_CLOSED);
    feed_read(&f, 2, "p", "b", "listening/not-paired");
    fix_free(&f);

    f = backup_pairing();
    FEED(&f, "claiming/peer-closed read", .type = FT_EVENT_CLOSED);
    feed_read(&f, 1, "p", "b", "step:1,p,b>2,b,");
    feed_lost(&f, "listening/not-paired");
    fix_free(&f);

    f = backup_pairing();
    FEED(&f, "claiming/peer-closed read", .type = FT_EVENT_CLOSED);
    feed_read(&f, 1, "p", "b", "step:1,p,b>2,b,");
    feed_won(&f, "draining/won start drain:0");
    FEED(&f, "alone/drained empty release:all announce",
         .type = FT_EVENT_DRAINED);
    fix_free(&f);
}

static void test_pairing_end(void)
{
    Fix f = primary_pairing();

    FEED(&f, "", .type = FT_EVENT_CMD_END);
    feed_won(&f, "end:0 ended/vm-ended close EXIT");
    fix_free(&f);

    f = backup_pairing();
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_END }, NULL, 0,
               "ack:0 ended/vm-ended close EXIT");
    fix_free(&f);
}

static void test_refused_by_primary(void)
{
    Fix f = backup_pairing();

    feed_frame(&f, (FtFrame) { .type = FT_FRAME_REFUSE }, "no", 2,
               "close listening/peer-refused");
    fix_free(&f);

    f = primary_connected();
    feed_hello(&f, "node=b\n" HELLO_ZERO "machine.ram=512M\n",
               "refuse:0 close connecting/peer-differs");
    g_assert_cmpstr(text_of(&f), ==,
                    "machine.ram: primary 256M, backup 512M");
    fix_free(&f);
}

static void test_paired_wrong(void)
{
    Fix f = backup_pairing();

    feed_paired(&f, "c", "close claiming/peer-bad-frame read");
    fix_free(&f);
}

static void test_can(void)
{
    Fix f = fix_make(FT_ROLE_BACKUP, FALSE);
    const char *why;

    FEED(&f, "listening/started", .type = FT_EVENT_START);
    g_assert_false(ft_core_can(f.core, FT_EVENT_CMD_FAILOVER, &why));
    g_assert_nonnull(strstr(why, "not protected"));
    g_assert_false(ft_core_can(f.core, FT_EVENT_CMD_STOP, &why));
    g_assert_nonnull(strstr(why, "on the primary"));
    g_assert_true(ft_core_can(f.core, FT_EVENT_CMD_END, &why));
    FEED(&f, "ended/vm-ended EXIT", .type = FT_EVENT_CMD_END);
    g_assert_false(ft_core_can(f.core, FT_EVENT_CMD_END, &why));
    fix_free(&f);
}

/* The tables. */

static void test_names(void)
{
    for (guint i = 0; i < FT_STATE__MAX; i++) {
        g_assert_nonnull(ft_core_state_name(i));
    }
    for (guint i = 1; i < FT_REASON__MAX; i++) {
        g_assert_cmpuint(strlen(ft_core_reason_name(i)), >, 0);
        g_assert_cmpuint(strlen(ft_core_reason_text(i)), >, 0);
    }
}

/* docs/states.md has a row "| from | to | roles |" for each change. */
static void test_doc(void)
{
    char *path = g_build_filename(g_getenv("FT_DOCS"), "states.md", NULL);
    char *doc;

    g_assert_true(g_file_get_contents(path, &doc, NULL, NULL));
    for (guint from = 0; from < FT_STATE__MAX; from++) {
        for (guint to = 0; to < FT_STATE__MAX; to++) {
            gboolean p = ft_core_edge_legal(FT_ROLE_PRIMARY, from, to);
            gboolean b = ft_core_edge_legal(FT_ROLE_BACKUP, from, to);
            char *row = g_strdup_printf("\n| %s | %s | %s |",
                                        ft_core_state_name(from),
                                        ft_core_state_name(to),
                                        p && b ? "P B" : p ? "P" : "B");
            char *any = g_strdup_printf("\n| %s | %s |",
                                        ft_core_state_name(from),
                                        ft_core_state_name(to));

            if (p || b ? !strstr(doc, row) : strstr(doc, any) != NULL) {
                g_error("%s differs from ft/core-table.c about%s", path, row);
            }
            g_free(row);
            g_free(any);
        }
    }
    g_free(doc);
    g_free(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/start", test_start);
    g_test_add_func("/core/start/other-vm", test_start_other_vm);
    g_test_add_func("/core/start/unreachable", test_start_unreachable);
    g_test_add_func("/core/connect", test_connect);
    g_test_add_func("/core/handshake/differs", test_differs);
    g_test_add_func("/core/handshake/refused", test_refused);
    g_test_add_func("/core/handshake/rubbish", test_rubbish);
    g_test_add_func("/core/pairing/lost-primary", test_pairing_lost_primary);
    g_test_add_func("/core/pairing/lost-backup", test_pairing_lost_backup);
    g_test_add_func("/core/pairing/end", test_pairing_end);
    g_test_add_func("/core/pairing/refused", test_refused_by_primary);
    g_test_add_func("/core/pairing/wrong", test_paired_wrong);
    g_test_add_func("/core/can", test_can);
    g_test_add_func("/core/names", test_names);
    g_test_add_func("/core/doc", test_doc);
    return g_test_run();
}
