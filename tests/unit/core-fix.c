/*
 * See core-fix.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core-fix.h"

static const char *frame_names[] = {
    [FT_FRAME_HELLO] = "hello", [FT_FRAME_REFUSE] = "refuse",
    [FT_FRAME_PAIRED] = "paired", [FT_FRAME_LOG] = "log",
    [FT_FRAME_ACK] = "ack", [FT_FRAME_KEEPALIVE] = "keepalive",
    [FT_FRAME_FAILOVER] = "failover", [FT_FRAME_END] = "end",
    [FT_FRAME_FAILED] = "failed",
};

static void position_word(GString *line, const char *word, guint64 position)
{
    if (position == FT_POSITION_ALL) {
        g_string_append_printf(line, "%s:all ", word);
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
    case FT_ACTION_FENCE:
        g_string_append_printf(f->line, "fence:%d,%s ",
                               (int)a->to_record.generation,
                               a->to_record.owner);
        break;
    case FT_ACTION_LOG_BEGIN:
        g_string_append(f->line, "begin ");
        break;
    case FT_ACTION_HOLD:
        position_word(f->line, "hold", a->position);
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
void feed(Fix *f, FtEvent event, const char *expected)
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

void feed_frame(Fix *f, FtFrame frame, const void *data, gsize size,
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

void feed_ack(Fix *f, guint64 position, guint64 executed,
              const char *expected)
{
    FtAck ack = { .executed = executed, .icount = executed };
    guint8 payload[FT_ACK_SIZE];

    ft_wire_ack_out(&ack, payload);
    feed_frame(f, (FtFrame) { .type = FT_FRAME_ACK, .position = position },
               payload, sizeof(payload), expected);
}

/* The answer to the last step: WON, or LOST to "other". */
void feed_won(Fix *f, const char *expected)
{
    FEED(f, expected, .type = FT_EVENT_LEASE, .result = FT_LEASE_WON,
         .record = &f->step_to);
}

void feed_lost(Fix *f, const char *expected)
{
    FtLeaseRecord now = f->step_to;

    g_strlcpy(now.owner, "other", FT_NODE_MAX);
    now.partner[0] = 0;
    now.nonce++;
    FEED(f, expected, .type = FT_EVENT_LEASE, .result = FT_LEASE_LOST,
         .record = &now);
}

void feed_unknown(Fix *f, const char *expected)
{
    FEED(f, expected, .type = FT_EVENT_LEASE, .result = FT_LEASE_UNKNOWN,
         .text = "the storage is away");
}

void feed_read(Fix *f, guint64 generation, const char *owner,
               const char *partner, const char *expected)
{
    FtLeaseRecord now = { .generation = generation, .nonce = 77,
                          .disks = FT_LEASE_DISKS_OWN };

    g_strlcpy(now.owner, owner, FT_NODE_MAX);
    g_strlcpy(now.partner, partner, FT_NODE_MAX);
    FEED(f, expected, .type = FT_EVENT_LEASE, .result = FT_LEASE_WON,
         .record = &now);
}

void feed_timer(Fix *f, FtTimer timer, const char *expected)
{
    FEED(f, expected, .type = FT_EVENT_TIMER, .timer = timer);
}

Fix fix_make_disks(FtRole role, gboolean new_vm, FtLeaseDisks disks)
{
    FtCoreConfig config = {
        .role = role, .new_vm = new_vm, .disks = disks,
        .identity = "machine.ram=256M\nmachine.type=pc\n", .seed = 1,
    };

    g_strlcpy(config.node, role == FT_ROLE_PRIMARY ? "p" : "b", FT_NODE_MAX);
    return (Fix) { .core = ft_core_new(&config), .line = g_string_new(NULL) };
}

Fix fix_make(FtRole role, gboolean new_vm)
{
    return fix_make_disks(role, new_vm, FT_LEASE_DISKS_OWN);
}

void fix_free(Fix *f)
{
    ft_core_free(f->core);
    g_string_free(f->line, TRUE);
}

void feed_hello(Fix *f, const char *payload, const char *expected)
{
    feed_frame(f, (FtFrame) { .type = FT_FRAME_HELLO,
                              .session = f->session ? f->session : 55,
                              .generation = 1 },
               payload, strlen(payload), expected);
}

Fix primary_connected(void)
{
    Fix f = fix_make(FT_ROLE_PRIMARY, TRUE);

    FEED(&f, "acquiring/started read", .type = FT_EVENT_START);
    feed_read(&f, 0, "", "", "step:0,,>1,p,");
    feed_won(&f, "connecting/won connect");
    FEED(&f, "handshake/peer-connected hello:0", .type = FT_EVENT_CONNECTED);
    return f;
}

Fix primary_pairing(void)
{
    Fix f = primary_connected();

    feed_hello(&f, "node=b\n" HELLO_REST,
               "syncing/peer-connected begin hold:0");
    feed_held(&f, 0, "pairing/peer-connected step:1,p,>1,p,b");
    return f;
}

Fix primary_protected(void)
{
    Fix f = primary_pairing();

    feed_won(&f, "paired:0 protected/paired start");
    return f;
}

void feed_held(Fix *f, guint64 position, const char *expected)
{
    FEED(f, expected, .type = FT_EVENT_HELD, .position = position);
}

Fix backup_pairing(void)
{
    Fix f = fix_make(FT_ROLE_BACKUP, FALSE);

    FEED(&f, "listening/started", .type = FT_EVENT_START);
    FEED(&f, "handshake/peer-connected", .type = FT_EVENT_CONNECTED);
    feed_hello(&f, "node=p\n" HELLO_REST, "hello:0 pairing/peer-connected begin");
    return f;
}

void feed_paired(Fix *f, const char *partner, const char *expected)
{
    FtLeaseRecord rec = { .generation = 1, .owner = "p", .nonce = 88,
                          .disks = FT_LEASE_DISKS_OWN };
    guint8 payload[FT_LEASE_RECORD_SIZE];

    g_strlcpy(rec.partner, partner, FT_NODE_MAX);
    ft_lease_record_out(&rec, payload);
    feed_frame(f, (FtFrame) { .type = FT_FRAME_PAIRED }, payload,
               sizeof(payload), expected);
}

Fix backup_protected(void)
{
    Fix f = backup_pairing();

    feed_paired(&f, "b", "protected/paired start");
    return f;
}

void feed_log(Fix *f, guint64 position, guint32 flags,
              const char *expected)
{
    feed_frame(f, (FtFrame) { .type = FT_FRAME_LOG, .position = position,
                              .flags = flags }, "0123456789", 10, expected);
}

const char *text_of(Fix *f)
{
    FtCoreStatus status;

    ft_core_status(f->core, &status);
    return status.text;
}

void text_has(Fix *f, const char *part)
{
    if (!strstr(text_of(f), part)) {
        g_error("\"%s\" lacks \"%s\"", text_of(f), part);
    }
}
