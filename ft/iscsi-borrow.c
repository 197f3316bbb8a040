/*
 * The session of QEMU's own iSCSI driver, borrowed: see iscsi-session.h.
 *
 * libiscsi, told not to reconnect, cancels what is under way when a connection
 * ends, and keeps what is given to it afterwards, without an answer.  Told to
 * reconnect again it would send that over the new session; so all of it is
 * cancelled first.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE              /* POLLRDHUP */
#endif
#include <glib.h>
#include <iscsi/iscsi.h>
#include <poll.h>

#include "iscsi-internal.h"

enum {
    NOPS_MAX = 2,               /* 5 s apart: QEMU gives up at 3 */
    BLOCK = 512,                /* what a read has to fit in */
    END_S = 1,                  /* for the driver's logout */
};

FtIscsiSession *ft_iscsi_borrow(struct iscsi_context *ctx, int lun,
                                guint deadline_ms, FtIscsiPauseFn *pause)
{
    FtIscsiSession *s = g_new0(FtIscsiSession, 1);

    s->ctx = ctx;
    s->lun = lun;
    s->deadline_ms = deadline_ms;
    s->block_size = BLOCK;
    s->pause = pause;
    iscsi_set_noautoreconnect(ctx, 1);
    return s;
}

void ft_iscsi_give_back(FtIscsiSession *s)
{
    iscsi_set_noautoreconnect(s->ctx, 0);
    g_free(s->error);
    g_free(s);
}

void ft_iscsi_end(FtIscsiSession *s)
{
    iscsi_scsi_cancel_all_tasks(s->ctx);
    iscsi_set_timeout(s->ctx, END_S);
    g_free(s->error);
    g_free(s);
}

gboolean ft_iscsi_is_dropped(const FtIscsiSession *s)
{
    struct pollfd pfd = { .fd = iscsi_get_fd(s->ctx), .events = POLLRDHUP };

    return s->broken || s->renewing ||
           iscsi_get_nops_in_flight(s->ctx) >= NOPS_MAX ||
           poll(&pfd, 1, 0) > 0;
}

void ft_iscsi_cancel(FtIscsiSession *s)
{
    iscsi_scsi_cancel_all_tasks(s->ctx);
}

FtIscsiStatus ft_iscsi_renew(FtIscsiSession *s)
{
    gint64 end = g_get_monotonic_time() + (gint64)s->deadline_ms * 1000;
    FtIscsiStatus status;

    if (!s->renewing) {
        s->renewing = TRUE;
        iscsi_scsi_cancel_all_tasks(s->ctx);
        iscsi_set_noautoreconnect(s->ctx, 0);
        if (iscsi_is_logged_in(s->ctx)) {
            iscsi_reconnect(s->ctx);
        }
    }
    while (!iscsi_is_logged_in(s->ctx)) {
        ft_iscsi_serve(s, 0);
        if (g_get_monotonic_time() > end) {
            ft_iscsi_say(s, "can't log in again");
            return FT_ISCSI_BROKEN;
        }
        s->pause();
    }
    s->broken = FALSE;
    status = ft_iscsi_ready(s);
    if (status == FT_ISCSI_GOOD) {
        iscsi_set_noautoreconnect(s->ctx, 1);
        s->renewing = FALSE;
    }
    return status;
}
