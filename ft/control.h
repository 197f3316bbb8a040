/*
 * What an administrator does to the machine, and how it ends.
 *
 * Purpose: pause, continue, reset, power button and the end of the VM are
 *   made on the primary and reach the backup through the log (M16).  What
 *   would change the machine behind the log's back is refused.
 * Locks: BQL and replay mutex, unless said otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_CONTROL_H
#define FT_CONTROL_H

#include "core.h"
#include "replay/ft-stream.h"

void ft_control_init(FtRole role, bool start_paused);
/* The stream's callback: a control entry on the backup. */
void ft_control_run(FtControl code, const uint8_t *data, size_t size);
/* Primary: begins the guest; the first entry of the session's log. */
void ft_control_start_guest(void);
/* The same, for a machine that ran and whose state a backup has. */
void ft_control_begin_at_state(bool paused);
/* The backup is live: it takes commands now. */
void ft_control_live(void);
/* Commands that only an unprotected machine takes. */
void ft_control_set_alone(bool alone);
/* Does this command of a primary change what the guest does? */
bool ft_control_changes_guest(const char *command);
/* The process may end now: with the status asked for, or success. */
void ft_control_allow_exit(void);
/* Nothing may leave any more: end with status.  *why is for people. */
void ft_control_halt(int status, const char *why);

/* Exit statuses beside 0 (ended in order) and 1 (can't start). */
enum {
    FT_EXIT_FAILED = 3,         /* fail-stop: this side found an error */
    FT_EXIT_LOST = 4,           /* the other side won the lease */
    FT_EXIT_NOT_ELIGIBLE = 5,   /* the lease does not let it start */
};

#endif
