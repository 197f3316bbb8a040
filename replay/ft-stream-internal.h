/*
 * The live stream's state, shared by its parts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef REPLAY_FT_STREAM_INTERNAL_H
#define REPLAY_FT_STREAM_INTERNAL_H

#include "ft-stream.h"
#include "replay-internal.h"
#include "ft/hash.h"

typedef struct FtStream {
    /* Set up once. */
    bool active;
    FtLog *log;
    FtStreamOps ops;
    FtHash *hash;               /* replay mutex: of the log's bytes */
    QEMUBH *bh;

    /* Protected by the replay mutex. */
    bool started;
    bool to_log;                /* primary */
    bool flush_wanted;          /* primary: an output waits for this log */
    bool starved;               /* backup: the sentinel was fetched */
    bool clocks_held;
    bool resetting;             /* primary: the transaction goes on; backup:
                                   what comes next waits */
    uint64_t sunk;              /* primary: bytes that left replay_file */
    uint64_t uncommitted;       /* primary: of them, in the open transaction */
    bool control_pending;       /* backup: a control entry is next */
    bool in_control;            /* backup: one is being carried out */
    bool bh_waits;              /* backup: the bottom half came too early */
    bool time_pending;          /* backup: a TIME entry is, for the vCPU */
    bool finished;              /* no log says what happens now */
    uint64_t log_hash;          /* backup: up to the last START or DIGEST */
    uint64_t tail_position;     /* backup: an entry begins there; what is
                                   before it can go when more is kept */

    /* Atomic. */
    bool draining;
    bool shutdown;              /* backup: the log asked for the VM's end */
    bool main_polls;            /* backup: the main loop may sleep */
    bool vcpu_waits;            /* backup: for the main loop's turn to end */
    bool vcpu_sleeps;           /* its thread looks at nothing */
    bool publish_wanted;        /* primary: what is committed next is sent */
    uint64_t vcpu_rounds, main_rounds;
    bool input;                 /* primary: ops.input() has something */
    uint64_t executed;
    int64_t icount;
} FtStream;

extern FtStream ft_stream;

static inline bool ft_stream_plays(void)
{
    return ft_stream.active && replay_mode == REPLAY_MODE_PLAY;
}

static inline bool ft_stream_records(void)
{
    return ft_stream.active && replay_mode == REPLAY_MODE_RECORD;
}

/* What a clock that is recorded shows now. */
int64_t ft_stream_clock_now(ReplayClockKind kind);
/* Backup: looks at the log again after the sentinel. */
void ft_stream_fetch_again(void);
/* Backup: carries out the TIME entry at the cursor. */
void ft_stream_take_time(void);

/* Backup: the log as the engine's file (ft-source.c); replay mutex. */
FILE *ft_source_open(void);
uint64_t ft_source_position(void);      /* of the engine's next byte */
bool ft_source_has_more(void);          /* the log goes on there */
uint8_t ft_source_next(void);           /* if so: that byte */
uint64_t ft_source_take_hash(void);     /* of what was read since the last */

/* Backup: the bottom half's turn has come, if it waits for it. */
void ft_stream_bh_again(void);
/* Primary: the open transaction ends. */
void ft_stream_publish(void);
/* Primary: what waits to be sent need not, since the guest sleeps. */
void ft_stream_before_sleep(void);

#endif
