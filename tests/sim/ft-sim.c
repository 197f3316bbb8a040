/*
 * ft-sim: runs seeds, and says which one broke what.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core-internal.h"
#include "sim.h"

static gint64 first_seed = 1, seeds = 10000;
static gboolean verbose, list, cover;
static char *mutation_name;

static const GOptionEntry options[] = {
    { "seeds", 0, 0, G_OPTION_ARG_INT64, &seeds,
      "run so many seeds (default 10000; 1 with --seed)", "N" },
    { "seed", 0, 0, G_OPTION_ARG_INT64, &first_seed,
      "the first seed (default 1)", "S" },
    { "verbose", 0, 0, G_OPTION_ARG_NONE, &verbose,
      "print what happens", NULL },
    { "coverage", 0, 0, G_OPTION_ARG_NONE, &cover,
      "fail if a change of state of the table never came", NULL },
    { "mutation", 0, 0, G_OPTION_ARG_STRING, &mutation_name,
      "break the protocol so; succeeds when that is found", "NAME" },
    { "list-mutations", 0, 0, G_OPTION_ARG_NONE, &list,
      "list the ways to break it", NULL },
    { NULL }
};

static void list_mutations(void)
{
    for (guint m = 1; m < SIM_MUTATION__MAX; m++) {
        printf("%-18s", sim_mutations[m].name);
        for (guint i = 1; i <= 7; i++) {
            if (sim_mutations[m].invariants & (1u << i)) {
                printf(" %u", i);
            }
        }
        printf("  %s\n", sim_mutations[m].text);
    }
}

static SimMutation mutation_by_name(const char *name)
{
    for (guint m = 0; m < SIM_MUTATION__MAX; m++) {
        if (!strcmp(name, sim_mutations[m].name)) {
            return m;
        }
    }
    fprintf(stderr, "ft-sim: no mutation \"%s\"; see --list-mutations\n",
            name);
    exit(2);
}

/*
 * The changes of state that no seed has reached.  A primary that refuses
 * what its backup accepted is one that can't be: both compare alike.
 */
static guint edges_missing(void)
{
    guint missing = 0;

    for (guint role = 1; role <= 2; role++) {
        for (guint from = 0; from < FT_STATE__MAX; from++) {
            for (guint to = 0; to < FT_STATE__MAX; to++) {
                if (ft_core_edge_legal(role, from, to) &&
                    !(role == FT_ROLE_BACKUP && from == FT_STATE_PAIRING &&
                      to == FT_STATE_LISTENING) &&
                    !sim_coverage.edges[role][from][to]) {
                    printf("never: %s: %s -> %s\n",
                           role == FT_ROLE_PRIMARY ? "primary" : "backup",
                           ft_core_state_name(from), ft_core_state_name(to));
                    missing++;
                }
            }
        }
    }
    return missing;
}

/* The seed's history, by running it again. */
static void replay(guint64 seed, SimMutation mutation)
{
    sim_free(sim_run(seed, mutation, TRUE));
}

static int report_mutation(SimMutation mutation, const Sim *sim, gint64 ran)
{
    const SimMutationInfo *info = &sim_mutations[mutation];

    if (!sim) {
        printf("mutation %s: NOT FOUND in %d seeds\n", info->name, (int)ran);
        return 1;
    }
    printf("mutation %s: found by invariant %u after %d seeds: %s\n",
           info->name, sim->violated, (int)ran, sim->violation);
    if (!(info->invariants & (1u << sim->violated))) {
        printf("but that is not the invariant it is meant to break\n");
        return 1;
    }
    return 0;
}

/* Counted over a run's seeds, with what each is for people. */
static const struct {
    const guint64 *count;
    const char *text;
} counters[] = {
    { &sim_coverage.events, "events" },
    { &sim_coverage.takeovers, "takeovers" },
    { &sim_coverage.alone, "times a survivor went on, takeovers included" },
    { &sim_coverage.halts, "machines halted" },
    { &sim_coverage.unknown, "unknown lease answers" },
    { &sim_coverage.unknown_landed, "of these had landed" },
    { &sim_coverage.protected_running, "running VMs protected" },
    { &sim_coverage.silent, "silent peers suspected" },
    { &sim_coverage.silent_soon, "of these by what was measured" },
    { &sim_coverage.silent_hasty, "and by a clock that is too fast" },
    { &sim_coverage.stops, "processes stopped amid their actions" },
    { &sim_coverage.landed, "writes landed on a shared disk" },
    { &sim_coverage.refused, "writes refused after a fence" },
    { &sim_coverage.reissued, "writes issued again by who went live" },
};

/* One line each, for tests/sim/run to add up. */
static int report(gint64 ran, double seconds)
{
    guint missing = cover ? edges_missing() : 0;

    printf("%" G_GINT64_FORMAT " seeds, %.1f s, no violation\n", ran,
           seconds);
    for (guint i = 0; i < G_N_ELEMENTS(counters); i++) {
        printf("%12" G_GUINT64_FORMAT " %s\n", *counters[i].count,
               counters[i].text);
        if (cover && !*counters[i].count) {
            printf("never: %s\n", counters[i].text);
            missing++;
        }
    }
    printf("at most %u pairs in one run\n", sim_coverage.pairs_most);
    return missing ? 1 : 0;
}

static int run_seeds(SimMutation mutation)
{
    gint64 began = g_get_monotonic_time();

    for (gint64 n = 0; n < seeds; n++) {
        guint64 seed = first_seed + n;
        Sim *sim = sim_run(seed, mutation, verbose);
        int status = 1;

        if (sim->violated && mutation) {
            status = report_mutation(mutation, sim, n + 1);
        } else if (sim->violated) {
            printf("seed %" G_GUINT64_FORMAT ": INVARIANT %u: %s\n"
                   "what happened:\n", seed, sim->violated, sim->violation);
            replay(seed, mutation);
            printf("again: ft-sim --seed %" G_GUINT64_FORMAT " --verbose\n",
                   seed);
        } else {
            sim_free(sim);
            continue;
        }
        sim_free(sim);
        return status;
    }
    return mutation ? report_mutation(mutation, NULL, seeds)
                    : report(seeds, (g_get_monotonic_time() - began) / 1e6);
}

int main(int argc, char **argv)
{
    GOptionContext *context = g_option_context_new(
        "- cores, a lease, a shared disk and a bad network");
    GError *error = NULL;

    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "--seed", 6) && argv[i][6] != 's') {
            seeds = 1;
        }
    }
    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "ft-sim: %s\n", error->message);
        return 2;
    }
    g_option_context_free(context);
    if (list) {
        list_mutations();
        return 0;
    }
    return run_seeds(mutation_name ? mutation_by_name(mutation_name)
                                   : SIM_MUTATION_NONE);
}
