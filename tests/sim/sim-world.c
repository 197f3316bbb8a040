/*
 * A run: the queue of what happens next, and the faults.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>

#include "sim.h"

SimCoverage sim_coverage;

typedef enum SimFault {
    FAULT_KILL,
    FAULT_PAUSE,
    FAULT_CUT_CHANNEL,
    FAULT_CUT_ONE_WAY,
    FAULT_CUT_DATAGRAMS,
    FAULT_CUT_ALL,
    FAULT_RESET,
    FAULT_LEASE_AWAY,
    FAULT_FAIL,
    FAULT_DAMAGE,
    FAULT_FAILOVER,
    FAULT_STOP,
    FAULT_END,
    FAULT_RETARGET,
    FAULT_RESTART,
    FAULT_STOP_AMID,
    FAULT__MAX,
    FAULT_HEAL,
    FAULT_QUIET,
    FAULT_OPERATOR,             /* none: somebody looks after the VM */
} SimFault;

static const char *const fault_names[] = {
    "kill", "pause", "cut channel", "cut channel one way", "cut datagrams",
    "cut all", "reset", "lease away", "fail", "damage", "failover", "stop",
    "end", "retarget", "restart", "stop amid", "", "heal", "quiet", "",
};

void sim_say(Sim *sim, const SimNode *node, const char *fmt, ...)
{
    va_list ap;

    if (!sim->verbose) {
        return;
    }
    printf("%9.3f ms  %-6s", sim->now / 1000.0, node ? node->name : "");
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

gboolean sim_chance(Sim *sim, guint percent)
{
    return percent && g_rand_int_range(sim->rand, 0, 100) < (gint)percent;
}

/* Both ends included. */
gint64 sim_between(Sim *sim, gint64 low, gint64 high)
{
    return low >= high ? low : g_rand_int_range(sim->rand, low, high + 1);
}

/* The queue. */

static gboolean event_before(const SimEvent *a, const SimEvent *b)
{
    return a->at < b->at || (a->at == b->at && a->number < b->number);
}

static void queue_put(Sim *sim, const SimEvent *event)
{
    guint i = sim->queue->len;
    SimEvent *heap;

    g_array_append_val(sim->queue, *event);
    heap = (SimEvent *)sim->queue->data;
    while (i && event_before(event, &heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = *event;
}

static SimEvent queue_take(Sim *sim)
{
    SimEvent *heap = (SimEvent *)sim->queue->data;
    SimEvent first = heap[0], last = heap[sim->queue->len - 1];
    guint n = sim->queue->len - 1, i = 0;

    for (;;) {
        guint child = 2 * i + 1;

        if (child + 1 < n && event_before(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (child >= n || !event_before(&heap[child], &last)) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    g_array_set_size(sim->queue, n);
    return first;
}

void sim_later(Sim *sim, gint64 delay, SimWhat what, const SimNode *node,
               guint64 a, guint64 b, gpointer data)
{
    queue_put(sim, &(SimEvent) {
        .at = sim->now + MAX(delay, 0), 
        /* A stopped process first does what it was about to do. */
        .number = what == SIM_RESUME ? 0 : ++sim->numbers, .what = what, .node = node ? node->index : -1,
        .life = node ? node->life : 0, .a = a, .b = b, .data = data });
}

/* Faults. */

static void fault_later(Sim *sim, gint64 delay, SimFault fault, guint64 b)
{
    sim_later(sim, delay, SIM_FAULT, NULL, fault, b, NULL);
}

static void heal(Sim *sim)
{
    sim->datagrams_cut = FALSE;
    sim_net_cut(sim, FALSE, FALSE);
    if (sim_chance(sim, 40)) {
        sim_net_reset_all(sim);
    }
}

static const char other_identity[] = "machine.ram=512M\nmachine.type=pc\n";

/* A machine whose process ended starts it again. */
static void restart(Sim *sim, SimNode *node)
{
    if (!node->alive) {
        gboolean primary = sim_chance(sim, 50);

        /* Its disk may be old: only the lease knows. */
        sim_say(sim, node, "is started as %s", primary ? "primary" : "backup");
        sim->ended = TRUE;
        sim_node_start(sim, node, primary ? FT_ROLE_PRIMARY : FT_ROLE_BACKUP,
                       FALSE, SIM_IDENTITY);
    }
}

static void command(Sim *sim, SimNode *node, FtEventType type)
{
    const char *why;

    if (!node->alive || node->paused_until > sim->now ||
        !ft_core_can(node->core, type, &why)) {
        return;
    }
    if (type == FT_EVENT_CMD_END) {
        /* The end of the VM, or of a process that was needed. */
        sim->ended |= node->role == FT_ROLE_PRIMARY ||
                      node->state != FT_STATE_PROTECTED;
        sim->fatal++;
        node->off = node->role == FT_ROLE_PRIMARY;
        if (sim_chance(sim, 20)) {
            fault_later(sim, sim_between(sim, 0, 100) * SIM_MS, FAULT_FAIL, 0);
        }
    }
    sim_node_event(sim, node, &(FtEvent) {
        .type = type, .position = node->log->len });
}

/* What waits for a paused process happens now. */
static void wake_all(Sim *sim)
{
    GArray *waiting = sim->queue;

    sim->queue = g_array_new(FALSE, FALSE, sizeof(SimEvent));
    for (guint i = 0; i < waiting->len; i++) {
        SimEvent *event = &g_array_index(waiting, SimEvent, i);

        if (event->node >= 0 &&
            (event->what == SIM_RESUME ||
             event->at == sim->nodes[event->node].paused_until)) {
            event->at = sim->now;
        }
        queue_put(sim, event);
    }
    g_array_free(waiting, TRUE);
    for (guint i = 0; i < SIM_NODES; i++) {
        sim->nodes[i].stop_in = 0;
        sim->nodes[i].paused_until = MIN(sim->nodes[i].paused_until, sim->now);
    }
}

static void quiet(Sim *sim)
{
    sim->quiet = TRUE;
    sim->lease_away_until = 0;
    sim->datagram_loss_percent = 0;
    sim->corrupt_next = 0;
    wake_all(sim);
    heal(sim);
}

static void fault_channel(Sim *sim, SimFault fault)
{
    if (fault == FAULT_CUT_DATAGRAMS || fault == FAULT_CUT_ALL) {
        sim->datagrams_cut = TRUE;
    }
    if (fault != FAULT_CUT_DATAGRAMS) {
        sim_net_cut(sim, TRUE, fault == FAULT_CUT_ONE_WAY);
    }
    fault_later(sim, sim_between(sim, 10, 3000) * SIM_MS, FAULT_HEAL, 0);
}

static void fault_node(Sim *sim, SimFault fault, SimNode *node)
{
    gint64 until;

    if (!node->alive) {
        if (fault == FAULT_RESTART) {
            restart(sim, node);
        }
        return;
    }
    switch (fault) {
    case FAULT_KILL:
        sim->fatal++;
        sim_node_kill(sim, node);
        break;
    case FAULT_PAUSE:
        until = sim->now + sim_between(sim, 10, 3500) * SIM_MS;
        node->paused_until = MAX(node->paused_until, until);
        break;
    case FAULT_STOP_AMID:
        node->stop_in = sim_between(sim, 1, 60);
        break;
    case FAULT_FAIL:
        if (node->paused_until > sim->now) {
            break;
        }
        sim->fatal++;
        sim_node_event(sim, node, &(FtEvent) {
            .type = FT_EVENT_FAIL, .text = "the machine diverged" });
        break;
    case FAULT_FAILOVER:
        command(sim, node, FT_EVENT_CMD_FAILOVER);
        break;
    case FAULT_STOP:
        command(sim, node, FT_EVENT_CMD_STOP);
        break;
    case FAULT_END:
        command(sim, node, FT_EVENT_CMD_END);
        break;
    default:
        break;
    }
}

static void fault(Sim *sim, SimFault what)
{
    SimNode *node = &sim->nodes[sim_between(sim, 0, SIM_NODES - 2 +
                                            sim->operator)];

    if (what != FAULT_OPERATOR) {
        sim_say(sim, what < FAULT__MAX ? node : NULL, "fault: %s",
                fault_names[what]);
    }
    switch (what) {
    case FAULT_CUT_CHANNEL:
    case FAULT_CUT_ONE_WAY:
    case FAULT_CUT_DATAGRAMS:
    case FAULT_CUT_ALL:
        fault_channel(sim, what);
        break;
    case FAULT_RESET:
        sim_net_reset_all(sim);
        break;
    case FAULT_LEASE_AWAY:
        sim->lease_away_until = sim->now +
                                sim_between(sim, 10, 3000) * SIM_MS;
        break;
    case FAULT_DAMAGE:
        sim->corrupt_next = sim_between(sim, 1, 5);
        break;
    case FAULT_RETARGET:
        sim->target = sim_between(sim, 1, SIM_NODES - 1);
        break;
    case FAULT_HEAL:
        heal(sim);
        break;
    case FAULT_QUIET:
        quiet(sim);
        break;
    case FAULT_OPERATOR:
        sim_state_operator(sim);
        fault_later(sim, sim_between(sim, 20, 800) * SIM_MS, FAULT_OPERATOR,
                    0);
        break;
    default:
        fault_node(sim, what, node);
        break;
    }
}

/* A seed's world: how fast, how bad, and which faults may come. */
static void faults_plan(Sim *sim)
{
    static const guint delays[] = { 200, 2 * SIM_MS, 30 * SIM_MS };
    guint faults = sim_between(sim, 0, sim->operator ? 9 : 5);
    guint32 kinds = g_rand_int(sim->rand) | g_rand_int(sim->rand);

    sim->channel_delay_us = delays[sim_between(sim, 0, 2)];
    sim->datagram_delay_us = 1 + sim_between(sim, 0, 150) * SIM_MS;
    sim->datagram_loss_percent = sim_chance(sim, 50)
                                 ? sim_between(sim, 0, 60) : 0;
    sim->lease_delay_us = delays[sim_between(sim, 0, 2)] * 3;
    sim->lease_unknown_percent = sim_chance(sim, 60)
                                 ? sim_between(sim, 1, 50) : 0;
    sim->fence_delay_us = sim_chance(sim, 30) ? 1500 * SIM_MS
                                              : sim->lease_delay_us;
    sim->disk_delay_us = delays[sim_between(sim, 0, 2)];
    sim->disk_late_percent = sim_chance(sim, 60) ? sim_between(sim, 1, 30)
                                                 : 0;
    while (faults) {
        SimFault what = sim_between(sim, 0, FAULT__MAX - 1);

        if (kinds & (1u << what)) {
            /* Early ones meet the handshake and the pairing. */
            fault_later(sim, sim_chance(sim, 30)
                        ? sim_between(sim, 1, 200 * SIM_MS)
                        : sim_between(sim, 1, SIM_FAULTS_MS * SIM_MS), what,
                        0);
            faults--;
        }
    }
    fault_later(sim, SIM_FAULTS_MS * SIM_MS, FAULT_QUIET, 0);
    if (sim->operator) {
        fault_later(sim, 100 * SIM_MS, FAULT_OPERATOR, 0);
    }
}

/* The run. */

static gboolean settled(const Sim *sim)
{
    if (sim->operator && !sim->ended) {
        return FALSE;
    }
    for (guint i = 0; i < SIM_NODES; i++) {
        const SimNode *node = &sim->nodes[i];

        if (node->alive && node->state != FT_STATE_ALONE &&
            node->state != FT_STATE_LISTENING) {
            return FALSE;
        }
    }
    return TRUE;
}

static void happens(Sim *sim, SimEvent *event)
{
    SimNode *node = event->node >= 0 ? &sim->nodes[event->node] : NULL;

    if (!node) {
        if (event->what == SIM_FAULT) {
            fault(sim, event->a);
        } else if (event->what != SIM_LEASE_ARRIVE) {
            sim_disk_happens(sim, NULL, event);
        } else {
            sim_lease_arrives(sim, event->data);
        }
    } else if (node->alive && node->life == event->life) {
        if (node->paused_until > sim->now) {
            /* It happens to the process when that goes on. */
            event->at = node->paused_until;
            queue_put(sim, event);
            return;
        }
        sim_node_happens(sim, node, event);
    }
    g_free(event->data);
}

static Sim *sim_new(guint64 seed, SimMutation mutation, gboolean verbose)
{
    static const char *const names[SIM_NODES] = { "a", "b", "c" };
    guint32 seeds[2] = { seed, seed >> 32 };
    Sim *sim = g_new0(Sim, 1);

    sim->seed = seed;
    sim->mutation = mutation;
    sim->verbose = verbose;
    sim->rand = g_rand_new_with_seed_array(seeds, 2);
    sim->queue = g_array_new(FALSE, FALSE, sizeof(SimEvent));
    sim->lease_history = g_array_new(FALSE, FALSE, sizeof(FtLeaseRecord));
    sim->channels = g_ptr_array_new();
    sim->boots = g_ptr_array_new_with_free_func(sim_boot_free);
    sim->live = g_hash_table_new(NULL, NULL);
    sim->target = 1;
    for (guint i = 0; i < SIM_BLOCKS; i++) {
        sim->disk.blocks[i].boot = -1;
    }
    for (guint i = 0; i < SIM_NODES; i++) {
        sim->nodes[i].index = i;
        sim->nodes[i].name = names[i];
        sim->nodes[i].channel = -1;
    }
    return sim;
}

static void stranger_start(Sim *sim)
{
    gboolean primary = sim_chance(sim, 30);

    sim_node_start(sim, &sim->nodes[2],
                   primary ? FT_ROLE_PRIMARY : FT_ROLE_BACKUP, FALSE,
                   sim_chance(sim, 30) ? other_identity : SIM_IDENTITY);
    sim->nodes[2].paused_until = primary ? 300 * SIM_MS : 0;
}

Sim *sim_run(guint64 seed, SimMutation mutation, gboolean verbose)
{
    Sim *sim = sim_new(seed, mutation, verbose);
    gint64 settled_at = -1;

    sim->operator = sim_chance(sim, 50);
    sim->shared = sim_chance(sim, 50);
    sim->hasty = sim_chance(sim, 20) ? sim_between(sim, 2, 20) : 0;
    faults_plan(sim);
    sim_node_start(sim, &sim->nodes[0], FT_ROLE_PRIMARY, TRUE, SIM_IDENTITY);
    sim_node_start(sim, &sim->nodes[1], FT_ROLE_BACKUP, FALSE, SIM_IDENTITY);
    if (sim_chance(sim, 40)) {
        stranger_start(sim);
    }
    while (!sim->violated && sim->queue->len) {
        SimEvent event = queue_take(sim);

        sim->now = event.at;
        happens(sim, &event);
        if (!sim->quiet || !settled(sim)) {
            settled_at = -1;
        } else if (settled_at < 0) {
            settled_at = sim->now;
        }
        if (sim->now >= SIM_END_MS * SIM_MS ||
            (settled_at >= 0 && sim->now > settled_at + 300 * SIM_MS)) {
            break;
        }
    }
    if (!sim->violated) {
        sim_check_end(sim);
    }
    return sim;
}

void sim_free(Sim *sim)
{
    for (guint i = 0; i < sim->queue->len; i++) {
        g_free(g_array_index(sim->queue, SimEvent, i).data);
    }
    for (guint i = 0; i < SIM_NODES; i++) {
        sim_node_clear(&sim->nodes[i]);
    }
    sim_net_free(sim);
    g_array_free(sim->queue, TRUE);
    g_array_free(sim->lease_history, TRUE);
    g_ptr_array_free(sim->boots, TRUE);
    g_hash_table_destroy(sim->live);
    g_rand_free(sim->rand);
    g_free(sim->violation);
    g_free(sim);
}
