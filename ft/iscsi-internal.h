/*
 * What iscsi-session.c and iscsi-borrow.c share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_ISCSI_INTERNAL_H
#define FT_ISCSI_INTERNAL_H

#include <iscsi/iscsi.h>

#include "iscsi-session.h"

typedef struct Question {
    gboolean answered;
    gboolean forgotten;         /* nobody waits: freed when answered */
    int status;
    guint32 response;           /* of task management */
} Question;

struct FtIscsiSession {
    const FtIscsiAddress *address;
    int lun;
    struct iscsi_context *ctx;  /* NULL: broken */
    guint deadline_ms;
    guint block_size;
    guint64 blocks;
    char *error;
    Question *connect;          /* is answered once more when it ends */

    /* Somebody else's context: see ft_iscsi_borrow(). */
    FtIscsiPauseFn *pause;      /* NULL: it is our own */
    gboolean renewing;
    gboolean broken;
};

/* What libiscsi has to do now, if anything.  False: the connection ended. */
gboolean ft_iscsi_serve(FtIscsiSession *session, int wait_ms);
/* The session's error is libiscsi's. */
void ft_iscsi_say(FtIscsiSession *session, const char *doing);

#endif
