/*
 * The toy machine.
 *
 * Its state is a hash chain: each log entry is an input that nothing
 * determines, and the state after it follows from the state before and that
 * input.  Some states are outputs: determined by the state, as a real
 * machine's are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "sim.h"

static guint64 mix(guint64 a, guint64 b)
{
    guint64 z = (a ^ b) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 29)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    return (z ^ (z >> 32)) | 1;
}

guint64 sim_machine_executed(const SimNode *node)
{
    return (guint64)node->chain->len * SIM_ENTRY;
}

/* input[0] of an entry that says that the write of entry input[1] is done. */
#define COMPLETION (G_GUINT64_CONSTANT(1) << 63)

static void execute_entry(Sim *sim, SimNode *node, const guint8 *entry)
{
    guint64 before = 0, input[2];
    gboolean completion;

    memcpy(input, entry, SIM_ENTRY);
    completion = sim->shared && (input[0] & COMPLETION);
    if (node->chain->len) {
        before = g_array_index(node->chain, guint64, node->chain->len - 1);
    }
    before = mix(mix(before, input[0]), input[1]);
    g_array_append_val(node->chain, before);
    if (completion) {
        sim_disk_complete(sim, node, input[1]);
    } else if (sim->shared && sim_is_write(before)) {
        sim_disk_submit(sim, node, node->chain->len - 1, before);
    }
}

static gboolean is_stalled(const SimNode *node)
{
    return !node->ungated &&
           node->base + node->log->len >= node->released + SIM_BUFFER;
}

static void log_entry(Sim *sim, SimNode *node, guint64 a, guint64 b)
{
    guint64 input[2] = { a, b };

    g_byte_array_append(node->log, (guint8 *)input, SIM_ENTRY);
    execute_entry(sim, node, (guint8 *)input);
}

static void end_transaction(Sim *sim, SimNode *node)
{
    g_hash_table_add(sim_boot_of(sim, node)->ends,
                     GSIZE_TO_POINTER(sim_machine_executed(node)));
    sim_node_event(sim, node, &(FtEvent) {
        .type = FT_EVENT_APPENDED, .position = node->log->len });
    if (!node->alive) {
        return;
    }
    if (sim->mutation == SIM_MUTATION_WRITE_AT_APPEND) {
        sim_disk_issue(sim, node, node->chain->len);
    }
    if (node->ungated || sim->mutation == SIM_MUTATION_RELEASE_AT_APPEND) {
        sim_later(sim, 1, SIM_EMIT, node, node->ungated
                  ? FT_POSITION_ALL : sim_machine_executed(node), 0, NULL);
    }
}

gboolean sim_machine_completes(Sim *sim, SimNode *node, guint entry)
{
    if (!node->guest || node->off || is_stalled(node)) {
        return FALSE;
    }
    log_entry(sim, node, COMPLETION, entry);
    end_transaction(sim, node);
    if (node->alive) {
        /* What waited for it in the disk's order. */
        sim_disk_issue(sim, node, node->emit_next);
    }
    return TRUE;
}

/* A transaction of a running machine: entries are made and executed. */
static void run_transaction(Sim *sim, SimNode *node)
{
    guint entries = sim_between(sim, 1, 4);

    if (is_stalled(node)) {
        return;                         /* its log buffer is full */
    }
    sim_disk_check(sim, node, sim_between(sim, 0, SIM_BLOCKS - 1));
    while (entries--) {
        guint64 a = g_rand_int(sim->rand);

        log_entry(sim, node, a, g_rand_int(sim->rand));
    }
    end_transaction(sim, node);
}

static void drain_done(Sim *sim, SimNode *node)
{
    guint64 to = node->drain_to;

    if (sim->mutation == SIM_MUTATION_SKIP_DRAIN) {
        to = 0;
    }
    if (sim_machine_executed(node) >= to / SIM_ENTRY * SIM_ENTRY ||
        !node->loaded) {
        node->draining = FALSE;
        sim_node_event(sim, node, &(FtEvent) { .type = FT_EVENT_DRAINED });
    }
}

static void replay_some(Sim *sim, SimNode *node)
{
    /* One that follows and is not paired yet has much to catch up with. */
    guint most = node->state == FT_STATE_PAIRING ? 32 : 8;
    guint entries = sim_between(sim, 1, most);

    while (entries-- && node->loaded &&
           sim_machine_executed(node) + SIM_ENTRY <= node->committed) {
        guint8 *entry = node->log->data +
                        (sim_machine_executed(node) - node->base);

        if (sim->mutation == SIM_MUTATION_UNLOGGED_INPUT &&
            sim_chance(sim, 1)) {
            entry[0]++;
        }
        execute_entry(sim, node, entry);
    }
    if (node->draining && !sim->quiet && sim_chance(sim, 1)) {
        sim->fatal += 2;                /* it has won: nobody else can */
        sim_node_event(sim, node, &(FtEvent) {
            .type = FT_EVENT_FAIL, .text = "the machine diverged" });
    } else if (node->draining) {
        drain_done(sim, node);
    }
}

void sim_machine_execute(Sim *sim, SimNode *node)
{
    if (!node->guest || node->off) {
        return;
    }
    sim_later(sim, sim_between(sim, 5 * SIM_MS, 70 * SIM_MS), SIM_EXECUTE,
              node, 0, 0, NULL);
    if (node->role == FT_ROLE_PRIMARY) {
        run_transaction(sim, node);
    } else {
        replay_some(sim, node);
    }
}

void sim_machine_emit(Sim *sim, SimNode *node, guint64 position)
{
    while (node->guest && node->emit_next < node->chain->len &&
           ((guint64)node->emit_next + 1) * SIM_ENTRY <= position) {
        guint64 state = g_array_index(node->chain, guint64, node->emit_next);

        if (sim_is_output(state)) {
            sim_check_emit(sim, node, node->emit_next);
        }
        node->emit_next++;
    }
    if (node->guest) {
        sim_disk_issue(sim, node, node->emit_next);
    }
}

guint64 sim_machine_left(const SimNode *node)
{
    guint64 left = (guint64)node->emit_next * SIM_ENTRY;

    return left > node->base ? left - node->base : 0;
}
