/*
 * A shared disk, and the fence around it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

void sim_fence_ask(Sim *sim, SimNode *node)
{
    sim_later(sim, sim_between(sim, 1, sim->fence_delay_us), SIM_FENCE, node,
              0, 0, NULL);
}

void sim_fence_arrives(Sim *sim, SimNode *node)
{
    gboolean away = sim->now < sim->lease_away_until ||
                    sim_chance(sim, sim->lease_unknown_percent);

    if (away) {
        sim_fence_ask(sim, node);
    }
    if (!away || sim_chance(sim, 50)) {
        sim_node_event(sim, node, &(FtEvent) {
            .type = FT_EVENT_FENCED,
            .result = away ? FT_LEASE_UNKNOWN : FT_LEASE_WON,
            .text = "the disk did not answer" });
    }
}
