/*
 * Storage: one record with an atomic compare-and-set, late, unreachable,
 * and now and then silent about what it did.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "sim.h"

static void answer(Sim *sim, const SimRequest *request, FtLeaseResult result)
{
    SimNode *node = &sim->nodes[request->node];
    SimRequest *copy;

    if (node->life != request->life) {
        return;
    }
    copy = g_memdup2(request, sizeof(*request));
    copy->result = result;
    copy->now = sim->lease;
    sim_later(sim, sim_between(sim, 1, sim->lease_delay_us), SIM_LEASE_ANSWER,
              node, 0, 0, copy);
}

static gboolean may_step(Sim *sim, const SimRequest *request)
{
    if (sim->mutation == SIM_MUTATION_PAIR_BY_MESSAGE ||
        sim->mutation == SIM_MUTATION_START_ANYWHERE) {
        return sim->lease.generation == request->from.generation;
    }
    return ft_lease_record_equal(&sim->lease, &request->from);
}

static FtLeaseResult apply(Sim *sim, const SimRequest *request)
{
    FtLeaseRecord before = sim->lease;

    if (request->read) {
        return FT_LEASE_WON;
    }
    if (sim->lease.generation && sim->lease.nonce == request->to.nonce) {
        return FT_LEASE_WON;
    }
    if (!may_step(sim, request)) {
        return FT_LEASE_LOST;
    }
    sim->lease = request->to;
    g_array_append_val(sim->lease_history, sim->lease);
    sim_say(sim, NULL, "lease (%d, %s, %s) -> (%d, %s, %s)",
            (int)before.generation, before.owner, before.partner,
            (int)sim->lease.generation, sim->lease.owner, sim->lease.partner);
    sim_check_step(sim, &before, &sim->lease);
    return FT_LEASE_WON;
}

static gboolean nobody_is_asked(Sim *sim, const SimNode *node)
{
    FtCoreStatus status;

    ft_core_status(node->core, &status);
    return sim->mutation == SIM_MUTATION_NO_LEASE ||
           (sim->mutation == SIM_MUTATION_TRUST_FAILED &&
            status.cause == FT_REASON_PEER_FAILED);
}

void sim_lease_ask(Sim *sim, SimNode *node, const FtAction *action)
{
    SimRequest *request = g_new0(SimRequest, 1);

    request->node = node->index;
    request->life = node->life;
    request->read = action->type == FT_ACTION_LEASE_READ;
    request->from = action->from_record;
    request->to = action->to_record;
    if (!request->read && request->from.partner[0] &&
        nobody_is_asked(sim, node)) {
        request->result = FT_LEASE_WON;
        request->now = request->to;
        sim_later(sim, 1, SIM_LEASE_ANSWER, node, 0, 0, request);
        return;
    }
    sim_later(sim, sim_between(sim, 1, sim->lease_delay_us), SIM_LEASE_ARRIVE,
              NULL, 0, 0, request);
}

static void arrives_away(Sim *sim, SimRequest *request)
{
    /* It fails at once, or hangs until storage is back. */
    if (sim_chance(sim, 60)) {
        answer(sim, request, FT_LEASE_UNKNOWN);
    } else {
        sim_later(sim, sim->lease_away_until - sim->now, SIM_LEASE_ARRIVE,
                  NULL, 0, 0, g_memdup2(request, sizeof(*request)));
    }
}

static void arrives_unknown(Sim *sim, SimRequest *request)
{
    SimRequest *late;

    sim_coverage.unknown++;
    switch (sim_between(sim, 0, 2)) {
    case 0:                             /* not done */
        break;
    case 1:                             /* done, and the answer got lost */
        sim_coverage.unknown_landed += apply(sim, request) == FT_LEASE_WON;
        break;
    default:                            /* done later: nobody waits for it */
        late = g_memdup2(request, sizeof(*request));
        late->late = TRUE;
        sim_later(sim, sim_between(sim, 1, 1500 * SIM_MS), SIM_LEASE_ARRIVE,
                  NULL, 0, 0, late);
        break;
    }
    answer(sim, request, FT_LEASE_UNKNOWN);
}

/* The request is freed by the caller. */
void sim_lease_arrives(Sim *sim, SimRequest *request)
{
    if (request->late) {
        apply(sim, request);
    } else if (sim->now < sim->lease_away_until) {
        arrives_away(sim, request);
    } else if (!sim->quiet && sim_chance(sim, sim->lease_unknown_percent)) {
        arrives_unknown(sim, request);
    } else {
        answer(sim, request, apply(sim, request));
    }
}
