/*
 * A shared disk: a few blocks, writes in flight that land late and out of
 * order, and the fence.
 *
 *   guest submits (an entry) -> issued, once the gate lets it -> sent by the
 *   process -> arrives: taken from the disk's holder, refused to others ->
 *   lands -> the process learns it -> logged, and complete for the guest
 *
 * A process that is stopped sends when it goes on.  What was sent arrives
 * even if the process is dead by then.  What the disk has taken lands,
 * whatever fence comes after it, so a fence is answered when it has landed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "sim.h"

/* On its way.  Flat: who gets an event's data frees it. */
typedef struct SimWrite {
    gint8 node;
    guint life;
    gint boot;
    guint64 key, generation;
    SimRequestWrite request;
    gboolean refused;
} SimWrite;

typedef struct SimFence {
    gint8 node;
    guint life;
    guint64 key, generation;
    gboolean done;              /* it holds the disk; the barrier is next */
} SimFence;

gboolean sim_is_write(guint64 state)
{
    return state % 5 == 2;
}

/* Of the process that sent something, if it is still there. */
static SimNode *sender(Sim *sim, gint8 index, guint life)
{
    SimNode *node = &sim->nodes[index];

    return node->alive && node->life == life ? node : NULL;
}

/* The guest's side. */

static SimRequestWrite *pending_at(const SimNode *node, guint i)
{
    return &g_array_index(node->pending, SimRequestWrite, i);
}

static gint find_pending(const SimNode *node, guint entry)
{
    for (guint i = 0; i < node->pending->len; i++) {
        if (pending_at(node, i)->entry == entry) {
            return i;
        }
    }
    return -1;
}

void sim_disk_submit(Sim *sim, SimNode *node, guint entry, guint64 value)
{
    SimRequestWrite request = {
        .entry = entry, .value = value, .block = (value >> 24) % SIM_BLOCKS,
        .since = sim->now,
    };

    g_array_append_val(node->pending, request);
}

void sim_disk_complete(Sim *sim, SimNode *node, guint entry)
{
    gint i = find_pending(node, entry);

    if (i < 0) {
        sim_violate(sim, 5, "write %u completes twice for %s", entry,
                    node->name);
        return;
    }
    node->completed[pending_at(node, i)->block] = entry + 1;
    g_array_remove_index(node->pending, i);
}

/* Overlapping writes are in the disk one after the other (M19). */
static gboolean must_wait(Sim *sim, const SimNode *node, guint i)
{
    for (guint earlier = 0; earlier < i; earlier++) {
        if (pending_at(node, earlier)->block == pending_at(node, i)->block) {
            return sim->mutation != SIM_MUTATION_OVERLAP;
        }
    }
    return FALSE;
}

static void issue(Sim *sim, SimNode *node, SimRequestWrite *request)
{
    SimWrite *write = g_new0(SimWrite, 1);

    sim_check_issue(sim, node, request->entry);
    request->issued = TRUE;
    write->node = node->index;
    write->life = node->life;
    write->boot = node->boot;
    write->key = sim_node_key(node);
    write->request = *request;
    sim_later(sim, sim_between(sim, 1, 2 * SIM_MS), SIM_WRITE_SEND, node, 0,
              0, write);
}

/* Issues what may leave: what was submitted before this entry. */
void sim_disk_issue(Sim *sim, SimNode *node, guint before)
{
    for (guint i = 0; i < node->pending->len; i++) {
        SimRequestWrite *request = pending_at(node, i);

        if (!request->issued && request->entry < before &&
            !must_wait(sim, node, i)) {
            issue(sim, node, request);
        }
    }
}

void sim_disk_live(Sim *sim, SimNode *node)
{
    if (sim->mutation == SIM_MUTATION_SKIP_REISSUE) {
        for (guint i = 0; i < node->pending->len; i++) {
            pending_at(node, i)->issued = TRUE;
        }
    }
    for (guint i = 0; i < node->pending->len; i++) {
        pending_at(node, i)->since = sim->now;
    }
    sim_coverage.reissued += node->pending->len;
    sim_disk_issue(sim, node, G_MAXUINT);
}

/* The disk's side. */

static gint64 how_long(Sim *sim)
{
    return sim_chance(sim, sim->disk_late_percent)
           ? sim_between(sim, 1, sim->quiet ? 50 * SIM_MS : 2500 * SIM_MS)
           : sim_between(sim, 1, sim->disk_delay_us);
}

static gint64 away(const Sim *sim)
{
    return MAX(sim->lease_away_until - sim->now, 0);
}

static void disk_event(Sim *sim, gint64 delay, SimWhat what,
                       gconstpointer data, gsize size)
{
    sim_later(sim, delay, what, NULL, 0, 0, g_memdup2(data, size));
}

static void answer_write(Sim *sim, const SimWrite *write)
{
    SimNode *node = sender(sim, write->node, write->life);

    if (node) {
        sim_later(sim, sim_between(sim, 1, sim->disk_delay_us),
                  SIM_WRITE_DONE, node, 0, 0,
                  g_memdup2(write, sizeof(*write)));
    }
}

static void write_sent(Sim *sim, SimNode *node, SimWrite *write)
{
    write->generation = sim_generation_of(node);
    disk_event(sim, sim_between(sim, 1, sim->disk_delay_us) + away(sim),
               SIM_WRITE_ARRIVE, write, sizeof(*write));
}

static void write_arrives(Sim *sim, SimWrite *write)
{
    gint64 delay = how_long(sim);

    if (write->key != sim->disk.holder &&
        sim->mutation != SIM_MUTATION_SKIP_FENCE) {
        sim_coverage.refused++;
        sim_say(sim, NULL, "write %u of %s is refused", write->request.entry,
                sim->nodes[write->node].name);
        write->refused = TRUE;
        answer_write(sim, write);
        return;
    }
    sim->disk.busy_until = MAX(sim->disk.busy_until, sim->now + delay);
    disk_event(sim, delay, SIM_WRITE_LAND, write, sizeof(*write));
    if (sim->mutation == SIM_MUTATION_COMPLETE_EARLY) {
        answer_write(sim, write);
    }
}

/*
 * 5: a write may land on a later one of its block only if that one is not
 * complete for the guest: then it is written again after this.
 */
static void check_order(Sim *sim, const SimWrite *write, const SimBlock *was)
{
    const SimNode *node = sender(sim, write->node, write->life);
    guint entry = write->request.entry;

    if (was->generation > write->generation) {
        sim_violate(sim, 5, "write %u of %s, of generation %d, lands on one "
                    "of generation %d", entry, sim->nodes[write->node].name,
                    (int)write->generation, (int)was->generation);
    } else if (node && was->boot == write->boot && was->entry > entry &&
               find_pending(node, was->entry) < 0) {
        sim_violate(sim, 5, "write %u of %s lands on write %u, which is "
                    "complete", entry, node->name, was->entry);
    }
}

static void write_lands(Sim *sim, const SimWrite *write)
{
    SimBlock *block = &sim->disk.blocks[write->request.block];

    sim_say(sim, NULL, "write %u of %s lands on block %u",
            write->request.entry, sim->nodes[write->node].name,
            write->request.block);
    sim_coverage.landed++;
    check_order(sim, write, block);
    sim_check_landed(sim, write->boot, write->request.entry,
                     write->request.value);
    *block = (SimBlock) {
        .boot = write->boot, .entry = write->request.entry,
        .value = write->request.value, .generation = write->generation,
    };
    if (sim->mutation != SIM_MUTATION_COMPLETE_EARLY) {
        answer_write(sim, write);
    }
}

static void write_done(Sim *sim, SimNode *node, SimWrite *write)
{
    if (write->refused) {
        sim_node_event(sim, node, &(FtEvent) {
            .type = FT_EVENT_FAIL, .text = "the disk is another machine's" });
    } else if (find_pending(node, write->request.entry) >= 0 &&
               !sim_machine_completes(sim, node, write->request.entry)) {
        /* Its log is full, or the VM is off. */
        sim_later(sim, 5 * SIM_MS, SIM_WRITE_DONE, node, 0, 0,
                  g_memdup2(write, sizeof(*write)));
    }
}

/* 5: what the guest of the disk's holder would read now. */
void sim_disk_check(Sim *sim, const SimNode *node, guint number)
{
    const SimBlock *block = &sim->disk.blocks[number];
    guint expected = node->completed[number];

    if (sim->disk.holder != sim_node_key(node) || !expected) {
        return;
    }
    for (guint i = 0; i < node->pending->len; i++) {
        if (pending_at(node, i)->block == number) {
            return;
        }
    }
    if (block->boot != node->boot || block->entry != expected - 1 ||
        block->value != g_array_index(node->chain, guint64, expected - 1)) {
        sim_violate(sim, 5, "%s reads write %u from block %u, and completed "
                    "%u last", node->name, block->entry, number,
                    expected - 1);
    }
}

/* 7: what was submitted long ago is complete. */
void sim_disk_check_end(Sim *sim, const SimNode *node)
{
    for (guint i = 0; i < SIM_BLOCKS; i++) {
        sim_disk_check(sim, node, i);
    }
    if (node->pending->len &&
        sim->now - pending_at(node, 0)->since > SIM_WRITE_MS * SIM_MS &&
        sim->now > (SIM_FAULTS_MS + SIM_WRITE_MS) * SIM_MS) {
        sim_violate(sim, 7, "write %u of %s does not complete",
                    pending_at(node, 0)->entry, node->name);
    }
}

/* The fence. */

static void fence_send(Sim *sim, const SimFence *fence)
{
    disk_event(sim, sim_between(sim, 1, sim->fence_delay_us),
               SIM_FENCE_ARRIVE, fence, sizeof(*fence));
}

void sim_fence_ask(Sim *sim, SimNode *node)
{
    fence_send(sim, &(SimFence) {
        .node = node->index, .life = node->life, .key = sim_node_key(node),
        .generation = sim_generation_of(node) });
}

static void answer_fence(Sim *sim, const SimFence *fence,
                         FtLeaseResult result)
{
    SimNode *node = sender(sim, fence->node, fence->life);

    if (node) {
        sim_later(sim, sim_between(sim, 1, sim->disk_delay_us), SIM_FENCED,
                  node, result, 0, NULL);
    }
}

/* It names the holder that it read, so one that comes late does nothing. */
static gboolean take(Sim *sim, const SimFence *fence)
{
    if (fence->generation < sim->disk.generation) {
        return FALSE;
    }
    sim->disk.holder = fence->key;
    sim->disk.generation = fence->generation;
    return TRUE;
}

static void fence_arrives(Sim *sim, SimFence *fence)
{
    gboolean unknown = sim->now < sim->lease_away_until ||
                       sim_chance(sim, sim->lease_unknown_percent);

    if (sim->mutation == SIM_MUTATION_SKIP_FENCE) {
        answer_fence(sim, fence, FT_LEASE_WON);
    } else if (fence->done) {
        answer_fence(sim, fence, FT_LEASE_WON);
    } else if (unknown && !sim->quiet) {
        if (sim->now >= sim->lease_away_until && sim_chance(sim, 50)) {
            take(sim, fence);           /* and the answer gets lost */
        }
        answer_fence(sim, fence, FT_LEASE_UNKNOWN);
    } else if (!take(sim, fence)) {
        answer_fence(sim, fence, FT_LEASE_LOST);
    } else if (sim->mutation == SIM_MUTATION_SKIP_BARRIER) {
        answer_fence(sim, fence, FT_LEASE_WON);
    } else {
        fence->done = TRUE;
        disk_event(sim, sim->disk.busy_until - sim->now, SIM_FENCE_ARRIVE,
                   fence, sizeof(*fence));
    }
}

static void fenced(Sim *sim, SimNode *node, FtLeaseResult result)
{
    if (result == FT_LEASE_UNKNOWN) {
        sim_fence_ask(sim, node);       /* for ever */
    }
    sim_node_event(sim, node, &(FtEvent) {
        .type = FT_EVENT_FENCED, .result = result,
        .text = "the disk did not answer" });
}

void sim_disk_happens(Sim *sim, SimNode *node, const SimEvent *event)
{
    switch (event->what) {
    case SIM_WRITE_SEND:
        write_sent(sim, node, event->data);
        break;
    case SIM_WRITE_ARRIVE:
        write_arrives(sim, event->data);
        break;
    case SIM_WRITE_LAND:
        write_lands(sim, event->data);
        break;
    case SIM_WRITE_DONE:
        write_done(sim, node, event->data);
        break;
    case SIM_FENCE_ARRIVE:
        fence_arrives(sim, event->data);
        break;
    case SIM_FENCED:
        fenced(sim, node, event->a);
        break;
    default:
        g_assert_not_reached();
    }
}
