/*
 * The output gate.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "replay/ft-stream.h"
#include "core.h"
#include "disk-fault.h"
#include "gate.h"
#include "trace.h"

static struct {
    QEMUBH *bh;
    QemuMutex emit_lock;        /* whoever lets outputs out; before lock */
    QemuMutex lock;

    /* Protected by lock. */
    QSIMPLEQ_HEAD(, FtOutput) outputs;
    uint64_t open_to;           /* positions up to here may leave */
    uint64_t left;              /* of this log, the last that has left */
    uint64_t left_primary;      /* backup: up to here they have left there */
    bool closed;
    bool watched;               /* somebody was not admitted */
    FtGateStatus status;

    void (*watcher)(void);      /* set once */
} gate;

static bool is_dropped_locked(const FtOutput *output)
{
    return gate.closed ||
        (output->replayed && output->position <= gate.left_primary);
}

/* The first output, if it need not wait any longer. */
static FtOutput *first_ready_locked(void)
{
    FtOutput *output = QSIMPLEQ_FIRST(&gate.outputs);

    return output && (output->position <= gate.open_to ||
                      is_dropped_locked(output)) ? output : NULL;
}

static void remove_first_locked(bool emitted)
{
    FtOutput *output = QSIMPLEQ_FIRST(&gate.outputs);

    QSIMPLEQ_REMOVE_HEAD(&gate.outputs, next);
    gate.status.held--;
    gate.status.held_bytes -= output->size;
    if (emitted) {
        gate.left = MAX(gate.left, output->position);
        gate.status.released++;
    } else {
        gate.status.discarded++;
    }
}

static FtOutput *take_first(bool *emit)
{
    FtOutput *output;

    QEMU_LOCK_GUARD(&gate.lock);
    output = first_ready_locked();
    if (output) {
        *emit = !is_dropped_locked(output);
        remove_first_locked(*emit);
    }
    return output;
}

void ft_gate_flush(void)
{
    FtOutput *output;
    bool emit;

    QEMU_LOCK_GUARD(&gate.emit_lock);
    while ((output = take_first(&emit))) {
        trace_ft_gate_release(output->position, output->size, emit);
        output->finish(output, emit);
    }
}

/* The first output, if it may leave, or be dropped, without the main thread. */
static FtOutput *first_direct(bool *emit)
{
    FtOutput *output;

    QEMU_LOCK_GUARD(&gate.lock);
    output = first_ready_locked();
    if (!output || !output->try_emit) {
        return NULL;
    }
    *emit = !is_dropped_locked(output);
    if (*emit) {
        gate.left = MAX(gate.left, output->position);   /* or soon has */
    }
    return output;
}

/*
 * An acknowledgement lets packets out here and now: the main thread would
 * have to wake up, and to wait until the vCPU has left its slice.  The same
 * is true of a backup, whose packets have left on the primary.  Who holds
 * emit_lock already looks at the queue again, or has been asked to.
 */
static void emit_direct(void)
{
    FtOutput *output;
    bool emit;

    if (qemu_mutex_trylock(&gate.emit_lock)) {
        return;
    }
    while ((output = first_direct(&emit)) &&
           (!emit || output->try_emit(output))) {
        trace_ft_gate_release(output->position, output->size, emit);
        WITH_QEMU_LOCK_GUARD(&gate.lock) {
            remove_first_locked(emit);
        }
        output->finish(output, false);
    }
    qemu_mutex_unlock(&gate.emit_lock);
}

/* Any thread: what is ready leaves here, or by the main thread. */
static void let_out(void)
{
    bool ready;

    emit_direct();
    WITH_QEMU_LOCK_GUARD(&gate.lock) {
        ready = first_ready_locked();
    }
    if (ready) {
        qemu_bh_schedule(gate.bh);
    }
}

static void gate_bh(void *opaque)
{
    ft_gate_flush();
}

void ft_gate_init(void)
{
    qemu_mutex_init(&gate.emit_lock);
    qemu_mutex_init(&gate.lock);
    QSIMPLEQ_INIT(&gate.outputs);
    gate.bh = qemu_bh_new(gate_bh, NULL);
}

void ft_gate_hold(FtOutput *output)
{
    bool ready;

    output->position = ft_stream_output_position();
    output->replayed = replay_mode == REPLAY_MODE_PLAY;
    trace_ft_gate_hold(output->position, output->size);
    WITH_QEMU_LOCK_GUARD(&gate.lock) {
        QSIMPLEQ_INSERT_TAIL(&gate.outputs, output, next);
        gate.status.held++;
        gate.status.held_bytes += output->size;
        ready = first_ready_locked();
    }
    if (ready) {
        let_out();
    }
}

void ft_gate_begin(void)
{
    QEMU_LOCK_GUARD(&gate.lock);
    gate.open_to = 0;
    gate.left = gate.left_primary = 0;
}

void ft_gate_begin_open(void)
{
    /* What was made before the log began has no position in it. */
    ft_gate_flush();
    QEMU_LOCK_GUARD(&gate.lock);
    gate.open_to = FT_POSITION_ALL;
    gate.left = gate.left_primary = 0;
}

uint64_t ft_gate_shut(uint64_t position)
{
    QEMU_LOCK_GUARD(&gate.lock);
    gate.open_to = position;
    return gate.left;
}

void ft_gate_release(uint64_t position)
{
    bool ready, watched;

    WITH_QEMU_LOCK_GUARD(&gate.lock) {
        gate.open_to = position;
        ready = first_ready_locked();
        watched = gate.watched;
        gate.watched = false;
    }
    if (ready) {
        let_out();
    }
    if (watched) {
        gate.watcher();
    }
    ft_disk_fault_log(FT_DISK_POINT_ACKNOWLEDGED, position);
}

bool ft_gate_admits(uint64_t position)
{
    QEMU_LOCK_GUARD(&gate.lock);
    if (gate.closed || position > gate.open_to) {
        gate.watched = true;
        return false;
    }
    gate.left = MAX(gate.left, position);
    return true;
}

void ft_gate_set_watcher(void (*watcher)(void))
{
    gate.watcher = watcher;
}

uint64_t ft_gate_left(void)
{
    FtOutput *first;

    QEMU_LOCK_GUARD(&gate.lock);
    first = QSIMPLEQ_FIRST(&gate.outputs);
    return first && first->position <= gate.open_to ? first->position - 1
                                                    : gate.open_to;
}

void ft_gate_left_primary(uint64_t position)
{
    bool ready;

    WITH_QEMU_LOCK_GUARD(&gate.lock) {
        gate.left_primary = MAX(gate.left_primary, position);
        ready = first_ready_locked();
    }
    if (ready) {
        let_out();
    }
}

void ft_gate_close(void)
{
    WITH_QEMU_LOCK_GUARD(&gate.lock) {
        gate.closed = true;
    }
    qemu_bh_schedule(gate.bh);
}

void ft_gate_status(FtGateStatus *status)
{
    QEMU_LOCK_GUARD(&gate.lock);
    *status = gate.status;
}
