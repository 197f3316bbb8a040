/*
 * One login to an iSCSI LUN, and SCSI commands over it, each with a deadline.
 *
 * Purpose: what a lease and a fence have to know for certain: whether a
 *   command was carried out on this very session.  So nothing reconnects by
 *   itself: once in doubt a session is broken for good, and the caller logs
 *   in anew.
 * Thread: calls block till the deadline; one thread a session.
 * Ownership: the caller's.  The address has to outlive the session.
 * Units: milliseconds of CLOCK_MONOTONIC, whatever other clocks do.
 * Errors: a text of what happened, without advice, for the caller's sentence.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_ISCSI_SESSION_H
#define FT_ISCSI_SESSION_H

#include "iscsi-address.h"

typedef struct FtIscsiSession FtIscsiSession;

typedef enum FtIscsiStatus {
    FT_ISCSI_GOOD,
    FT_ISCSI_MISCOMPARE,
    FT_ISCSI_CONFLICT,          /* another session's reservation */
    FT_ISCSI_ATTENTION,         /* something happened since; not carried out */
    FT_ISCSI_BUSY,              /* the target asks to try again */
    FT_ISCSI_UNSUPPORTED,       /* the target has no such command */
    FT_ISCSI_ERROR,             /* it was refused, or failed */
    FT_ISCSI_BROKEN,            /* no answer: it may have been carried out, or
                                   may be yet; the session is over */
} FtIscsiStatus;

/* key: the session's own; other: see each. */
typedef enum FtReserveAction {
    FT_RESERVE_REGISTER,        /* other: the new key, whatever was before */
    FT_RESERVE_CHANGE,          /* other: the new key, 0: none any more; it
                                   is also that of a reservation held */
    FT_RESERVE_RESERVE,
    FT_RESERVE_RELEASE,
    FT_RESERVE_PREEMPT,         /* other: whose place is taken */
    FT_RESERVE_PREEMPT_ABORT,
    FT_RESERVE_CLEAR,
} FtReserveAction;

typedef enum FtReserveType {
    FT_RESERVE_WRITE_EXCLUSIVE = 1,
    FT_RESERVE_EXCLUSIVE_ACCESS = 3,
} FtReserveType;

/* NULL: *why.  *denied: the target answered, and waiting won't help. */
FtIscsiSession *ft_iscsi_login(const FtIscsiAddress *address,
                               guint deadline_ms, gboolean *denied,
                               char **why);
/* Logs out if the target still answers. */
void ft_iscsi_logout(FtIscsiSession *session);

/*
 * The session of QEMU's own iSCSI driver, which goes on to use it: commands
 * of ours among its own.  From here on it does not reconnect by itself, so
 * that nothing is sent twice, or over a session that others did not check;
 * what is under way when it ends is cancelled, and what is sent afterwards
 * stays where it is.  pause is called while an answer is waited for: it
 * yields, for there is no thread to block.
 */
struct iscsi_context;
typedef void FtIscsiPauseFn(void);
FtIscsiSession *ft_iscsi_borrow(struct iscsi_context *ctx, int lun,
                                guint deadline_ms, FtIscsiPauseFn *pause);
/* It reconnects by itself again; or it is closed next. */
void ft_iscsi_give_back(FtIscsiSession *session);
void ft_iscsi_end(FtIscsiSession *session);
/* It has ended, or the target has been silent for ten seconds. */
gboolean ft_iscsi_is_dropped(const FtIscsiSession *session);
/* All that the driver has under way ends, with an error. */
void ft_iscsi_cancel(FtIscsiSession *session);
/*
 * A new session in the old one's place; nobody else may give commands
 * meanwhile.  Not good: not yet; call again.
 */
FtIscsiStatus ft_iscsi_renew(FtIscsiSession *session);

/* For the commands from now on. */
void ft_iscsi_set_deadline(FtIscsiSession *session, guint deadline_ms);
gboolean ft_iscsi_is_broken(const FtIscsiSession *session);
/* Of the last command that was not good. */
const char *ft_iscsi_error(const FtIscsiSession *session);

guint ft_iscsi_block_size(const FtIscsiSession *session);
guint64 ft_iscsi_blocks(const FtIscsiSession *session);

FtIscsiStatus ft_iscsi_read(FtIscsiSession *session, guint64 lba,
                            guint blocks, guint8 *data);
/* With FUA. */
FtIscsiStatus ft_iscsi_write(FtIscsiSession *session, guint64 lba,
                             guint blocks, const guint8 *data);
/* One block, with FUA. */
FtIscsiStatus ft_iscsi_compare_and_write(FtIscsiSession *session, guint64 lba,
                                         const guint8 *from,
                                         const guint8 *to);
/* Nothing to tell any more of what happened before. */
FtIscsiStatus ft_iscsi_ready(FtIscsiSession *session);
FtIscsiStatus ft_iscsi_flush(FtIscsiSession *session);

FtIscsiStatus ft_iscsi_reserve(FtIscsiSession *session,
                               FtReserveAction action, FtReserveType type,
                               guint64 key, guint64 other);
/* *key is 0 when nobody has a reservation. */
FtIscsiStatus ft_iscsi_holder(FtIscsiSession *session, guint64 *key,
                              FtReserveType *type);
/* Good: no command that any session gave before is still to be done. */
FtIscsiStatus ft_iscsi_reset_lun(FtIscsiSession *session);

#endif
