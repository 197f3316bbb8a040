/*
 * A running machine's state as the beginning of a session.
 *
 * Purpose: QEMU's migration stream carries the state of instruction X to a
 *   file or a backup; a log that begins at X goes with it.  Upstream's
 *   migration does not know the replay mutex; the hooks below take it.
 * Thread: the hooks that lock run in the migration thread, the rest in the
 *   main thread under BQL and replay mutex.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_STATE_H
#define MIGRATION_FT_STATE_H

/* Called by the main thread when a state is saved, or was not. */
typedef void FtStateSavedFn(bool saved);
/* Called by the main thread when a state was loaded. */
typedef void FtStateLoadedFn(void);

/* Before the machine is created. */
void ft_state_init(FtStateLoadedFn *loaded);
/*
 * Primary, alone: sends the state to the URI; the machine runs on meanwhile,
 * stops at an instruction X, and is stopped when *saved is called; the log
 * begins at X.  False: *errp, and *saved is not called.
 */
bool ft_state_send(const char *uri, FtStateSavedFn *saved, Error **errp);
/*
 * The next state's sender stops before the last of it; false: as the
 * migration capability pause-before-switchover was before.
 */
void ft_state_pause(bool pause);
/* It has, and the vCPU stands. */
bool ft_state_paused(void);
/* The stream says that the disks have been copied too. */
bool ft_state_has_disks(void);
/* The last stream came, and was not sent. */
bool ft_state_came(void);
/* Did the machine run before it was stopped for that? */
bool ft_state_ran(void);
/* Which state this machine began from; 0: power-on. */
uint64_t ft_state_id(void);

/* Hooks. */
void ft_state_hook_synced(void);    /* the dirty bitmap was taken; BQL */
void ft_state_hook_lock(void);      /* before the BQL is taken */
void ft_state_hook_unlock(void);    /* beside giving it up */
void ft_state_hook_stopped(void);   /* the vCPU stands, nothing is saved */
void ft_state_hook_saved(bool saved);   /* and gives up the replay mutex */
void ft_state_hook_loaded(void);

#endif
