/*
 * The stubs around upstream's replay engine: a machine that is nothing but
 * an instruction counter, two timers and a device for each kind of event.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_FUZZ_MACHINE_H
#define FT_FUZZ_MACHINE_H

typedef struct Machine {
    CPUState cpu;
    QEMUBH *bh;                 /* a device's */
    QEMUTimer *timer;           /* of the guest's clock */
    bool running;               /* the run state */
    bool live;
    bool vcpu_thread;
} Machine;

extern Machine machine;

/* Once. */
void machine_init(void);
/* A machine after power-on, with the replay mutex held. */
void machine_begin(FtLog *log, const FtStreamOps *ops);
/* longjmped: some thread would have stayed where it was. */
void machine_end(bool longjmped);
void machine_oneshot(void *opaque);
/* The main loop's turn for the live stream. */
void machine_run_stream_bh(void);

#endif
