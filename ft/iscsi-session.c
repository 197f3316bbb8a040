/*
 * One login to an iSCSI LUN, and SCSI commands over it, each with a deadline.
 *
 * libiscsi's synchronous calls can't be used: they hang or crash when the
 * target dies.  Its own time-outs count seconds of the wall clock, and not
 * while it connects.  So this is its asynchronous interface with a loop of
 * our own around poll(2).  What a callback is given is of its own and lives
 * until that has been called, or till the context is gone.
 *
 * Source: SPC-4 and SBC-3 (commands, sense, persistent reservations).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>
#include <string.h>

#include "iscsi-internal.h"

enum {
    POLL_MS = 100,              /* libiscsi wants to be called now and then */
    LOGOUT_MS = 200,
    ATTENTIONS_MAX = 8,         /* told one after the other at the start */
    SENSE_KEY_ABORTED = 0xb,    /* has no name in libiscsi */
    SENSE_INVALID_OPCODE = 0x2000,
    SENSE_INVALID_FIELD = 0x2400,
    SENSE_INVALID_PARAMETER = 0x2600,
    HOLDER_MAX = 64,
    HOLDER_LENGTH_AT = 4,
    HOLDER_KEY_AT = 8,
    HOLDER_TYPE_AT = 21,
};

/* --- one question at a time ---------------------------------------------- */

static void say(FtIscsiSession *s, char *text)
{
    g_free(s->error);
    s->error = g_strstrip(text);
}

/* libiscsi's own text may be many words with a line's end. */
void ft_iscsi_say(FtIscsiSession *s, const char *doing)
{
    say(s, g_strdup_printf("%s: %s", doing, iscsi_get_error(s->ctx)));
}

static void on_answer(struct iscsi_context *ctx, int status, void *data,
                      void *opaque)
{
    Question *q = opaque;

    q->answered = TRUE;
    q->status = status;
    if (q->forgotten) {
        g_free(q);
    }
}

static void on_response(struct iscsi_context *ctx, int status, void *data,
                        void *opaque)
{
    Question *q = opaque;

    q->response = status == SCSI_STATUS_GOOD && data
        ? *(guint32 *)data : ISCSI_TMR_FUNC_REJECTED;
    on_answer(ctx, status, data, opaque);
}

/* From here on nothing more of ours goes to the target. */
static void break_off(FtIscsiSession *s)
{
    if (s->pause) {
        iscsi_scsi_cancel_all_tasks(s->ctx);
        s->broken = TRUE;
    } else {
        g_clear_pointer(&s->ctx, iscsi_destroy_context);
    }
}

/* After it was answered, or nobody waits for that any more. */
static void question_end(Question *q)
{
    if (q->answered) {
        g_free(q);
    } else {
        q->forgotten = TRUE;
    }
}

/* What libiscsi has to do now, if anything.  False: the connection ended. */
gboolean ft_iscsi_serve(FtIscsiSession *s, int wait_ms)
{
    struct pollfd pfd = {
        .fd = iscsi_get_fd(s->ctx),
        .events = iscsi_which_events(s->ctx),
    };

    return poll(&pfd, 1, wait_ms) < 0 ||         /* a signal */
           iscsi_service(s->ctx, pfd.revents) >= 0;
}

/* False: no answer, and s->error says why; the session is over. */
static gboolean wait_answer(FtIscsiSession *s, const gboolean *answered,
                            guint deadline_ms)
{
    gint64 end = g_get_monotonic_time() + (gint64)deadline_ms * 1000;

    while (!*answered) {
        gint64 left_ms = (end - g_get_monotonic_time() + 999) / 1000;

        if (left_ms <= 0) {
            say(s, g_strdup_printf("no answer within %u ms", deadline_ms));
            return FALSE;
        }
        if (!ft_iscsi_serve(s, s->pause ? 0 : MIN(left_ms, POLL_MS)) && !*answered) {
            ft_iscsi_say(s, "the connection ended");
            return FALSE;
        }
        if (s->pause && !*answered) {
            s->pause();
        }
    }
    return TRUE;
}

/* What the target said to a command. */
static FtIscsiStatus status_of(FtIscsiSession *s, int status,
                               const struct scsi_task *task)
{
    guint sense = task->sense.ascq;

    switch (status) {
    case SCSI_STATUS_GOOD:
        return FT_ISCSI_GOOD;
    case SCSI_STATUS_RESERVATION_CONFLICT:
        say(s, g_strdup("the LUN is reserved by another session"));
        return FT_ISCSI_CONFLICT;
    case SCSI_STATUS_BUSY:
    case SCSI_STATUS_TASK_SET_FULL:
    case SCSI_STATUS_TASK_ABORTED:
        say(s, g_strdup("the target is busy"));
        return FT_ISCSI_BUSY;
    case SCSI_STATUS_CHECK_CONDITION:
        break;
    default:
        say(s, g_strdup_printf("the connection ended (status %#x)",
                               status));
        return FT_ISCSI_BROKEN;
    }
    say(s, g_strdup_printf("%s (sense %x/%04x)",
                           scsi_sense_key_str(task->sense.key),
                           task->sense.key, sense));
    if (task->sense.key == SCSI_SENSE_UNIT_ATTENTION) {
        return FT_ISCSI_ATTENTION;
    }
    if (task->sense.key == SCSI_SENSE_MISCOMPARE) {
        return FT_ISCSI_MISCOMPARE;
    }
    if ((guint)task->sense.key == SENSE_KEY_ABORTED) {
        return FT_ISCSI_BUSY;
    }
    return task->sense.key == SCSI_SENSE_ILLEGAL_REQUEST &&
           (sense == SENSE_INVALID_OPCODE || sense == SENSE_INVALID_FIELD ||
            sense == SENSE_INVALID_PARAMETER)
        ? FT_ISCSI_UNSUPPORTED : FT_ISCSI_ERROR;
}

/* Takes the task; in or out may be NULL. */
static FtIscsiStatus command(FtIscsiSession *s, struct scsi_task *task,
                             guint8 *in, const guint8 *out, guint length)
{
    struct iscsi_data data = { .size = length, .data = (guint8 *)out };
    FtIscsiStatus status = FT_ISCSI_BROKEN;
    Question *q = g_new0(Question, 1);

    g_assert(task);
    if (in) {
        scsi_task_add_data_in_buffer(task, length, in);
    }
    if (ft_iscsi_is_broken(s)) {
        say(s, g_strdup("the connection ended"));
        q->answered = TRUE;
    } else if (iscsi_scsi_command_async(s->ctx, s->lun, task, on_answer,
                                        out ? &data : NULL, q)) {
        ft_iscsi_say(s, "can't send a command");
        q->answered = TRUE;
    } else if (wait_answer(s, &q->answered, s->deadline_ms)) {
        status = status_of(s, q->status, task);
    }
    if (status == FT_ISCSI_GOOD && in &&
        task->residual_status == SCSI_RESIDUAL_UNDERFLOW) {
        memset(in + length - MIN(task->residual, length), 0,
               MIN(task->residual, length));
    }
    if (status == FT_ISCSI_BROKEN && s->ctx) {
        break_off(s);                   /* before its task goes */
    }
    question_end(q);
    scsi_free_scsi_task(task);
    return status;
}

/* --- commands ------------------------------------------------------------ */

FtIscsiStatus ft_iscsi_read(FtIscsiSession *s, guint64 lba, guint blocks,
                            guint8 *data)
{
    guint size = blocks * s->block_size;

    return command(s, scsi_cdb_read16(lba, size, s->block_size, 0, 0, 0, 0,
                                      0), data, NULL, size);
}

FtIscsiStatus ft_iscsi_write(FtIscsiSession *s, guint64 lba, guint blocks,
                             const guint8 *data)
{
    guint size = blocks * s->block_size;

    return command(s, scsi_cdb_write16(lba, size, s->block_size, 0, 0, 1, 0,
                                       0), NULL, data, size);
}

FtIscsiStatus ft_iscsi_compare_and_write(FtIscsiSession *s, guint64 lba,
                                         const guint8 *from, const guint8 *to)
{
    guint size = 2 * s->block_size;
    guint8 *both = g_malloc(size);
    FtIscsiStatus status;

    memcpy(both, from, s->block_size);
    memcpy(both + s->block_size, to, s->block_size);
    status = command(s, scsi_cdb_compareandwrite(lba, size, s->block_size, 0,
                                                 0, 1, 0, 0),
                     NULL, both, size);
    g_free(both);
    return status;
}

FtIscsiStatus ft_iscsi_flush(FtIscsiSession *s)
{
    return command(s, scsi_cdb_synchronizecache16(0, 0, 0, 0), NULL, NULL, 0);
}

FtIscsiStatus ft_iscsi_reserve(FtIscsiSession *s, FtReserveAction action,
                               FtReserveType type, guint64 key, guint64 other)
{
    static const enum scsi_persistent_out_sa actions[] = {
        SCSI_PERSISTENT_RESERVE_REGISTER_AND_IGNORE_EXISTING_KEY,
        SCSI_PERSISTENT_RESERVE_REGISTER,
        SCSI_PERSISTENT_RESERVE_RESERVE,
        SCSI_PERSISTENT_RESERVE_RELEASE,
        SCSI_PERSISTENT_RESERVE_PREEMPT,
        SCSI_PERSISTENT_RESERVE_PREEMPT_AND_ABORT,
        SCSI_PERSISTENT_RESERVE_CLEAR,
    };
    struct scsi_persistent_reserve_out_basic keys = {
        .reservation_key = key,
        .service_action_reservation_key = other,
    };

    /* The task gets its own copy of the keys. */
    return command(s, scsi_cdb_persistent_reserve_out(
                       actions[action], SCSI_PERSISTENT_RESERVE_SCOPE_LU,
                       (enum scsi_persistent_out_type)type, &keys),
                   NULL, NULL, 0);
}

FtIscsiStatus ft_iscsi_holder(FtIscsiSession *s, guint64 *key,
                              FtReserveType *type)
{
    guint8 data[HOLDER_MAX] = { 0 };
    guint32 length;
    FtIscsiStatus status;

    status = command(s, scsi_cdb_persistent_reserve_in(
                         SCSI_PERSISTENT_RESERVE_READ_RESERVATION,
                         sizeof(data)), data, NULL, sizeof(data));
    memcpy(&length, data + HOLDER_LENGTH_AT, sizeof(length));
    *key = 0;
    *type = 0;
    if (status == FT_ISCSI_GOOD && length) {
        memcpy(key, data + HOLDER_KEY_AT, sizeof(*key));
        *key = GUINT64_FROM_BE(*key);
        *type = data[HOLDER_TYPE_AT] & 0xf;
    }
    return status;
}

FtIscsiStatus ft_iscsi_reset_lun(FtIscsiSession *s)
{
    FtIscsiStatus status = FT_ISCSI_BROKEN;
    Question *q = g_new0(Question, 1);

    if (ft_iscsi_is_broken(s) ||
        iscsi_task_mgmt_lun_reset_async(s->ctx, s->lun, on_response, q)) {
        say(s, g_strdup("can't send a reset of the LUN"));
        q->answered = TRUE;
    } else if (wait_answer(s, &q->answered, s->deadline_ms) &&
               q->status == SCSI_STATUS_GOOD) {
        status = q->response == ISCSI_TMR_FUNC_COMPLETE ? FT_ISCSI_GOOD
            : FT_ISCSI_UNSUPPORTED;
    }
    if (status == FT_ISCSI_UNSUPPORTED) {
        say(s, g_strdup_printf("the target refuses to reset the LUN "
                               "(response %u)", q->response));
    }
    if (status == FT_ISCSI_BROKEN && s->ctx) {
        break_off(s);
    }
    question_end(q);
    return status;
}

FtIscsiStatus ft_iscsi_ready(FtIscsiSession *s)
{
    FtIscsiStatus status = FT_ISCSI_ATTENTION;

    for (int i = 0; i < ATTENTIONS_MAX && status == FT_ISCSI_ATTENTION; i++) {
        status = command(s, scsi_cdb_testunitready(), NULL, NULL, 0);
    }
    return status;
}

/* --- a session's life ---------------------------------------------------- */

static gboolean set_up(FtIscsiSession *s)
{
    const FtIscsiAddress *a = s->address;

    s->ctx = iscsi_create_context(a->initiator);
    if (!s->ctx) {
        say(s, g_strdup("out of memory"));
        return FALSE;
    }
    iscsi_set_noautoreconnect(s->ctx, 1);
    iscsi_set_isid_random(s->ctx, g_random_int() & 0xffffff,
                          g_random_int() & 0xffff);
    if (iscsi_set_targetname(s->ctx, a->target) ||
        iscsi_set_session_type(s->ctx, ISCSI_SESSION_NORMAL) ||
        iscsi_set_header_digest(s->ctx, ISCSI_HEADER_DIGEST_CRC32C_NONE) ||
        (*a->user && iscsi_set_initiator_username_pwd(s->ctx, a->user,
                                                      a->password)) ||
        (*a->target_user && iscsi_set_target_username_pwd(
            s->ctx, a->target_user, a->target_password))) {
        ft_iscsi_say(s, "can't prepare a login");
        return FALSE;
    }
    return TRUE;
}

static gboolean log_in(FtIscsiSession *s, gboolean *denied)
{
    if (!set_up(s)) {
        return FALSE;
    }
    s->connect = g_new0(Question, 1);
    if (iscsi_full_connect_async(s->ctx, s->address->portal, s->lun,
                                 on_answer, s->connect)) {
        ft_iscsi_say(s, "can't connect");
        return FALSE;
    }
    if (!wait_answer(s, &s->connect->answered, s->deadline_ms)) {
        return FALSE;
    }
    if (s->connect->status != SCSI_STATUS_GOOD) {
        ft_iscsi_say(s, "can't log in");
        /* libiscsi gives the class and detail of the answer only as text. */
        *denied = strstr(s->error, "uthenti") || strstr(s->error, "uthoriz");
        return FALSE;
    }
    return TRUE;
}

static gboolean learn_size(FtIscsiSession *s)
{
    guint8 data[32];
    FtIscsiStatus status = FT_ISCSI_ATTENTION;
    guint32 size;

    for (int i = 0; i < ATTENTIONS_MAX && status == FT_ISCSI_ATTENTION; i++) {
        status = command(s, scsi_cdb_readcapacity16(), data, NULL,
                         sizeof(data));
    }
    if (status != FT_ISCSI_GOOD) {
        return FALSE;
    }
    memcpy(&s->blocks, data, sizeof(s->blocks));
    s->blocks = GUINT64_FROM_BE(s->blocks) + 1;
    memcpy(&size, data + 8, sizeof(size));
    s->block_size = GUINT32_FROM_BE(size);
    if (s->block_size < 512 || s->block_size > 65536 ||
        (s->block_size & (s->block_size - 1))) {
        say(s, g_strdup_printf("it says its blocks have %u bytes",
                               s->block_size));
        return FALSE;
    }
    return TRUE;
}

static void session_free(FtIscsiSession *s)
{
    if (s->ctx) {
        break_off(s);
    }
    g_free(s->connect);
    g_free(s->error);
    g_free(s);
}

FtIscsiSession *ft_iscsi_login(const FtIscsiAddress *address,
                               guint deadline_ms, gboolean *denied,
                               char **why)
{
    FtIscsiSession *s = g_new0(FtIscsiSession, 1);

    *denied = FALSE;
    s->address = address;
    s->lun = address->lun;
    s->deadline_ms = deadline_ms;
    if (log_in(s, denied) && learn_size(s)) {
        return s;
    }
    *why = g_steal_pointer(&s->error);
    session_free(s);
    return NULL;
}

void ft_iscsi_logout(FtIscsiSession *s)
{
    Question *q;

    if (!s) {
        return;
    }
    if (s->ctx && !s->pause) {
        q = g_new0(Question, 1);
        if (iscsi_logout_async(s->ctx, on_answer, q)) {
            q->answered = TRUE;
        } else {
            wait_answer(s, &q->answered, LOGOUT_MS);
        }
        break_off(s);
        question_end(q);
    }
    session_free(s);
}

/* --- what is known of it ------------------------------------------------- */

void ft_iscsi_set_deadline(FtIscsiSession *s, guint deadline_ms)
{
    s->deadline_ms = deadline_ms;
}

gboolean ft_iscsi_is_broken(const FtIscsiSession *s)
{
    return !s->ctx || s->broken;
}

const char *ft_iscsi_error(const FtIscsiSession *s)
{
    return s->error ?: "";
}

guint ft_iscsi_block_size(const FtIscsiSession *s)
{
    return s->block_size;
}

guint64 ft_iscsi_blocks(const FtIscsiSession *s)
{
    return s->blocks;
}
