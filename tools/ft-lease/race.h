/*
 * Several processes race for a lease: does its storage let one win?
 *
 * Thread: the main thread of a process without others; it forks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_RACE_H
#define FT_RACE_H

#include "ft/lease-iscsi.h"

typedef struct FtRace {
    const char *uri;
    const FtIscsiLogin *login;
    int claimers;
    int generations;
    int seed;                   /* of the disturbances */
    gboolean calm;              /* none: nobody is killed or stopped */
    gboolean force;             /* what is there is replaced */
    FtLeaseMethod method;
} FtRace;

enum {
    FT_RACE_FIT = 0,
    FT_RACE_UNFIT = 1,          /* two won one generation, or nobody could */
    FT_RACE_FAILED = 2,         /* it could not be found out */
};

/* An exit status; prints what it found. */
int ft_race_run(const FtRace *race);
/* In words; for a lease that is no LUN too. */
const char *ft_race_method_text(const char *uri, FtLeaseMethod method);

#endif
