/*
 * The output gate: nothing leaves before the backup has all that led to it.
 *
 * Purpose: holds what the guest sent, in order, each with the log position
 *   it waits for (M5), and lets it out when that is acknowledged.
 * Locks: holding needs the BQL and the replay mutex; releasing and closing
 *   may be called from any thread.  Outputs leave from the main thread
 *   under the BQL and the replay mutex, or by try_emit from the thread that
 *   releases them; always in their order.
 * Ownership: the gate owns a held output until emit() was called.
 * Source: the Output Rule of the VM-FT paper, section 2.2.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_GATE_H
#define FT_GATE_H

#include "qemu/queue.h"

typedef struct FtOutput FtOutput;
struct FtOutput {
    /*
     * Lets the output out at once; any thread, no lock may be taken.  False:
     * the main thread has to.  May be NULL.
     */
    bool (*try_emit)(FtOutput *output);
    /*
     * Lets the output out, or only frees it when emit is false: the latter in
     * any thread where there is a try_emit.
     */
    void (*finish)(FtOutput *output, bool emit);
    uint64_t position;
    bool replayed;              /* made by a backup that follows */
    size_t size;
    QSIMPLEQ_ENTRY(FtOutput) next;
};

typedef struct FtGateStatus {
    uint64_t held;              /* outputs that wait */
    uint64_t held_bytes;
    uint64_t released;          /* outputs that left since the start */
    uint64_t discarded;         /* dropped since this machine may not send */
} FtGateStatus;

void ft_gate_init(void);
void ft_gate_hold(FtOutput *output);
/* A new session: hold from position 0 on. */
void ft_gate_begin(void);
/* A log begins, and its outputs leave at once; main thread, BQL, replay mutex. */
void ft_gate_begin_open(void);
/*
 * Outputs after position wait from now on.  Returns up to where in this log
 * some may have left before.
 */
uint64_t ft_gate_shut(uint64_t position);
/* Outputs up to position may leave; FT_POSITION_ALL: all, at once. */
void ft_gate_release(uint64_t position);
/*
 * Any thread: may what waits for position, and is in no queue here, leave
 * now?  If so it is counted as left.  If not, the watcher is called, from any
 * thread, when more may leave.
 */
bool ft_gate_admits(uint64_t position);
void ft_gate_set_watcher(void (*watcher)(void));
/*
 * Primary: every output up to here has left.  Backup: tells it what the
 * primary said.  What a backup replays is kept until the primary has let it
 * out, so that a failover loses no output; it may repeat some (M8).
 */
uint64_t ft_gate_left(void);
void ft_gate_left_primary(uint64_t position);
/* Main thread: lets out at once what may leave. */
void ft_gate_flush(void);
/* Nothing leaves any more, ever. */
void ft_gate_close(void);
void ft_gate_status(FtGateStatus *status);

#endif
