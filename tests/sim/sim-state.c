/*
 * A running machine's state on its way to a new backup, and the operator
 * who wants each VM protected.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "sim.h"

/* Flat: who gets an event's data frees it. */
typedef struct SimState {
    guint64 id;
    gint8 from;
    guint from_life;
    gint boot;
    guint entries;
    guint completed[SIM_BLOCKS];
    guint pending;
    guint64 chain[];            /* and then the pending writes */
} SimState;

static SimState *state_take(Sim *sim, const SimNode *node)
{
    gsize size = node->chain->len * sizeof(guint64);
    gsize pending = node->pending->len * sizeof(SimRequestWrite);
    SimState *state = g_malloc0(sizeof(*state) + size + pending);

    state->id = sim->numbers + 1;
    state->from = node->index;
    state->from_life = node->life;
    state->boot = node->boot;
    state->entries = node->chain->len;
    memcpy(state->chain, node->chain->data, size);
    memcpy(state->completed, node->completed, sizeof(state->completed));
    state->pending = node->pending->len;
    memcpy(state->chain + state->entries, node->pending->data, pending);
    if (sim->mutation == SIM_MUTATION_WRONG_STATE && state->entries) {
        state->chain[state->entries - 1]++;
    }
    return state;
}

/* The device's requests in flight are part of the state. */
static void load_disk(Sim *sim, SimNode *node, const SimState *state)
{
    const SimRequestWrite *pending =
        (const SimRequestWrite *)(state->chain + state->entries);

    memcpy(node->completed, state->completed, sizeof(node->completed));
    if (sim->mutation == SIM_MUTATION_FORGET_PENDING) {
        return;
    }
    for (guint i = 0; i < state->pending; i++) {
        sim_disk_submit(sim, node, pending[i].entry, pending[i].value);
    }
}

static void start_backup(Sim *sim, SimNode *node, const SimState *state)
{
    node->boot = state->boot;
    node->base = node->committed = node->left =
        (guint64)state->entries * SIM_ENTRY;
    node->emit_next = state->entries;
    sim_node_event(sim, node, &(FtEvent) {
        .type = FT_EVENT_START, .state_id = state->id });
}

void sim_state_loaded(Sim *sim, SimNode *node, gconstpointer data)
{
    const SimState *state = data;
    const SimNode *from = &sim->nodes[state->from];
    gboolean early = sim->mutation == SIM_MUTATION_PAIR_BEFORE_STATE;

    if (!from->alive || from->life != state->from_life) {
        if (!early) {
            sim_say(sim, node, "its state does not come any more");
            sim_node_kill(sim, node);
        }
        return;
    }
    g_array_append_vals(node->chain, state->chain, state->entries);
    load_disk(sim, node, state);
    node->loaded = TRUE;
    if (!early) {
        start_backup(sim, node, state);
    }
}

void sim_state_lost(Sim *sim, SimNode *node)
{
    sim_node_event(sim, node, &(FtEvent) {
        .type = FT_EVENT_PROTECT_FAILED, .text = "the stream broke" });
}

/* A log begins here, and the state goes to a process that waits for it. */
static void protect(Sim *sim, SimNode *node, SimNode *backup)
{
    gint64 delay = sim_between(sim, 1, sim_chance(sim, 50) ? 5 * SIM_MS
                                                           : 600 * SIM_MS);
    SimState *state = state_take(sim, node);

    sim_say(sim, node, "protect it by %s, from entry %u on", backup->name,
            state->entries);
    sim_node_load(sim, backup, SIM_IDENTITY);
    node->base = node->released = (guint64)state->entries * SIM_ENTRY;
    g_byte_array_set_size(node->log, 0);
    node->target = backup->index;
    node->partner = node->held = 0;
    if (sim->mutation == SIM_MUTATION_PAIR_BEFORE_STATE) {
        start_backup(sim, backup, state);
    }
    sim_node_event(sim, node, &(FtEvent) {
        .type = FT_EVENT_CMD_PROTECT, .state_id = state->id });
    if (sim->quiet || sim_chance(sim, 85)) {
        sim_later(sim, delay, SIM_LOADED, backup, 0, 0, state);
    } else {
        sim_node_kill(sim, backup);
        sim_later(sim, delay, SIM_STATE_LOST, node, 0, 0, state);
    }
}

static SimNode *any_node(Sim *sim, gboolean want(const SimNode *node))
{
    guint first = sim_between(sim, 0, SIM_NODES - 1);

    for (guint i = 0; i < SIM_NODES; i++) {
        SimNode *node = &sim->nodes[(first + i) % SIM_NODES];

        if (want(node)) {
            return node;
        }
    }
    return NULL;
}

static gboolean can_protect(const SimNode *node)
{
    const char *why;

    return node->alive && node->state != FT_STATE_INIT && node->guest &&
           ft_core_can(node->core, FT_EVENT_CMD_PROTECT, &why);
}

static gboolean is_free(const SimNode *node)
{
    return !node->alive;
}

/* Its backup died before it answered.  A person sees that. */
static void call_off(Sim *sim)
{
    for (guint i = 0; i < SIM_NODES; i++) {
        SimNode *node = &sim->nodes[i];

        if (node->alive && node->guest && node->paused_until <= sim->now &&
            node->state == FT_STATE_CONNECTING &&
            !sim->nodes[node->target].alive) {
            sim_node_event(sim, node, &(FtEvent) {
                .type = FT_EVENT_CMD_STOP });
        }
    }
}

void sim_state_operator(Sim *sim)
{
    SimNode *node, *backup;

    call_off(sim);
    node = any_node(sim, can_protect);
    backup = any_node(sim, is_free);
    if (node && backup && node->paused_until <= sim->now) {
        protect(sim, node, backup);
    }
}
