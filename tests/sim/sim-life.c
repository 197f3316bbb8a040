/*
 * A process begins, and ends without a word.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "sim.h"

static void node_make(Sim *sim, SimNode *node, FtRole role, gboolean new_vm,
                      const char *identity)
{
    FtCoreConfig config = {
        .role = role, .new_vm = new_vm, .identity = identity,
        .disks = sim->shared ? FT_LEASE_DISKS_SHARED : FT_LEASE_DISKS_OWN,
        .seed = sim->seed * 1000 + sim->numbers,
    };

    sim_node_clear(node);
    g_strlcpy(config.node, node->name, FT_NODE_MAX);
    node->role = role;
    node->core = ft_core_new(&config);
    node->alive = TRUE;
    node->life++;
    node->paused_until = 0;
    node->silent_ticks = node->suspect_ms = 0;
    node->channel = node->boot = -1;
    node->peer = node->target = -1;
    node->state = FT_STATE_INIT;
    node->chain = g_array_new(FALSE, FALSE, sizeof(guint64));
    node->log = g_byte_array_new();
    node->base = node->committed = node->released = node->left = 0;
    node->acknowledged = node->partner = node->held = 0;
    node->emit_next = node->loose = 0;
    node->pending = g_array_new(FALSE, FALSE, sizeof(SimRequestWrite));
    node->rest = g_array_new(FALSE, FALSE, sizeof(FtAction));
    node->rest_data = g_ptr_array_new_with_free_func(g_free);
    memset(node->completed, 0, sizeof(node->completed));
    node->stop_in = 0;
    node->followed = FALSE;
}

void sim_node_start(Sim *sim, SimNode *node, FtRole role, gboolean new_vm,
                    const char *identity)
{
    node_make(sim, node, role, new_vm, identity);
    node->loaded = TRUE;
    sim_later(sim, 1, SIM_START, node, 0, 0, NULL);
}

void sim_node_load(Sim *sim, SimNode *node, const char *identity)
{
    node_make(sim, node, FT_ROLE_BACKUP, FALSE, identity);
}

void sim_node_kill(Sim *sim, SimNode *node)
{
    sim_check_dies(sim, node);
    sim_net_close(sim, node, sim_between(sim, SIM_CLOSE_END,
                                         SIM_CLOSE_SILENT));
    node->alive = node->guest = FALSE;
    node->life++;
}

void sim_node_clear(SimNode *node)
{
    if (node->core) {
        ft_core_free(node->core);
        g_array_free(node->chain, TRUE);
        g_byte_array_free(node->log, TRUE);
        g_array_free(node->pending, TRUE);
        g_array_free(node->rest, TRUE);
        g_ptr_array_free(node->rest_data, TRUE);
        node->core = NULL;
    }
    node->off = FALSE;
    node->guest = node->ungated = node->draining = node->loaded = FALSE;
}
