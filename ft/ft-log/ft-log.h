/*
 * ft-log: what its parts share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LOG_TOOL_H
#define FT_LOG_TOOL_H

#include "symbols.h"
#include "walk.h"

/* Exit statuses. */
enum {
    FT_LOG_GOOD = 0,
    FT_LOG_DIFFERENT = 1,       /* damaged, unfinished, or two logs differ */
    FT_LOG_TROUBLE = 2,         /* wrong options, or a file can't be read */
};

typedef struct FtLogOptions {
    uint64_t from, to;                  /* positions; to: exclusive */
    uint64_t from_icount, to_icount;
    uint32_t kinds;                     /* bit per FtEntryKind; 0: all */
    uint64_t last;                      /* entries; 0: all */
    int context;                        /* entries around */
    bool by_icount;                     /* around: an instruction count */
    FtLogPc *pc;
    FtLogSymbols *symbols;
} FtLogOptions;

/* Each returns an exit status, and has said what was wrong. */
int ft_log_print(const char *path, const FtLogOptions *options);
int ft_log_follow(const char *path, const FtLogOptions *options);
int ft_log_around(const char *path, uint64_t where,
                  const FtLogOptions *options);
int ft_log_sum(const char *path, const FtLogOptions *options);
int ft_log_verify(const char *path);
int ft_log_compare(const char *a, const char *b, const FtLogOptions *options);

/* One line of an entry, with its program counter where it is known. */
void ft_log_print_entry(const FtLogEntry *entry, const FtLogOptions *options,
                        const char *mark);
void ft_log_print_title(const FtLogOptions *options);
bool ft_log_is_chosen(const FtLogEntry *entry, const FtLogOptions *options);
/* Which file it is of, who wrote it, when. */
void ft_log_print_header(const char *path, const FtLogReader *reader);
/* What ended a walk, as a status; damage is said on stderr. */
int ft_log_ended(const char *path, const FtLogWalk *walk, FtLogRead result);
FtLogWalk *ft_log_open(const char *path);

#endif
