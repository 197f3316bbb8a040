/*
 * The live stream: upstream's record/replay engine on a session's log in
 * memory instead of a file, and the switches between its modes.
 *
 * Purpose: a primary's engine writes entries to a log that is published one
 *   whole transaction at a time; a backup's engine reads them as they come.
 *   The end of the available log is a normal state, "starved", not an end of
 *   file.  Going live makes a replaying machine a recording one.
 * Locks: a transaction is what is written between replay_mutex_lock() and
 *   replay_mutex_unlock().  Functions say which lock they need.
 * Units: positions in bytes of the log, clocks in ns.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef REPLAY_FT_STREAM_H
#define REPLAY_FT_STREAM_H

#include "system/replay.h"
#include "ft/log.h"

/*
 * Log entries of this project follow upstream's event numbers in the same
 * stream.  One byte code, four bytes length (big-endian, as upstream writes),
 * payload.  Explicit numbers: they are on the wire.
 */
typedef enum FtControl {
    FT_CONTROL_FIRST = 0xf0,
    FT_CONTROL_START = 0xf0,        /* the guest begins; flags, below */
    FT_CONTROL_PAUSE = 0xf1,        /* QMP stop, I/O error, panic */
    FT_CONTROL_CONTINUE = 0xf2,     /* QMP cont */
    FT_CONTROL_POWERDOWN = 0xf3,    /* the ACPI button */
    FT_CONTROL_DISK_RESULT = 0xf4,  /* a request failed on the primary */
    FT_CONTROL_DIGEST = 0xf5,       /* compare the machines here */
    FT_CONTROL_TIME = 0xf6,         /* what an instruction counts */
    FT_CONTROL_NMI = 0xf7,          /* QMP inject-nmi */
    FT_CONTROL_LINK = 0xf8,         /* QMP set_link */
    FT_CONTROL_DISK_DATA = 0xf9,    /* read from a shared disk */
    FT_CONTROL_DISK_DONE = 0xfa,    /* a change is on a shared disk */
    FT_CONTROL_LAST = 0xfa,
} FtControl;

/* DISK_DATA: request (8 bytes), offset (4), zeros before the data (4). */
#define FT_DISK_DATA_HEADER 16

/* Flags of FT_CONTROL_START. */
enum {
    FT_START_PAUSED = 1,
    FT_START_FROM_STATE = 2,        /* else with a reset */
    FT_START_FLAGS = 3,
};

/*
 * Runs a control entry on the backup, in the main thread, under the BQL and
 * the replay mutex, when everything before it was executed and nothing after.
 */
typedef void FtStreamControlFn(FtControl code, const uint8_t *data,
                               size_t size);
/*
 * A transaction was published, under the replay mutex; urgent: an output
 * waits for it, input is in it, or it is what was wanted.
 */
typedef void FtStreamNotifyFn(bool urgent);
/* Primary: the vCPU's thread goes to sleep, with its guest; BQL. */
typedef void FtStreamSleepFn(void);
/* The machine is live; main thread, BQL and replay mutex held. */
typedef void FtStreamLiveFn(void);

/*
 * ft_stream_fail() was called; any thread, any locks, and the thread does
 * not return.  The process ends with why, which is copied.
 */
typedef void FtStreamFailFn(const char *why);

/*
 * Backup: the engine comes to the entry at position, at the instruction where
 * it applies.  Replay mutex; the vCPU's thread or the main thread.
 */
typedef void FtStreamFetchedFn(uint64_t position);

/*
 * Backup, main thread: is done what has to be before it goes live?  If not,
 * ft_stream_settled() is called later.
 */
typedef bool FtStreamSettledFn(void);

/*
 * Primary, the vCPU's thread, BQL and replay mutex: what has arrived is logged
 * and given to the guest.
 */
typedef void FtStreamInputFn(void);

typedef struct FtStreamOps {
    FtStreamControlFn *control;
    FtStreamNotifyFn *appended;     /* primary: a transaction is in the log */
    FtStreamSleepFn *sleeps;
    FtStreamLiveFn *live;
    FtStreamFetchedFn *fetched;
    FtStreamFailFn *fail;
    FtStreamSettledFn *settled;
    FtStreamInputFn *input;
} FtStreamOps;

/* Before replay_configure(); the engine is then opened on the stream. */
void ft_stream_setup(bool play, FtLog *log, const FtStreamOps *ops);
bool ft_stream_active(void);

/* Under the replay mutex. */
void ft_stream_set_started(void);       /* the guest's clocks run from here */
void ft_stream_begin_log(void);         /* primary: a session's log begins */
void ft_stream_end_log(void);           /* alone: the log goes nowhere */
/*
 * A running machine's state is about to be saved; vCPU stopped, alone: what
 * is queued happens now, and so does what completes until the next function.
 */
void ft_stream_quiesce(void);
void ft_stream_unquiesce(void);         /* it goes on as it was */
/* The log begins with this state; what goes on begins with a START. */
void ft_stream_begin_log_at_state(void);
void ft_stream_abandon_state(void);     /* the log goes nowhere after all */
/* Both sides, where they begin; the vCPU is stopped. */
void ft_stream_reset_tlb(void);
/* Primary: publishes what is open; returns where the log ends now. */
uint64_t ft_stream_flush(void);
/* Appends a control entry at the current instruction; replay mutex. */
void ft_stream_put_control(FtControl code, const void *data, size_t size);
/*
 * Primary, from ops.input(): the packet is logged; the caller gives it to the
 * guest here and now.  netdev: a number, in the order of
 * replay_register_net().
 */
void ft_stream_put_packet(uint8_t netdev, unsigned flags, const void *data,
                          size_t size);
/*
 * Of the log's bytes from the last START or DIGEST up to the DIGEST that is
 * being put, or run.
 */
uint64_t ft_stream_take_log_hash(void);
/* The guest runs and its log is written. */
bool ft_stream_writes_log(void);
/* After each reset of the machine's devices. */
void ft_stream_reset_done(void);
/*
 * Clocks show what the log has last, and reading them is not logged: for
 * looking at the machine without changing its history.
 */
void ft_stream_hold_clocks(bool hold);
/*
 * The position an output made now has to wait for; on a backup the same as
 * it was on the primary.  Replay mutex.  The primary's transaction is
 * published soon: the vCPU is asked to leave.
 */
uint64_t ft_stream_output_position(void);

/* Primary: where the log ends now, with what is not published yet. */
uint64_t ft_stream_log_position(void);

/* Backup, main thread: the power button is the next entry; it was taken. */
bool ft_stream_take_powerdown(void);

/* Backup, main thread: is the end that is asked for the log's?  Once. */
bool ft_stream_take_shutdown(void);

/* Any thread. */
bool ft_stream_started(void);
bool ft_stream_follows(void);           /* backup: it has begun to replay */
void ft_stream_published(void);         /* backup: the log was committed */
uint64_t ft_stream_executed(void);      /* backup: entries done up to here */
uint64_t ft_stream_icount(void);        /* instructions executed, nearly now */
bool ft_stream_locked(void);            /* the caller has the replay mutex */
/* Backup, in the midst of an instruction: what the log has for it is taken. */
void ft_stream_catch_up(void);
/* How often each thread came by here; of two calls, has it turned round? */
void ft_stream_rounds(uint64_t *vcpu, uint64_t *main);
/* Primary: the vCPU waits while buffers are full or the backup is late. */
void ft_stream_set_stall(bool stall);
/*
 * Primary: of FT_REST_WHOLE parts of its time the vCPU rests so many, fewer
 * than all; it goes on at once when there is input.
 */
#define FT_REST_WHOLE 1000
void ft_stream_set_rest(unsigned permille);
/* Primary: a guest that executes publishes its count soon, urgently. */
void ft_stream_want_publish(void);
/* Backup: go live when everything committed is executed. */
void ft_stream_drain(void);
/*
 * Any thread, without locks: ops.input() has something for the guest; the
 * vCPU is told.  False: what arrives is not for this side now.
 */
void ft_stream_input(void);
bool ft_stream_takes_input(void);
/* Main thread, or the BQL: ops.settled() is true now. */
void ft_stream_settled(void);

/*
 * Backup: the engine met what it can't follow, a broken log or one that is
 * not this machine's.  Any thread, whatever it holds: the reason goes to the
 * driver, the process ends (ft/halt.h), and the caller stays here for ever.
 */
void ft_stream_fail(const char *fmt, ...) G_GNUC_PRINTF(1, 2) G_NORETURN;

/*
 * The length of the entry at data: > 0; 0 when more bytes are needed; < 0
 * when it is malformed, *why (static) says how.
 */
ssize_t ft_entry_length(const uint8_t *data, size_t size, const char **why);
/* May a log begin, or go on, with this entry?  False: *why as above. */
bool ft_entry_begins(const uint8_t *data, bool first, const char **why);

/*
 * Hooks, named by the function they are in (hooks/): each returns false, or
 * does nothing, when -ft is not used.
 */
void ft_stream_hook_enable(void);
void ft_stream_hook_shutdown(void);
bool ft_stream_hook_shutdown_request(void); /* true: no log has begun */
void ft_stream_hook_finish(void);       /* the machine has stopped for good */
bool ft_stream_hook_fetch(void);        /* true: nothing to fetch now */
void ft_stream_hook_before_lock(void);
void ft_stream_hook_after_lock(void);
void ft_stream_hook_before_unlock(void);
bool ft_stream_hook_checkpoint(ReplayCheckpoint checkpoint, bool *result);
bool ft_stream_hook_async_events(void); /* true: there are none */
bool ft_stream_hook_clock(ReplayClockKind kind, int64_t *clock);
/* True: *deadline is how long until a timer expires, -1 if it need not. */
bool ft_stream_hook_deadline(int type, int64_t expires, int64_t *deadline);
bool ft_stream_hook_random(void *buf, size_t len);
bool ft_stream_hook_exception(bool *result);    /* true: *result is the answer */
void ft_stream_hook_put_event(unsigned event);
bool ft_stream_hook_before_idle(void);  /* true: the vCPU has an event to run */
bool ft_stream_hook_idle(void);         /* true: the vCPU has work in the log */
bool ft_stream_hook_has_event(void);    /* true: nobody else need wake up */
bool ft_stream_hook_notify_exit(void);  /* true: the vCPU was told to leave */
int ft_stream_hook_reset(int cause);    /* the cause to act on */
void ft_stream_hook_pre_save(void);
bool ft_stream_hook_post_load(void);    /* true: the engine's state is set */
int64_t ft_stream_hook_tlb_resize(int64_t now);     /* the time to go by */

#endif
