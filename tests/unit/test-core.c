/*
 * The core, event by event: each test feeds events and compares the actions
 * with a line of words.  Timers are left out of the line: they come with
 * almost every action, and the simulator shows whether they are right.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "core-internal.h"

#define ALL "all"

typedef struct Fix {
    FtCore *core;
    GString *line;
    FtLeaseRecord step_from, step_to;   /* of the last LEASE_STEP */
    guint64 session;
    FtHeartbeat heartbeat;
} Fix;

static const char *frame_names[] = {
    [FT_FRAME_HELLO] = "hello", [FT_FRAME_REFUSE] = "refuse",
    [FT_FRAME_PAIRED] = "paired", [FT_FRAME_LOG] = "log",
    [FT_FRAME_ACK] = "ack", [FT_FRAME_KEEPALIVE] = "keepalive",
    [FT_FRAME_FAILOVER] = "failover", [FT_FRAME_END] = "end",
};

static void position_word(GString *line, const char *word, guint64 position)
{
    if (position == FT_POSITION_ALL) {
        g_string_append_printf(line, "%s:" ALL " ", word);
    } else {
        g_string_append_printf(line, "%s:%d ", word, (int)position);
    }
}

static void action_word(Fix *f, const FtAction *a)
{
    switch (a->type) {
    case FT_ACTION_STATE:
        g_string_append_printf(f->line, "%s/%s ", ft_core_state_name(a->state),
                               ft_core_reason_name(a->reason));
        break;
    case FT_ACTION_CONNECT:
        g_string_append(f->line, "connect ");
        break;
    case FT_ACTION_CLOSE:
        g_string_append(f->line, "close ");
        break;
    case FT_ACTION_SEND:
        f->session = a->frame.session;
        position_word(f->line, frame_names[a->frame.type], a->frame.position);
        break;
    case FT_ACTION_SEND_LOG:
        g_string_append_printf(f->line, "log:%d-%d ", (int)a->from,
                               (int)a->to);
        break;
    case FT_ACTION_SEND_HEARTBEAT:
        f->heartbeat = a->heartbeat;
        g_string_append(f->line, "heartbeat ");
        break;
    case FT_ACTION_TIMER:
        break;
    case FT_ACTION_LEASE_STEP:
        f->step_from = a->from_record;
        f->step_to = a->to_record;
        g_string_append_printf(f->line, "step:%d,%s,%s>%d,%s,%s ",
                               (int)a->from_record.generation,
                               a->from_record.owner, a->from_record.partner,
                               (int)a->to_record.generation,
                               a->to_record.owner, a->to_record.partner);
        break;
    case FT_ACTION_LEASE_READ:
        g_string_append(f->line, "read ");
        break;
    case FT_ACTION_LOG_BEGIN:
        g_string_append(f->line, "begin ");
        break;
    case FT_ACTION_START_GUEST:
        g_string_append(f->line, "start ");
        break;
    case FT_ACTION_STORE:
        position_word(f->line, "store", a->position);
        break;
    case FT_ACTION_COMMIT:
        position_word(f->line, "commit", a->position);
        break;
    case FT_ACTION_RELEASE:
        position_word(f->line, "release", a->position);
        break;
    case FT_ACTION_LOG_TRIM:
        break;                          /* always with a release */
    case FT_ACTION_DRAIN:
        position_word(f->line, "drain", a->position);
        break;
    case FT_ACTION_ANNOUNCE:
        g_string_append(f->line, "announce ");
        break;
    case FT_ACTION_SINK_EMPTY:
        g_string_append(f->line, "empty ");
        break;
    case FT_ACTION_HALT:
        g_string_append(f->line, "HALT ");
        break;
    case FT_ACTION_EXIT:
        g_string_append(f->line, "EXIT ");
        break;
    }
}

/* Feeds an event; the actions have to be these. */
static void feed(Fix *f, FtEvent event, const char *expected)
{
    const FtAction *actions;
    guint count;

    g_string_truncate(f->line, 0);
    actions = ft_core_event(f->core, &event, &count);
    for (guint i = 0; i < count; i++) {
        action_word(f, &actions[i]);
    }
    g_strchomp(f->line->str);
    g_assert_cmpstr(f->line->str, ==, expected);
}

#define FEED(f, expected, ...) feed(f, (FtEvent) { __VA_ARGS__ }, expected)

static void feed_frame(Fix *f, FtFrame frame, const void *data, gsize size,
                       const char *expected)
{
    if (!frame.session) {
        frame.session = f->session;
    }
    if (!frame.generation) {
        frame.generation = f->core->session_generation;
    }
    frame.length = size;
    FEED(f, expected, .type = FT_EVENT_FRAME, .frame = &frame, .data = data,
         .size = size);
}

static void feed_ack(Fix *f, guint64 position, guint64 executed,
                     const char *expected)
{
    FtAck ack = { .executed = executed, .icount = executed };
    guint8 payload[FT_ACK_SIZE];

    ft_wire_ack_out(&ack, payload);
    feed_frame(f, (FtFrame) { .type = FT_FRAME_ACK, .position = position },
               payload, sizeof(payload), expected);
}

/* The answer to the last step: WON, or LOST to "other". */
static void feed_won(Fix *f, const char *expected)
{
    FEED(f, expected, .type = FT_EVENT_LEASE, .result = FT_LEASE_WON,
         .record = &f->step_to);
}

static void feed_lost(Fix *f, const char *expected)
{
    FtLeaseRecord now = f->step_to;

    g_strlcpy(now.owner, "other", FT_NODE_MAX);
    now.partner[0] = 0;
    now.nonce++;
    FEED(f, expected, .type = FT_EVENT_LEASE, .result = FT_LEASE_LOST,
         .record = &now);
}

static void feed_unknown(Fix *f, const char *expected)
{
    FEED(f, expected, .type = FT_EVENT_LEASE, .result = FT_LEASE_UNKNOWN,
         .text = "the storage is away");
}

static void feed_read(Fix *f, guint64 generation, const char *owner,
                      const char *partner, const char *expected)
{
    FtLeaseRecord now = { .generation = generation, .nonce = 77,
                          .disks = FT_LEASE_DISKS_OWN };

    g_strlcpy(now.owner, owner, FT_NODE_MAX);
    g_strlcpy(now.partner, partner, FT_NODE_MAX);
    FEED(f, expected, .type = FT_EVENT_LEASE, .result = FT_LEASE_WON,
         .record = &now);
}

static void feed_timer(Fix *f, FtTimer timer, const char *expected)
{
    FEED(f, expected, .type = FT_EVENT_TIMER, .timer = timer);
}

static Fix fix_make(FtRole role, gboolean new_vm)
{
    FtCoreConfig config = {
        .role = role, .new_vm = new_vm, .disks = FT_LEASE_DISKS_OWN,
        .identity = "machine.ram=256M\nmachine.type=pc\n", .seed = 1,
    };

    g_strlcpy(config.node, role == FT_ROLE_PRIMARY ? "p" : "b", FT_NODE_MAX);
    return (Fix) { .core = ft_core_new(&config), .line = g_string_new(NULL) };
}

static void fix_free(Fix *f)
{
    ft_core_free(f->core);
    g_string_free(f->line, TRUE);
}

#define HELLO_ZERO "vm.uuid=00000000000000000000000000000000\nvm.disks=own\n"
#define HELLO_REST HELLO_ZERO "machine.ram=256M\nmachine.type=pc\n"

static void feed_hello(Fix *f, const char *payload, const char *expected)
{
    feed_frame(f, (FtFrame) { .type = FT_FRAME_HELLO,
                              .session = f->session ? f->session : 55,
                              .generation = 1 },
               payload, strlen(payload), expected);
}

static Fix primary_connected(void)
{
    Fix f = fix_make(FT_ROLE_PRIMARY, TRUE);

    FEED(&f, "acquiring/started read", .type = FT_EVENT_START);
    feed_read(&f, 0, "", "", "step:0,,>1,p,");
    feed_won(&f, "connecting/won connect");
    FEED(&f, "handshake/peer-connected hello:0", .type = FT_EVENT_CONNECTED);
    return f;
}

static Fix primary_pairing(void)
{
    Fix f = primary_connected();

    feed_hello(&f, "node=b\n" HELLO_REST,
               "pairing/peer-connected begin step:1,p,>1,p,b");
    return f;
}

static Fix primary_protected(void)
{
    Fix f = primary_pairing();

    feed_won(&f, "paired:0 protected/paired start");
    return f;
}

static Fix backup_pairing(void)
{
    Fix f = fix_make(FT_ROLE_BACKUP, FALSE);

    FEED(&f, "listening/started", .type = FT_EVENT_START);
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, "node=p\n" HELLO_REST, "hello:0 pairing/peer-connected");
    return f;
}

static void feed_paired(Fix *f, const char *partner, const char *expected)
{
    FtLeaseRecord rec = { .generation = 1, .owner = "p", .nonce = 88,
                          .disks = FT_LEASE_DISKS_OWN };
    guint8 payload[FT_LEASE_RECORD_SIZE];

    g_strlcpy(rec.partner, partner, FT_NODE_MAX);
    ft_lease_record_out(&rec, payload);
    feed_frame(f, (FtFrame) { .type = FT_FRAME_PAIRED }, payload,
               sizeof(payload), expected);
}

static Fix backup_protected(void)
{
    Fix f = backup_pairing();

    feed_paired(&f, "b", "protected/paired begin start");
    return f;
}

static void feed_log(Fix *f, guint64 position, guint32 flags,
                     const char *expected)
{
    feed_frame(f, (FtFrame) { .type = FT_FRAME_LOG, .position = position,
                              .flags = flags }, "0123456789", 10, expected);
}

static const char *text_of(Fix *f)
{
    FtCoreStatus status;

    ft_core_status(f->core, &status);
    return status.text;
}

static void text_has(Fix *f, const char *part)
{
    if (!strstr(text_of(f), part)) {
        g_error("\"%s\" lacks \"%s\"", text_of(f), part);
    }
}

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
    feed_hello(&f, "node=p\n" HELLO_REST, "hello:0 pairing/peer-connected");
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
    refused_by_backup("node=p\nvm.uuid=1\nvm.disks=own\n",
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
    feed_won(&f, "draining/won begin start drain:0");
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

static void test_paired_wrong(void)
{
    Fix f = backup_pairing();

    feed_paired(&f, "c", "close claiming/peer-bad-frame read");
    fix_free(&f);
}

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
    feed_log(&f, 20, 0, "halted/peer-bad-frame close HALT");
    text_has(&f, "log at position 20, expected was 10");
    fix_free(&f);

    f = backup_protected();
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_LOG, .session = 56 }, "x", 1,
               "halted/peer-bad-frame close HALT");
    fix_free(&f);

    f = backup_protected();
    FEED(&f, "halted/peer-bad-frame close HALT", .type = FT_EVENT_BAD_FRAME,
         .text = "frame with a wrong checksum");
    text_has(&f, "wrong checksum");
    fix_free(&f);

    f = backup_protected();
    feed_log(&f, 0, FT_FRAME_MORE, "store:0");
    feed_frame(&f, (FtFrame) { .type = FT_FRAME_END, .position = 10 }, NULL,
               0, "halted/peer-bad-frame close HALT");
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
    feed_won(&f, "alone/won empty release:all");
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

static void silence(FtRole role, gboolean heartbeats, gboolean frames,
                    guint expected_ms)
{
    Fix f = role == FT_ROLE_PRIMARY ? primary_protected() : backup_protected();

    g_assert_cmpuint(ticks_until_claim(&f, heartbeats, frames) *
                     FT_HEARTBEAT_INTERVAL_MS, ==, expected_ms);
    fix_free(&f);
}

static void test_silence(void)
{
    silence(FT_ROLE_PRIMARY, FALSE, FALSE, FT_SILENCE_PRIMARY_MS);
    silence(FT_ROLE_BACKUP, FALSE, FALSE, FT_SILENCE_BACKUP_MS);
    silence(FT_ROLE_PRIMARY, TRUE, FALSE, FT_CHANNEL_SILENCE_MS);
    silence(FT_ROLE_BACKUP, TRUE, FALSE, FT_CHANNEL_SILENCE_MS);
    silence(FT_ROLE_BACKUP, FALSE, TRUE, 0);
}

/* Heartbeats of another session, or one's own, are no sign of life. */
static void test_heartbeat_other(void)
{
    Fix f = backup_protected();
    FtHeartbeat other = { .session = 1, .role = 1 };
    FtHeartbeat own = { .session = f.session, .role = 2 };
    FtEvent tick = { .type = FT_EVENT_TIMER, .timer = FT_TIMER_SILENCE };
    guint count, n = 0;

    while (f.core->state == FT_STATE_PROTECTED && ++n < 100) {
        FEED(&f, "", .type = FT_EVENT_HEARTBEAT, .heartbeat = &other);
        FEED(&f, "", .type = FT_EVENT_HEARTBEAT, .heartbeat = &own);
        ft_core_event(f.core, &tick, &count);
    }
    g_assert_cmpuint(n * FT_HEARTBEAT_INTERVAL_MS, ==, FT_SILENCE_BACKUP_MS);
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
    g_test_add_func("/core/pairing/wrong", test_paired_wrong);
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
    g_test_add_func("/core/can", test_can);
    g_test_add_func("/core/names", test_names);
    g_test_add_func("/core/doc", test_doc);
    return g_test_run();
}
