/*
 * Judges a race for a lease: who won what, and whether that can be.
 *
 * Thread: one.  Ownership: the caller's.  Units: in the names.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_REFEREE_H
#define FT_REFEREE_H

#include <glib.h>

typedef enum FtReportKind {
    FT_REPORT_WON,              /* this claimer's step was answered "won" */
    FT_REPORT_SEEN,             /* it read this record */
    FT_REPORT_UNKNOWN,          /* storage did not say; text: why */
} FtReportKind;

/* What a claimer tells, in one write to a pipe: all of it or nothing. */
typedef struct FtReport {
    guint32 claimer;
    guint32 kind;
    guint64 generation;
    guint64 nonce;
    guint64 took_us;
    guint32 method;             /* FtLeaseMethod */
    char text[200];
} FtReport;

typedef struct FtReferee FtReferee;

FtReferee *ft_referee_new(guint claimers);
void ft_referee_free(FtReferee *referee);
void ft_referee_take(FtReferee *referee, const FtReport *report);

/* NULL: none yet; else what is wrong, in words. */
const char *ft_referee_fault(const FtReferee *referee);
guint64 ft_referee_generation(const FtReferee *referee);
guint ft_referee_unknown(const FtReferee *referee);
const char *ft_referee_reason(const FtReferee *referee);
guint32 ft_referee_method(const FtReferee *referee);
/* Generations up to this that neither somebody won nor anybody saw. */
guint64 ft_referee_missing(const FtReferee *referee, guint64 last);
guint ft_referee_wins(const FtReferee *referee, guint claimer);
/* Of the time a won step took: 0.5 is the median. */
double ft_referee_took_ms(FtReferee *referee, double share);

#endif
