/*
 * The invariants (docs/protocol.md numbers them), but for 5, which is the
 * disk's (sim-disk.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "sim.h"

SimBoot *sim_boot_new(void)
{
    SimBoot *boot = g_new0(SimBoot, 1);

    boot->seen = g_array_new(FALSE, TRUE, sizeof(guint64));
    boot->seen_last = -1;
    boot->ends = g_hash_table_new(NULL, NULL);
    g_hash_table_add(boot->ends, GSIZE_TO_POINTER(0));
    return boot;
}

void sim_boot_free(gpointer data)
{
    SimBoot *boot = data;

    g_array_free(boot->seen, TRUE);
    g_hash_table_destroy(boot->ends);
    g_free(boot);
}

SimBoot *sim_boot_of(Sim *sim, const SimNode *node)
{
    return g_ptr_array_index(sim->boots, node->boot);
}

void sim_violate(Sim *sim, guint invariant, const char *fmt, ...)
{
    va_list ap;

    if (sim->violated) {
        return;
    }
    sim->violated = invariant;
    va_start(ap, fmt);
    sim->violation = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    sim_say(sim, NULL, "INVARIANT %u: %s", invariant, sim->violation);
}

guint64 sim_generation_of(const SimNode *node)
{
    FtCoreStatus status;

    ft_core_status(node->core, &status);
    return status.generation;
}

/* 1: whoever is live in a generation won it, and is the only one. */
static void check_live(Sim *sim, SimNode *node)
{
    guint64 generation = sim_generation_of(node);
    gpointer key = GSIZE_TO_POINTER(generation);
    gpointer me = GSIZE_TO_POINTER(sim_node_key(node));
    gpointer other = g_hash_table_lookup(sim->live, key);
    gboolean won = FALSE;

    for (guint i = 0; i < sim->lease_history->len; i++) {
        FtLeaseRecord *rec = &g_array_index(sim->lease_history, FtLeaseRecord,
                                            i);

        won |= rec->generation == generation &&
               !strcmp(rec->owner, node->name);
    }
    if (!won) {
        sim_violate(sim, 1, "%s is live in generation %d, which it has not "
                    "won", node->name, (int)generation);
    } else if (other && other != me) {
        sim_violate(sim, 1, "%s is live in generation %d, and another is too",
                    node->name, (int)generation);
    }
    g_hash_table_insert(sim->live, key, me);
}

/* 4, at the moment somebody goes live: it passed all the world saw. */
static void check_history(Sim *sim, SimNode *node)
{
    SimBoot *boot = sim_boot_of(sim, node);
    guint64 seen;

    if (boot->seen_last < 0) {
        return;
    }
    seen = g_array_index(boot->seen, guint64, boot->seen_last);
    if (boot->seen_last >= node->chain->len ||
        g_array_index(node->chain, guint64, boot->seen_last) != seen) {
        sim_violate(sim, 4, "%s goes live without having passed output %d",
                    node->name, (int)boot->seen_last);
    }
}

static void check_taken_over(Sim *sim, SimNode *node)
{
    SimBoot *boot = sim_boot_of(sim, node);
    guint64 executed = (guint64)node->chain->len * SIM_ENTRY;

    sim_coverage.takeovers++;
    if (boot->over > executed) {
        sim_violate(sim, 4, "%s runs on from %d, and the VM ended at %d",
                    node->name, (int)executed, (int)boot->over);
    } else if (executed < node->acknowledged) {
        sim_violate(sim, 3, "%s goes live at %d and acknowledged %d",
                    node->name, (int)executed, (int)node->acknowledged);
    } else if (!g_hash_table_contains(boot->ends,
                                      GSIZE_TO_POINTER(executed)) ||
               node->committed != executed) {
        sim_violate(sim, 4, "%s goes live in the middle of a transaction",
                    node->name);
    }
}

/* From here on one more failure is survived. */
static void pair_made(Sim *sim, const SimNode *node)
{
    const SimNode *peer = &sim->nodes[node->peer];

    sim->pairs++;
    sim_coverage.pairs_most = MAX(sim_coverage.pairs_most, sim->pairs);
    sim_coverage.protected_running += node->base > 0;
    if (peer->alive && peer->state == FT_STATE_PAIRING &&
        node->partner == sim_node_key(peer)) {
        sim->fatal = 0;
    }
}

void sim_check_state(Sim *sim, SimNode *node, FtState old)
{
    switch (node->state) {
    case FT_STATE_CONNECTING:
    case FT_STATE_HANDSHAKE:
        if (node->guest && node->state != old) {
            sim->attempt_at = sim->now;
        }
        break;
    case FT_STATE_PROTECTED:
        if (node->role == FT_ROLE_PRIMARY) {
            check_live(sim, node);
            pair_made(sim, node);
        }
        break;
    case FT_STATE_ALONE:
        check_live(sim, node);
        if (old == FT_STATE_DRAINING) {
            check_taken_over(sim, node);
        }
        if (old == FT_STATE_DRAINING || old == FT_STATE_CLAIMING) {
            sim_coverage.alone++;
            check_history(sim, node);
        }
        break;
    case FT_STATE_HALTED:
        sim_coverage.halts++;
        break;
    default:
        break;
    }
}

/* The VM ended, and nobody may run on from before that. */
void sim_check_exit(Sim *sim, SimNode *node)
{
    FtCoreStatus status;

    ft_core_status(node->core, &status);
    if (node->role == FT_ROLE_PRIMARY && status.reason == FT_REASON_VM_ENDED) {
        sim_boot_of(sim, node)->over = node->base + node->log->len;
    }
}

/* 2: a release while paired. */
void sim_check_release(Sim *sim, SimNode *node, guint64 position)
{
    if (position != FT_POSITION_ALL &&
        position > node->held) {
        sim_violate(sim, 2, "%s releases %d, and its partner holds %d",
                    node->name, (int)position,
                    (int)node->held);
    }
}

gboolean sim_is_output(guint64 state)
{
    return state % 5 < 2;
}

/* 4: outputs leave in order, so none before this one may be missing. */
static void check_missing(Sim *sim, SimNode *node, SimBoot *boot, guint entry)
{
    for (; boot->seen_all < entry; boot->seen_all++) {
        if (sim_is_output(g_array_index(node->chain, guint64,
                                        boot->seen_all)) &&
            !g_array_index(boot->seen, guint64, boot->seen_all)) {
            sim_violate(sim, 4, "%s emits output %u, and the world never saw "
                        "%u", node->name, entry, boot->seen_all);
            return;
        }
    }
}

/* As the record says: another may win. */
static gboolean is_paired(const Sim *sim, const SimNode *node)
{
    return sim->lease.partner[0] && !strcmp(sim->lease.owner, node->name);
}

/* 1 and 2: an output or a write of this entry leaves the machine. */
static void check_leaves(Sim *sim, const SimNode *node, guint entry)
{
    guint64 end = ((guint64)entry + 1) * SIM_ENTRY;

    if (node->ungated && (sim->lease.generation != sim_generation_of(node) ||
                          strcmp(sim->lease.owner, node->name))) {
        sim_violate(sim, 1, "%s is not gated, and the lease is (%d, %s)",
                    node->name, (int)sim->lease.generation, sim->lease.owner);
    }
    /*
     * A write that was let out before outputs were held may wait for another
     * of its block; the pair is made when the backup has it.
     */
    if (((!node->ungated && end > node->loose) || is_paired(sim, node)) &&
        end > node->held) {
        sim_violate(sim, 2, "%s lets out %u, and its partner holds %d",
                    node->name, entry, (int)(node->held / SIM_ENTRY));
    }
}

/* What the world saw of this entry; 0: nothing. */
static guint64 *seen_at(SimBoot *boot, guint entry)
{
    if (boot->seen->len <= entry) {
        g_array_set_size(boot->seen, entry + 1);
    }
    return &g_array_index(boot->seen, guint64, entry);
}

/* The output of this entry leaves the machine. */
void sim_check_emit(Sim *sim, SimNode *node, guint entry)
{
    SimBoot *boot = sim_boot_of(sim, node);
    guint64 state = g_array_index(node->chain, guint64, entry);
    guint64 *seen = seen_at(boot, entry);

    check_leaves(sim, node, entry);
    check_missing(sim, node, boot, entry);
    if (*seen && *seen != state) {
        sim_violate(sim, 4, "output %u of %s differs from what the world saw",
                    entry, node->name);
    }
    *seen = state;
    if (boot->seen_last < (gint64)entry) {
        check_history(sim, node);
        boot->seen_last = entry;
    }
}

void sim_check_issue(Sim *sim, SimNode *node, guint entry)
{
    check_leaves(sim, node, entry);
}

/* 5: it is a write of the one history, and whoever goes live passed it. */
void sim_check_landed(Sim *sim, gint number, guint entry, guint64 value)
{
    SimBoot *boot = g_ptr_array_index(sim->boots, number);
    guint64 *seen = seen_at(boot, entry);

    if (*seen && *seen != value) {
        sim_violate(sim, 5, "write %u differs from what landed before",
                    entry);
    }
    *seen = value;
    boot->seen_last = MAX(boot->seen_last, (gint64)entry);
}

static gboolean named(const FtLeaseRecord *rec, const char *node)
{
    return !strcmp(rec->owner, node) || !strcmp(rec->partner, node);
}

/* 2: whoever may win from now on holds what has left. */
static void check_partner(Sim *sim, const FtLeaseRecord *rec)
{
    for (guint i = 0; i < SIM_NODES; i++) {
        const SimNode *node = &sim->nodes[i];
        guint64 left = (guint64)node->emit_next * SIM_ENTRY;

        if (!strcmp(node->name, rec->owner) && node->alive &&
            left > node->held) {
            sim_violate(sim, 2, "%s is named, and lacks output %u of %s",
                        rec->partner, node->emit_next - 1, node->name);
        }
    }
}

/* 6, and the table of steps. */
void sim_check_step(Sim *sim, const FtLeaseRecord *from,
                    const FtLeaseRecord *to)
{
    if (from->generation && !named(from, to->owner)) {
        sim_violate(sim, 6, "%s owns generation %d and was not in the record",
                    to->owner, (int)to->generation);
    } else if (to->partner[0]
               ? to->generation != from->generation || from->partner[0] ||
                 strcmp(from->owner, to->owner) ||
                 !strcmp(to->owner, to->partner)
               : to->generation != from->generation + 1) {
        sim_violate(sim, 6, "a step of the lease that is not in the table");
    } else if (to->partner[0]) {
        check_partner(sim, to);
    }
}

static gboolean runs_unpaired(const SimNode *node)
{
    return node->alive && (node->state == FT_STATE_ALONE ||
                           (node->guest && node->role == FT_ROLE_PRIMARY &&
                            (node->state == FT_STATE_CONNECTING ||
                             node->state == FT_STATE_HANDSHAKE ||
                             node->state == FT_STATE_SYNCING)));
}

/* A handshake without a HELLO has a long bound, and begins anew after it. */
static gboolean attempt_under_way(const Sim *sim)
{
    for (guint i = 0; i < SIM_NODES; i++) {
        if (sim->nodes[i].alive && runs_unpaired(&sim->nodes[i]) &&
            sim->nodes[i].state == FT_STATE_HANDSHAKE) {
            return TRUE;
        }
    }
    return sim->now - sim->attempt_at < SIM_PROTECT_MS * SIM_MS;
}

/* Is the process that it streams to still there for it? */
void sim_check_dies(Sim *sim, SimNode *node)
{
    const SimNode *peer = node->peer < 0 ? NULL : &sim->nodes[node->peer];

    node->followed = peer && peer->alive &&
                     node->partner == sim_node_key(peer) &&
                     peer->state != FT_STATE_LISTENING &&
                     peer->state != FT_STATE_HANDSHAKE;
}

/*
 * The owner died when it had no partner, as far as it knew: a step that
 * names one may land after that.  Or its backup had gone before, and it had
 * not noticed, or was taking the name back: that is a second failure.
 */
static gboolean died_unpaired(const Sim *sim)
{
    for (guint i = 0; i < SIM_NODES; i++) {
        const SimNode *node = &sim->nodes[i];
        FtCoreStatus status;

        if (node->core && !node->alive &&
            !strcmp(sim->lease.owner, node->name)) {
            ft_core_status(node->core, &status);
            return !sim->lease.partner[0] || !status.lease.partner[0] ||
                   (node->role == FT_ROLE_PRIMARY && !node->followed);
        }
    }
    return FALSE;
}

/* 7: the faults are over since long, and somebody has to be live. */
void sim_check_end(Sim *sim)
{
    guint alone = 0, paired = 0, cores = 0;
    gboolean started = FALSE;

    for (guint i = 0; i < SIM_NODES; i++) {
        SimNode *node = &sim->nodes[i];

        cores += node->alive;
        alone += runs_unpaired(node);
        paired += node->alive && (node->state == FT_STATE_PROTECTED ||
                                  (node->state == FT_STATE_PAIRING &&
                                   node->role == FT_ROLE_BACKUP));
        if (node->alive && (node->state == FT_STATE_CLAIMING ||
                            node->state == FT_STATE_FENCING ||
                            node->state == FT_STATE_DRAINING ||
                            node->state == FT_STATE_ENDING)) {
            sim_violate(sim, 7, "%s is still %s", node->name,
                        ft_core_state_name(node->state));
        }
        if (node->alive && node->guest && !node->off &&
            node->role == FT_ROLE_PRIMARY) {
            sim_disk_check_end(sim, node);
        }
    }
    for (guint i = 0; i < sim->boots->len; i++) {
        started |= ((SimBoot *)g_ptr_array_index(sim->boots, i))->started;
    }
    if (started && !sim->ended && sim->fatal <= 1 && alone != 1 &&
        paired != 2) {
        if (died_unpaired(sim)) {
            return;
        }
        sim_violate(sim, 7, "%u alone and %u paired of %u processes", alone,
                    paired, cores);
    } else if (sim->operator && !sim->ended && alone == 1 &&
               cores < SIM_NODES && !attempt_under_way(sim)) {
        sim_violate(sim, 7, "the VM was not protected again");
    }
}
