/*
 * Any event in any state: no sequence that a driver may feed, with a peer
 * that sends what it likes, aborts the core or makes it leave its table.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "core-fix.h"

enum { RUNS = 10000, EVENTS = 300, STATE_ID = 7 };

typedef struct Any {
    FtCore *core;
    gboolean lease_asked, read, fence_asked;
    FtLeaseRecord to;
    guint64 session, appended;
    gboolean guest, ended;
} Any;

static gboolean chance(guint percent)
{
    return g_test_rand_int_range(0, 100) < (gint)percent;
}

static void act(Any *any, const FtAction *action)
{
    switch (action->type) {
    case FT_ACTION_LEASE_READ:
    case FT_ACTION_LEASE_STEP:
        g_assert_false(any->lease_asked);
        any->lease_asked = TRUE;
        any->read = action->type == FT_ACTION_LEASE_READ;
        any->to = action->to_record;
        break;
    case FT_ACTION_FENCE:
        g_assert_false(any->fence_asked || any->lease_asked);
        any->fence_asked = TRUE;
        break;
    case FT_ACTION_LOG_BEGIN:
        any->appended = 0;
        break;
    case FT_ACTION_START_GUEST:
        g_assert_false(any->fence_asked);
        any->guest = TRUE;
        break;
    case FT_ACTION_SEND:
        any->session = action->frame.session;
        g_assert_cmpuint(action->size, ==, action->frame.length);
        break;
    case FT_ACTION_RELEASE:
        g_assert_false(any->ended || any->fence_asked);
        break;
    case FT_ACTION_HALT:
    case FT_ACTION_EXIT:
        any->ended = TRUE;
        break;
    default:
        break;
    }
}

static void feed_any(Any *any, const FtEvent *event)
{
    const FtAction *actions;
    guint count;

    actions = ft_core_event(any->core, event, &count);
    for (guint i = 0; i < count; i++) {
        act(any, &actions[i]);
    }
}

static void fence_any(Any *any)
{
    FtEvent event = { .type = FT_EVENT_FENCED,
                      .result = chance(70) ? FT_LEASE_WON
                                : chance(90) ? FT_LEASE_UNKNOWN
                                             : FT_LEASE_LOST };

    any->fence_asked &= event.result == FT_LEASE_UNKNOWN;
    feed_any(any, &event);
}

static FtLeaseRecord record_any(Any *any)
{
    static const char *const names[] = { "", "p", "b", "other" };
    FtLeaseRecord rec = any->to;

    if (any->read || chance(20)) {
        rec = (FtLeaseRecord) {
            .generation = g_test_rand_int_range(0, 4), .nonce = 7,
            .disks = FT_LEASE_DISKS_OWN,
        };
        g_strlcpy(rec.owner, names[g_test_rand_int_range(1, 4)], FT_NODE_MAX);
        g_strlcpy(rec.partner, names[g_test_rand_int_range(0, 4)],
                  FT_NODE_MAX);
    }
    return rec;
}

static void lease_any(Any *any)
{
    FtLeaseRecord rec = record_any(any);
    FtEvent event = { .type = FT_EVENT_LEASE, .record = &rec };

    event.result = any->read ? (chance(80) ? FT_LEASE_WON : FT_LEASE_UNKNOWN)
                             : chance(70) ? FT_LEASE_WON
                             : (FtLeaseResult)g_test_rand_int_range(1, 3);
    if (event.result == FT_LEASE_UNKNOWN) {
        event.record = NULL;
        event.text = "away";
    }
    any->lease_asked = FALSE;
    feed_any(any, &event);
}

/* The type that this state waits for, so that runs get far. */
static FtFrameType type_any(const FtCore *core)
{
    if (chance(40)) {
        return g_test_rand_int_range(1, 10);
    }
    if (core->state == FT_STATE_HANDSHAKE) {
        return FT_FRAME_HELLO;
    }
    if (core->role == FT_ROLE_PRIMARY) {
        return FT_FRAME_ACK;
    }
    return core->state == FT_STATE_PAIRING && chance(60) ? FT_FRAME_PAIRED
                                                         : FT_FRAME_LOG;
}

static void frame_any(Any *any)
{
    static const char *const hellos[] = {
        "node=p\n" HELLO_REST, "node=b\n" HELLO_REST, "node=\n", "\xff", "",
        "node=x\n" HELLO_ZERO "machine.ram=1\n",
        "node=p\n" HELLO_STATE, "node=b\n" HELLO_STATE,
    };
    guint8 data[FT_LEASE_RECORD_SIZE] = { 0 };
    FtFrame frame = {
        .type = type_any(any->core),
        .session = chance(95) && any->session ? any->session
                   : (guint64)g_test_rand_int_range(0, 3),
        .generation = chance(95) ? any->core->session_generation : 9,
        .position = chance(70) ? any->core->received
                    : (guint64)g_test_rand_int_range(0, 64),
        .flags = g_test_rand_int_range(0, 4),
    };
    FtEvent event = { .type = FT_EVENT_FRAME, .frame = &frame, .data = data,
                      .size = g_test_rand_int_range(0, 40) };

    if (frame.type == FT_FRAME_HELLO) {
        guint right = !strcmp(any->core->config.node, "p");
        const char *hello = hellos[chance(60)
                                   ? right + (any->core->state_id ? 6 : 0)
                                   : (guint)g_test_rand_int_range(0, 8)];

        event.data = (const guint8 *)hello;
        event.size = strlen(hello);
    } else if (frame.type == FT_FRAME_PAIRED) {
        FtLeaseRecord rec = { .generation = frame.generation, .owner = "p",
                              .partner = "b", .nonce = 1,
                              .disks = FT_LEASE_DISKS_OWN };

        ft_lease_record_out(&rec, data);
        event.size = chance(90) ? sizeof(data) : 3;
    } else if (frame.type == FT_FRAME_ACK) {
        if (chance(70)) {               /* an honest one */
            FtAck ack = { .executed = any->core->sent,
                          .icount = any->core->sent };

            ft_wire_ack_out(&ack, data);
        }
        frame.position = chance(80) ? any->core->sent : frame.position;
        event.size = chance(95) ? FT_ACK_SIZE : 1;
    }
    frame.length = event.size;
    feed_any(any, &event);
}

static void event_any(Any *any)
{
    FtHeartbeat heartbeat = { .session = any->session,
                              .role = g_test_rand_int_range(1, 3) };
    FtEvent event = { .type = g_test_rand_int_range(FT_EVENT_CONNECTED,
                                                    FT_EVENT_PROTECT_FAILED +
                                                    1) };
    const char *why;

    switch (event.type) {
    case FT_EVENT_FRAME:
        frame_any(any);
        return;
    case FT_EVENT_FENCED:
        fence_any(any);                 /* asked for or not */
        return;
    case FT_EVENT_LEASE:
        if (any->lease_asked) {
            lease_any(any);
        }
        return;
    case FT_EVENT_FAIL:
    case FT_EVENT_CMD_END:
        if (!chance(5)) {
            return;
        }
        event.position = any->appended;
        break;
    case FT_EVENT_CMD_PROTECT:
        if (ft_core_can(any->core, event.type, &why)) {
            any->appended = 0;
        }
        event.state_id = STATE_ID;
        break;
    case FT_EVENT_HELD:
        event.position = g_test_rand_int_range(0, 40);
        break;
    case FT_EVENT_HEARTBEAT:
        event.heartbeat = &heartbeat;
        break;
    case FT_EVENT_TIMER:
        event.timer = g_test_rand_int_range(0, FT_TIMER__MAX);
        break;
    case FT_EVENT_APPENDED:
        if (!any->guest) {
            return;                     /* nothing was executed */
        }
        event.position = any->appended += g_test_rand_int_range(0, 20);
        break;
    case FT_EVENT_EXECUTED:
        event.position = g_test_rand_int_range(0, 64);
        break;
    default:
        break;
    }
    feed_any(any, &event);
}

static void test_any(void)
{
    guint reached[FT_STATE__MAX] = { 0 };

    for (guint run = 0; run < RUNS; run++) {
        FtRole role = run % 2 ? FT_ROLE_PRIMARY : FT_ROLE_BACKUP;
        Fix f = fix_make_disks(role, chance(60),
                               chance(50) ? FT_LEASE_DISKS_OWN
                                          : FT_LEASE_DISKS_SHARED);
        Any any = { .core = f.core };

        feed_any(&any, &(FtEvent) {
            .type = FT_EVENT_START,
            .state_id = role == FT_ROLE_BACKUP && chance(50) ? STATE_ID : 0 });
        for (guint i = 0; i < EVENTS && !any.ended; i++) {
            /* Half the time what leads on. */
            if (any.lease_asked && chance(30)) {
                lease_any(&any);
            } else if (!any.core->channel && chance(30)) {
                feed_any(&any, &(FtEvent) {
                    .type = any.core->state == FT_STATE_DRAINING
                            ? FT_EVENT_DRAINED : FT_EVENT_CONNECTED });
            } else if (any.core->holds && chance(50)) {
                feed_any(&any, &(FtEvent) { .type = FT_EVENT_HELD });
            } else if (chance(50)) {
                frame_any(&any);
            } else {
                event_any(&any);
            }
            reached[any.core->state]++;
        }
        fix_free(&f);
    }
    for (guint state = FT_STATE_ACQUIRING; state < FT_STATE__MAX; state++) {
        g_assert_cmpuint(reached[state], >, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/any", test_any);
    return g_test_run();
}
