/*
 * Judges a race for a lease: who won what, and whether that can be.
 *
 * The rule is one nonce a generation: whoever won it, and whoever read it,
 * must have met the same claim.  A claimer that was killed after its step and
 * before its report is seen by the others, so no generation goes unnoticed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "referee.h"

typedef struct Known {
    guint64 generation;
    guint64 nonce;
    guint32 claimer;            /* who told */
    guint32 kind;
} Known;

struct FtReferee {
    GHashTable *known;          /* generation -> Known */
    GArray *took_us;
    guint claimers;
    guint *wins;
    guint64 newest;
    guint unknown;
    guint32 method;
    char reason[sizeof(((FtReport *)0)->text)];
    char *fault;
};

FtReferee *ft_referee_new(guint claimers)
{
    FtReferee *r = g_new0(FtReferee, 1);

    r->known = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
                                     g_free);
    r->took_us = g_array_new(FALSE, FALSE, sizeof(guint64));
    r->claimers = claimers;
    r->wins = g_new0(guint, claimers);
    return r;
}

void ft_referee_free(FtReferee *r)
{
    g_hash_table_destroy(r->known);
    g_array_free(r->took_us, TRUE);
    g_free(r->wins);
    g_free(r->fault);
    g_free(r);
}

static const char *did(guint32 kind)
{
    return kind == FT_REPORT_WON ? "won it" : "read it";
}

static void judge(FtReferee *r, const FtReport *report)
{
    Known *known = g_hash_table_lookup(r->known, &report->generation);

    if (!known) {
        known = g_new0(Known, 1);
        known->generation = report->generation;
        known->nonce = report->nonce;
        known->claimer = report->claimer;
        known->kind = report->kind;
        g_hash_table_insert(r->known, &known->generation, known);
    } else if (known->nonce != report->nonce && !r->fault) {
        r->fault = g_strdup_printf(
            "generation %" G_GUINT64_FORMAT " was won twice: claimer %u %s "
            "as %016" G_GINT64_MODIFIER "x, claimer %u %s as %016"
            G_GINT64_MODIFIER "x", known->generation, known->claimer,
            did(known->kind), known->nonce, report->claimer,
            did(report->kind), report->nonce);
    }
}

void ft_referee_take(FtReferee *r, const FtReport *report)
{
    g_assert(report->claimer < r->claimers);
    if (report->kind == FT_REPORT_UNKNOWN) {
        r->unknown++;
        g_strlcpy(r->reason, report->text, sizeof(r->reason));
        return;
    }
    if (report->generation == 0) {
        return;
    }
    judge(r, report);
    r->newest = MAX(r->newest, report->generation);
    if (report->kind == FT_REPORT_WON) {
        r->wins[report->claimer]++;
        r->method = report->method;
        g_array_append_val(r->took_us, report->took_us);
    }
}

const char *ft_referee_fault(const FtReferee *r)
{
    return r->fault;
}

guint64 ft_referee_generation(const FtReferee *r)
{
    return r->newest;
}

guint ft_referee_unknown(const FtReferee *r)
{
    return r->unknown;
}

const char *ft_referee_reason(const FtReferee *r)
{
    return r->reason;
}

guint32 ft_referee_method(const FtReferee *r)
{
    return r->method;
}

guint64 ft_referee_missing(const FtReferee *r, guint64 last)
{
    guint64 n = 0;

    for (guint64 g = 1; g <= last; g++) {
        n += !g_hash_table_contains(r->known, &g);
    }
    return n;
}

guint ft_referee_wins(const FtReferee *r, guint claimer)
{
    return r->wins[claimer];
}

static gint compare_us(gconstpointer a, gconstpointer b)
{
    guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;

    return x < y ? -1 : x > y;
}

double ft_referee_took_ms(FtReferee *r, double share)
{
    if (!r->took_us->len) {
        return 0;
    }
    g_array_sort(r->took_us, compare_us);
    return g_array_index(r->took_us, guint64,
                         (guint)(share * (r->took_us->len - 1))) / 1e3;
}
