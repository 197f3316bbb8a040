/*
 * A process: the driver of a core.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "sim.h"

guint64 sim_node_key(const SimNode *node)
{
    return node->life * SIM_NODES + node->index + 1;
}

/* Actions. */

static void new_boot(Sim *sim, SimNode *node)
{
    g_ptr_array_add(sim->boots, sim_boot_new());
    node->boot = sim->boots->len - 1;
}

/* A session: from here on this process is the one that holds the log. */
static void stream_to(SimNode *node, const SimNode *peer)
{
    node->partner = sim_node_key(peer);
    node->held = peer->loaded ? peer->base : 0;
}

static SimChannel *channel_of(Sim *sim, const SimNode *node)
{
    return node->channel < 0 ? NULL
           : g_ptr_array_index(sim->channels, node->channel);
}

static void log_begin(Sim *sim, SimNode *node)
{
    g_byte_array_set_size(node->log, 0);
    if (node->role == FT_ROLE_PRIMARY) {
        new_boot(sim, node);
        if (channel_of(sim, node)) {
            channel_of(sim, node)->boot = node->boot;
        }
        stream_to(node, &sim->nodes[node->peer]);
    }
}

static void start_guest(Sim *sim, SimNode *node)
{
    if (node->boot < 0 && node->state == FT_STATE_PROTECTED) {
        node->boot = channel_of(sim, node)->boot;
    } else if (node->boot < 0) {
        new_boot(sim, node);
    }
    node->guest = TRUE;
    sim_boot_of(sim, node)->started = TRUE;
    sim_later(sim, SIM_MS, SIM_EXECUTE, node, 0, 0, NULL);
}

/* How far outputs are behind a position: for the backup's gate. */
static guint32 held_before(const SimNode *node, guint64 position)
{
    return position - MIN(sim_machine_left(node), position);
}

/* Outputs wait from now on.  Those that left before have left. */
static void hold(Sim *sim, SimNode *node, guint64 position)
{
    if (sim->mutation != SIM_MUTATION_HOLD_LATE) {
        node->ungated = FALSE;
    }
    node->released = node->base + position;
    position = sim_machine_left(node);
    node->loose = node->base + position;
    if (sim->mutation == SIM_MUTATION_PAIR_BEHIND) {
        position = 0;
    }
    sim_later(sim, sim_between(sim, 1, SIM_MS), SIM_HELD, node, position, 0,
              NULL);
}

/* Any bytes make a frame; a transaction ends where APPENDED said so. */
static void send_log(Sim *sim, SimNode *node, guint64 from, guint64 to)
{
    FtCoreStatus status;

    ft_core_status(node->core, &status);
    while (from < to) {
        guint64 n = sim_between(sim, 1, MIN(to - from, 60));
        FtFrame frame = {
            .type = FT_FRAME_LOG,
            .flags = from + n < to ? FT_FRAME_MORE : 0,
            .session = status.session,
            .generation = status.generation,
            .position = from,
            .held = held_before(node, from),
            .length = n,
        };

        sim_net_send(sim, node, &frame, node->log->data + from);
        from += n;
    }
    if (sim->mutation == SIM_MUTATION_RELEASE_ON_SEND) {
        sim_later(sim, 1, SIM_EMIT, node, node->base + to, 0, NULL);
    }
}

static void store(SimNode *node, const FtAction *action)
{
    g_assert(action->position <= node->log->len);
    g_byte_array_set_size(node->log, action->position);
    g_byte_array_append(node->log, action->data, action->size);
}

static void commit(Sim *sim, SimNode *node, guint64 position)
{
    SimNode *primary = &sim->nodes[node->peer];

    g_assert(position <= node->log->len);
    position += node->base;
    g_assert(position >= node->committed);
    node->committed = position;
    if (sim->mutation == SIM_MUTATION_ACK_ON_HEADER) {
        position = sim_machine_executed(node);
    }
    if (primary->partner == sim_node_key(node)) {
        primary->held = MAX(primary->held, position);
    }
}

static void release(Sim *sim, SimNode *node, guint64 position)
{
    if (position != FT_POSITION_ALL) {
        position += node->base;
    }
    sim_check_release(sim, node, position);
    if (position == FT_POSITION_ALL) {
        node->ungated = TRUE;
        if (node->role == FT_ROLE_BACKUP) {
            node->role = FT_ROLE_PRIMARY;
            /* What the primary had not let out leaves now. */
            node->emit_next = sim->mutation == SIM_MUTATION_DROP_HELD
                              ? node->chain->len : node->left / SIM_ENTRY;
            sim_disk_live(sim, node);
        }
    } else {
        g_assert(position >= node->released);
        node->released = position;
    }
    sim_later(sim, sim_between(sim, 1, 2 * SIM_MS), SIM_EMIT, node, position,
              0, NULL);
}

static void state_changed(Sim *sim, SimNode *node, const FtAction *action)
{
    FtState old = node->state;

    node->state = action->state;
    sim_coverage.edges[node->role][old][action->state]++;
    sim_say(sim, node, "%s -> %s (%s: %s)", ft_core_state_name(old),
            ft_core_state_name(action->state),
            ft_core_reason_name(action->reason), action->text);
    sim_check_state(sim, node, old);
    if (action->reason == FT_REASON_PEER_SILENT &&
        old != FT_STATE_HANDSHAKE) {
        sim_coverage.silent++;
        sim_coverage.silent_soon += node->suspect_ms < FT_SILENCE_MAX_MS;
        sim_coverage.silent_hasty += sim->hasty && !sim->quiet;
    }
    if (action->state == FT_STATE_SYNCING && node->guest) {
        stream_to(node, &sim->nodes[node->peer]);
    }
    if (action->state == FT_STATE_CLAIMING &&
        sim->mutation == SIM_MUTATION_UNGATE_EARLY) {
        node->ungated = node->role == FT_ROLE_PRIMARY;
    }
    if (sim->mutation == SIM_MUTATION_HOLD_LATE &&
        action->state == FT_STATE_PROTECTED) {
        node->ungated = FALSE;
    }
    if (sim->mutation == SIM_MUTATION_RELEASE_UNKNOWN && node->guest &&
        node->role == FT_ROLE_PRIMARY) {
        node->ungated = action->state == FT_STATE_PROTECTED ? FALSE
                        : node->ungated ||
                          (action->state == FT_STATE_PAIRING &&
                           action->reason == FT_REASON_LEASE_UNREACHABLE);
    }
}

static void arm(Sim *sim, SimNode *node, const FtAction *action)
{
    guint number = ++node->armed[action->timer];
    gint64 delay = (gint64)action->delay_ms * SIM_MS;

    if (action->delay_ms == 0 ||
        (action->timer == FT_TIMER_LEASE &&
         sim->mutation == SIM_MUTATION_GIVE_UP) ||
        (action->timer == FT_TIMER_SILENCE &&
         sim->mutation == SIM_MUTATION_TRUST_CLOSE)) {
        return;
    }
    if (action->timer == FT_TIMER_SILENCE && sim->hasty && !sim->quiet) {
        delay /= sim->hasty;
    } else {
        delay += sim_between(sim, 0, 3 * SIM_MS);
    }
    sim_later(sim, delay, SIM_TIMER, node, action->timer, number, NULL);
}

/* The process ends, in order or not: nothing of it is left to happen. */
static void process_ends(Sim *sim, SimNode *node, FtActionType how)
{
    if (how == FT_ACTION_HALT &&
        sim->mutation == SIM_MUTATION_IGNORE_HALT) {
        node->ungated = TRUE;
        return;
    }
    if (how == FT_ACTION_EXIT && node->state == FT_STATE_ENDED &&
        node->ungated) {
        sim_machine_emit(sim, node, FT_POSITION_ALL);
    }
    if (how == FT_ACTION_EXIT && node->boot >= 0) {
        sim_check_exit(sim, node);
    }
    sim_check_dies(sim, node);
    sim_net_close(sim, node, SIM_CLOSE_END);
    node->alive = node->guest = FALSE;
    node->life++;
}

static void send_frame(Sim *sim, SimNode *node, const FtAction *action)
{
    FtFrame frame = action->frame;

    if (frame.type == FT_FRAME_ACK &&
        sim->mutation == SIM_MUTATION_ACK_BEFORE_APPEND) {
        FtCoreStatus status;

        ft_core_status(node->core, &status);
        frame.position = status.appended;
    }
    if (frame.type == FT_FRAME_ACK && node->boot >= 0) {
        node->acknowledged = node->base + frame.position;
    } else if (frame.type == FT_FRAME_KEEPALIVE) {
        frame.held = held_before(node, frame.position);
    }
    sim_net_send(sim, node, &frame, action->data);
}

static void act(Sim *sim, SimNode *node, const FtAction *action)
{
    switch (action->type) {
    case FT_ACTION_STATE:
        state_changed(sim, node, action);
        break;
    case FT_ACTION_CONNECT:
        sim_net_connect(sim, node);
        break;
    case FT_ACTION_CLOSE:
        sim_net_close(sim, node, SIM_CLOSE_END);
        break;
    case FT_ACTION_SEND:
        send_frame(sim, node, action);
        break;
    case FT_ACTION_SEND_LOG:
        send_log(sim, node, action->from, action->to);
        break;
    case FT_ACTION_SEND_HEARTBEAT:
        sim_net_heartbeat(sim, node, &action->heartbeat);
        break;
    case FT_ACTION_TIMER:
        arm(sim, node, action);
        break;
    case FT_ACTION_LEASE_STEP:
    case FT_ACTION_LEASE_READ:
        sim_lease_ask(sim, node, action);
        break;
    case FT_ACTION_LOG_BEGIN:
        log_begin(sim, node);
        break;
    case FT_ACTION_HOLD:
        hold(sim, node, action->position);
        break;
    case FT_ACTION_START_GUEST:
        start_guest(sim, node);
        break;
    case FT_ACTION_STORE:
        store(node, action);
        break;
    case FT_ACTION_COMMIT:
        commit(sim, node, action->position);
        break;
    case FT_ACTION_RELEASE:
        release(sim, node, action->position);
        break;
    case FT_ACTION_DRAIN:
        g_assert(node->base + action->position == node->committed);
        node->draining = TRUE;
        node->drain_to = node->committed;
        break;
    case FT_ACTION_FENCE:
        sim_fence_ask(sim, node);
        break;
    case FT_ACTION_LOG_TRIM:
    case FT_ACTION_ANNOUNCE:
    case FT_ACTION_SINK_EMPTY:
        break;
    case FT_ACTION_HALT:
    case FT_ACTION_EXIT:
        process_ends(sim, node, action->type);
        break;
    }
}

/* The event that the rest follows from is over. */
static void keep_rest(SimNode *node)
{
    for (guint i = 0; i < node->rest->len; i++) {
        FtAction *action = &g_array_index(node->rest, FtAction, i);

        action->data = g_memdup2(action->data, action->size);
        g_ptr_array_add(node->rest_data, (gpointer)action->data);
    }
}

static gboolean stopped_now(SimNode *node)
{
    return node->stop_in && --node->stop_in == 0;
}

/*
 * Carries out what the core said, or a part of it: a process may be stopped
 * anywhere.  Nothing else happens to it before it has done the rest.
 */
static void act_all(Sim *sim, SimNode *node, gboolean whole)
{
    while (node->rest->len && node->alive) {
        FtAction action = g_array_index(node->rest, FtAction, 0);

        if (!whole && stopped_now(node)) {
            sim_say(sim, node, "is stopped amid its actions");
            sim_coverage.stops++;
            node->paused_until = sim->now +
                                 sim_between(sim, 10, 3500) * SIM_MS;
            keep_rest(node);
            sim_later(sim, 0, SIM_RESUME, node, 0, 0, NULL);
            return;
        }
        g_array_remove_index(node->rest, 0);
        act(sim, node, &action);
    }
}

/* 7: whoever hears nothing suspects, sooner or later. */
static void count_silence(Sim *sim, SimNode *node)
{
    FtCoreStatus status;

    ft_core_status(node->core, &status);
    node->suspect_ms = status.suspect_ms;
    node->silent_ticks++;
    if (status.suspect_ms && node->silent_ticks * FT_SILENCE_TICK_MS >
        FT_SILENCE_BACKUP_MS(FT_SILENCE_MAX_MS) + FT_SILENCE_TICK_MS) {
        sim_violate(sim, 7, "%s heard nothing for %u ms and suspects nobody",
                    node->name, node->silent_ticks * FT_SILENCE_TICK_MS);
    }
}

/* As ft/driver.c: progress is told with what makes an acknowledgement. */
static void tell_executed(Sim *sim, SimNode *node)
{
    sim_node_event(sim, node, &(FtEvent) {
        .type = FT_EVENT_EXECUTED,
        .position = MAX(sim_machine_executed(node), node->base) - node->base,
        .icount = node->chain->len });
}

void sim_node_event(Sim *sim, SimNode *node, const FtEvent *event)
{
    const FtAction *actions;
    guint count;

    if (node->alive && node->rest->len) {
        return;                         /* nobody can tell it anything now */
    }
    if (event->type == FT_EVENT_IDLE || event->type == FT_EVENT_TIMER) {
        tell_executed(sim, node);
    }
    if (!node->alive || sim->violated) {
        return;
    }
    if (event->type == FT_EVENT_FRAME || event->type == FT_EVENT_HEARTBEAT) {
        node->silent_ticks = 0;
    } else if (event->type == FT_EVENT_TIMER &&
               event->timer == FT_TIMER_SILENCE) {
        count_silence(sim, node);
    }
    sim_coverage.events++;
    actions = ft_core_event(node->core, event, &count);
    g_array_set_size(node->rest, 0);
    g_array_append_vals(node->rest, actions, count);
    act_all(sim, node, event->type == FT_EVENT_EXECUTED);
}

static void lease_answer(Sim *sim, SimNode *node, SimRequest *request)
{
    if (request->result == FT_LEASE_UNKNOWN && !request->read &&
        sim->mutation == SIM_MUTATION_UNKNOWN_LOST) {
        request->result = FT_LEASE_LOST;
    }
    if (request->result == FT_LEASE_UNKNOWN && !request->read &&
        sim->mutation == SIM_MUTATION_GUESS_WON) {
        request->result = FT_LEASE_WON;
        request->now = request->to;
    }
    if (request->read && request->now.generation &&
        ((node->role == FT_ROLE_BACKUP &&
          sim->mutation == SIM_MUTATION_PAIR_BY_MESSAGE) ||
         (node->role == FT_ROLE_PRIMARY &&
          sim->mutation == SIM_MUTATION_START_ANYWHERE))) {
        g_strlcpy(request->now.partner, node->name, FT_NODE_MAX);
    }
    sim_node_event(sim, node, &(FtEvent) {
        .type = FT_EVENT_LEASE, .result = request->result,
        .record = &request->now, .text = "storage did not answer" });
}

void sim_node_happens(Sim *sim, SimNode *node, const SimEvent *event)
{
    switch (event->what) {
    case SIM_START:
        sim_node_event(sim, node, &(FtEvent) { .type = FT_EVENT_START });
        break;
    case SIM_TIMER:
        if (event->b == node->armed[event->a]) {
            sim_node_event(sim, node, &(FtEvent) {
                .type = FT_EVENT_TIMER, .timer = event->a });
        }
        break;
    case SIM_CONNECT:
        sim_net_connect_arrives(sim, node);
        break;
    case SIM_DELIVER:
        sim_net_deliver(sim, node, event->a);
        break;
    case SIM_DATAGRAM:
        sim_net_datagram(sim, node, event->data);
        break;
    case SIM_LEASE_ANSWER:
        lease_answer(sim, node, event->data);
        break;
    case SIM_WRITE_SEND:
    case SIM_WRITE_DONE:
    case SIM_FENCED:
        sim_disk_happens(sim, node, event);
        break;
    case SIM_RESUME:
        act_all(sim, node, FALSE);
        break;
    case SIM_EXECUTE:
        sim_machine_execute(sim, node);
        break;
    case SIM_EMIT:
        sim_machine_emit(sim, node, node->ungated ? FT_POSITION_ALL
                        : event->a == FT_POSITION_ALL ? node->released
                                                      : event->a);
        break;
    case SIM_HELD:
        sim_node_event(sim, node, &(FtEvent) {
            .type = FT_EVENT_HELD, .position = event->a });
        break;
    case SIM_LOADED:
        sim_state_loaded(sim, node, event->data);
        break;
    case SIM_STATE_LOST:
        sim_state_lost(sim, node);
        break;
    case SIM_WRITE_ARRIVE:
    case SIM_WRITE_LAND:
    case SIM_FENCE_ARRIVE:
    case SIM_LEASE_ARRIVE:
    case SIM_FAULT:
        g_assert_not_reached();
    }
}
