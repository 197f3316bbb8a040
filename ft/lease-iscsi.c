/*
 * A lease on an iSCSI LUN: "iscsi://[user%password@]HOST[:PORT]/IQN/LUN".
 *
 * Purpose: the compare-and-set of lease.h on the LUN's first block, which
 *   holds the record, or zeros when there is none.
 * Thread: as lease.h: calls block, one at a time per handle.
 *
 *   look: read the block
 *     it is the wanted record          -> flush -> WON
 *     it is not the one to start from  -> LOST
 *   change it from what was read, by COMPARE AND WRITE, or, where the target
 *   has none, by a write under a reservation taken before the look
 *     done                             -> flush -> WON
 *     anything else                    -> look again
 *     no answer                        -> log in again -> look again
 *
 * What a command that was not answered did, or may do yet, is never guessed:
 * only looking tells, by the claim's nonce.  A change that comes late finds
 * another block than it compared, or lost its reservation, once anybody
 * stepped on (docs/adr/0015-lease-iscsi.md).  A target changes its method, if
 * ever, with a new session, and mixing is safe: a COMPARE AND WRITE from
 * without is refused while the LUN is reserved.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "lease-iscsi.h"
#include "lease-reserve.h"

enum {
    /* One call; the core asks again. */
    CALL_MS = 5000,
    /* One command: longer and longer, since storage may be slow for long. */
    COMMAND_MS = 4000,
    COMMAND_MAX_MS = 60000,
    /* An idle session is not relied on: half-open ones show late. */
    SESSION_IDLE_MS = 2000,
    FORMAT_LOOK = 1024 * 1024,  /* bytes that have to be zero */
};

typedef struct FtLeaseIscsi {
    FtLease lease;
    FtIscsiAddress *address;
    FtIscsiSession *session;
    gint64 used_us;             /* when it was good last */
    gint64 end_us;              /* of this call */
    guint command_ms;
    FtLeaseMethod forced;
    FtLeaseMethod method;       /* of this session */
    FtLeaseReserve reserve;
    guint8 *block;              /* as read */
    guint8 *wanted;
} FtLeaseIscsi;

/* --- sessions ------------------------------------------------------------ */

static void session_end(FtLeaseIscsi *l)
{
    g_clear_pointer(&l->session, ft_iscsi_logout);
    ft_lease_reserve_renew(&l->reserve);
}

static void explain(FtLeaseIscsi *l, char **why, const char *what,
                    const char *next)
{
    g_free(*why);
    *why = g_strdup_printf("lease %s: %s; %s", l->lease.uri, what, next);
}

static void more_patience(FtLeaseIscsi *l)
{
    l->command_ms = MIN(l->command_ms * 2, COMMAND_MAX_MS);
}

/* False: *why. */
static gboolean session_begin(FtLeaseIscsi *l, char **why)
{
    g_autofree char *error = NULL;
    gboolean denied;

    if (l->session) {
        return TRUE;
    }
    l->session = ft_iscsi_login(l->address, l->command_ms, &denied, &error);
    if (!l->session) {
        explain(l, why, error, denied
                ? "check lease-user and lease-secret, and what the target "
                  "lets in" : "waiting for the target");
        more_patience(l);
        return FALSE;
    }
    l->method = l->forced;
    g_free(l->block);
    g_free(l->wanted);
    l->block = g_malloc0(ft_iscsi_block_size(l->session));
    l->wanted = g_malloc0(ft_iscsi_block_size(l->session));
    return TRUE;
}

/*
 * After a command that was not good.  True: begin again with the look.
 * False: this call ends, *why says with what.
 */
static gboolean again(FtLeaseIscsi *l, FtIscsiStatus status, char **why)
{
    gboolean in_time = g_get_monotonic_time() < l->end_us;

    switch (status) {
    case FT_ISCSI_MISCOMPARE:
    case FT_ISCSI_ATTENTION:
        break;
    case FT_ISCSI_BUSY:
        g_usleep(g_random_int_range(500, 4000));
        break;
    case FT_ISCSI_BROKEN:
        explain(l, why, ft_iscsi_error(l->session), "waiting for the target");
        session_end(l);
        more_patience(l);
        return in_time;
    default:
        explain(l, why, ft_iscsi_error(l->session),
                status == FT_ISCSI_CONFLICT
                ? "somebody else uses this LUN: give the lease one of its own"
                : status == FT_ISCSI_UNSUPPORTED
                ? "this target can hold no lease: see ft-lease check-target"
                : "waiting for the target to mend this");
        session_end(l);
        return FALSE;
    }
    if (!in_time) {
        explain(l, why, ft_iscsi_error(l->session), "trying again");
    }
    return in_time;
}

/* --- the block ----------------------------------------------------------- */

static gboolean is_zero(const guint8 *data, gsize size)
{
    return data[0] == 0 && !memcmp(data, data + 1, size - 1);
}

/* False: the block is none of ours, *why says what it may be. */
static gboolean block_parse(FtLeaseIscsi *l, FtLeaseRecord *now, char **why)
{
    const char *damage;

    memset(now, 0, sizeof(*now));
    if (is_zero(l->block, ft_iscsi_block_size(l->session)) ||
        ft_lease_record_in(now, l->block, &damage)) {
        return TRUE;
    }
    g_free(*why);
    *why = g_strdup_printf("lease %s is damaged, or holds something else: %s; "
                           "nobody may start on it. If it is a lease's LUN, "
                           "find out which machine ran last, empty it with "
                           "ft-lease format --force, and start that one with "
                           "new=on", l->lease.uri, damage);
    return FALSE;
}

static gboolean reserves(const FtLeaseIscsi *l)
{
    return l->method == FT_LEASE_METHOD_RESERVE ||
           l->method == FT_LEASE_METHOD_RASH;
}

static FtIscsiStatus block_flush(FtLeaseIscsi *l)
{
    FtIscsiStatus status;

    do {
        status = ft_iscsi_flush(l->session);
    } while (status == FT_ISCSI_ATTENTION);
    /*
     * A target without the command has no cache to flush.  A conflict: we
     * lost the reservation, to somebody who changes what we wanted to keep.
     */
    return status == FT_ISCSI_UNSUPPORTED ? FT_ISCSI_GOOD
        : status == FT_ISCSI_CONFLICT ? FT_ISCSI_BUSY : status;
}

/* The reservation, if this target needs one; then the block. */
static FtIscsiStatus block_look(FtLeaseIscsi *l, gboolean to_change)
{
    FtIscsiStatus status = FT_ISCSI_GOOD;

    if (to_change && reserves(l)) {
        l->reserve.rash = l->method == FT_LEASE_METHOD_RASH;
        status = ft_lease_reserve_take(&l->reserve, l->session, l->end_us);
    }
    return status == FT_ISCSI_GOOD
        ? ft_iscsi_read(l->session, 0, 1, l->block) : status;
}

static void block_leave(FtLeaseIscsi *l)
{
    if (l->session && reserves(l)) {
        ft_lease_reserve_park(&l->reserve, l->session);
    }
}

/* l->wanted for l->block, durably. */
static FtIscsiStatus block_change(FtLeaseIscsi *l)
{
    FtIscsiStatus status;

    if (reserves(l) || l->method == FT_LEASE_METHOD_BARE) {
        status = ft_iscsi_write(l->session, 0, 1, l->wanted);
        return status == FT_ISCSI_GOOD ? block_flush(l)
            : status == FT_ISCSI_CONFLICT ? FT_ISCSI_BUSY : status;
    }
    status = ft_iscsi_compare_and_write(l->session, 0, l->block, l->wanted);
    if (status == FT_ISCSI_GOOD) {
        l->method = FT_LEASE_METHOD_COMPARE;
        return block_flush(l);
    }
    if (l->forced == FT_LEASE_METHOD_ANY &&
        (status == FT_ISCSI_UNSUPPORTED || status == FT_ISCSI_CONFLICT)) {
        l->method = FT_LEASE_METHOD_RESERVE;
        return FT_ISCSI_BUSY;
    }
    return status;
}

/* --- operations ---------------------------------------------------------- */

typedef struct Step {
    const FtLeaseRecord *from, *to;
    FtLeaseRecord *now;
    FtLeaseResult result;
} Step;

/* Good: step->result is final; what else, as of a command. */
static FtIscsiStatus step_once(FtLeaseIscsi *l, Step *step, gboolean *foreign,
                               char **why)
{
    FtIscsiStatus status = block_look(l, TRUE);

    if (status != FT_ISCSI_GOOD) {
        return status;
    }
    *foreign = !block_parse(l, step->now, why);
    if (*foreign) {
        return FT_ISCSI_ERROR;
    }
    if (step->now->generation && ft_lease_record_equal(step->now, step->to)) {
        status = block_flush(l);
        step->result = FT_LEASE_WON;
    } else if (!ft_lease_record_equal(step->now, step->from)) {
        step->result = FT_LEASE_LOST;
    } else {
        ft_lease_record_out(step->to, l->wanted);
        status = block_change(l);
        *step->now = *step->to;
        step->result = FT_LEASE_WON;
    }
    return status;
}

static void call_begin(FtLeaseIscsi *l)
{
    gint64 now = g_get_monotonic_time();

    l->end_us = now + CALL_MS * 1000;
    if (l->session && (ft_iscsi_is_broken(l->session) ||
                       now - l->used_us > SESSION_IDLE_MS * 1000)) {
        session_end(l);
    }
}

static void call_good(FtLeaseIscsi *l, char **why)
{
    l->used_us = g_get_monotonic_time();
    l->command_ms = COMMAND_MS;
    g_clear_pointer(why, g_free);
}

static FtLeaseResult lease_iscsi_step(FtLease *lease,
                                      const FtLeaseRecord *from,
                                      const FtLeaseRecord *to,
                                      FtLeaseRecord *now, char **why)
{
    FtLeaseIscsi *l = (FtLeaseIscsi *)lease;
    Step step = { .from = from, .to = to, .now = now };
    gboolean foreign = FALSE;
    FtIscsiStatus status;

    call_begin(l);
    do {
        if (!session_begin(l, why)) {
            return FT_LEASE_UNKNOWN;
        }
        status = step_once(l, &step, &foreign, why);
        if (status == FT_ISCSI_GOOD || foreign) {
            block_leave(l);
        }
        if (status == FT_ISCSI_GOOD) {
            call_good(l, why);
            return step.result;
        }
    } while (!foreign && again(l, status, why));
    return FT_LEASE_UNKNOWN;
}

/* Good: the block is in l->block; with verify it was changed to itself. */
static FtIscsiStatus read_once(FtLeaseIscsi *l, gboolean verify)
{
    FtIscsiStatus status = block_look(l, verify);

    if (status == FT_ISCSI_GOOD && verify) {
        memcpy(l->wanted, l->block, ft_iscsi_block_size(l->session));
        status = block_change(l);
        if (status == FT_ISCSI_GOOD) {
            block_leave(l);
        }
    }
    return status;
}

static gboolean read_or_verify(FtLeaseIscsi *l, gboolean verify,
                               FtLeaseRecord *now, char **why)
{
    FtIscsiStatus status;

    call_begin(l);
    do {
        if (!session_begin(l, why)) {
            return FALSE;
        }
        status = read_once(l, verify);
        if (status == FT_ISCSI_GOOD) {
            call_good(l, why);
            return block_parse(l, now, why);
        }
    } while (again(l, status, why));
    return FALSE;
}

static gboolean lease_iscsi_read(FtLease *lease, FtLeaseRecord *now,
                                 char **why)
{
    return read_or_verify((FtLeaseIscsi *)lease, FALSE, now, why);
}

static gboolean lease_iscsi_verify(FtLease *lease, FtLeaseRecord *now,
                                   char **why)
{
    return read_or_verify((FtLeaseIscsi *)lease, TRUE, now, why);
}

/* --- format -------------------------------------------------------------- */

/* Good: what was looked at is all zero, or *found says what is there. */
static FtIscsiStatus look_around(FtLeaseIscsi *l, char **found)
{
    guint size = ft_iscsi_block_size(l->session);
    guint blocks = MIN(ft_iscsi_blocks(l->session), FORMAT_LOOK / size);
    g_autofree guint8 *data = g_malloc0((gsize)blocks * size);
    FtIscsiStatus status = ft_iscsi_read(l->session, 0, blocks, data);
    FtLeaseRecord record;
    const char *damage;

    if (status != FT_ISCSI_GOOD) {
        return status;
    }
    if (ft_lease_record_in(&record, data, &damage)) {
        *found = g_strdup_printf("a lease: generation %" G_GUINT64_FORMAT
                                 ", last run by \"%s\"", record.generation,
                                 record.owner);
    } else if (!is_zero(data, (gsize)blocks * size)) {
        *found = g_strdup_printf("data in its first %u KiB",
                                 blocks * size / 1024);
    }
    return FT_ISCSI_GOOD;
}

static FtIscsiStatus format_once(FtLeaseIscsi *l, gboolean force,
                                 gboolean dry_run, char **why)
{
    char *found = NULL;
    FtIscsiStatus status = look_around(l, &found);

    if (status != FT_ISCSI_GOOD || (!found && dry_run)) {
        return status;
    }
    if (found && !force) {
        g_free(*why);
        *why = g_strdup_printf("%s is not empty: there is %s; if nothing of "
                               "it is needed any more, use --force",
                               l->lease.uri, found);
        g_free(found);
        return FT_ISCSI_ERROR;
    }
    g_free(found);
    if (dry_run) {
        return FT_ISCSI_GOOD;
    }
    status = block_look(l, TRUE);
    if (status == FT_ISCSI_GOOD) {
        memset(l->wanted, 0, ft_iscsi_block_size(l->session));
        status = block_change(l);
    }
    if (status == FT_ISCSI_GOOD) {
        block_leave(l);
    }
    return status;
}

static gboolean lease_iscsi_format(FtLease *lease, gboolean force,
                                   gboolean dry_run, char **why)
{
    FtLeaseIscsi *l = (FtLeaseIscsi *)lease;
    FtIscsiStatus status;

    call_begin(l);
    do {
        if (!session_begin(l, why)) {
            return FALSE;
        }
        status = format_once(l, force, dry_run, why);
        if (status == FT_ISCSI_GOOD) {
            call_good(l, why);
            return TRUE;
        }
    } while (!(status == FT_ISCSI_ERROR && *why) && again(l, status, why));
    return FALSE;
}

/* --- a handle's life ----------------------------------------------------- */

static void lease_iscsi_close(FtLease *lease)
{
    FtLeaseIscsi *l = (FtLeaseIscsi *)lease;

    session_end(l);
    ft_iscsi_address_free(l->address);
    g_free(l->block);
    g_free(l->wanted);
    g_free(l);
}

static const FtLeaseOps lease_iscsi_ops = {
    .step = lease_iscsi_step,
    .read = lease_iscsi_read,
    .format = lease_iscsi_format,
    .verify = lease_iscsi_verify,
    .close = lease_iscsi_close,
};

FtLease *ft_lease_iscsi_open(const char *uri, const FtIscsiLogin *login,
                             char **why)
{
    FtIscsiAddress *address = ft_iscsi_address_new(uri, login, why);
    FtLeaseIscsi *l;

    if (!address) {
        return NULL;
    }
    l = g_new0(FtLeaseIscsi, 1);
    l->lease.ops = &lease_iscsi_ops;
    l->address = address;
    l->command_ms = COMMAND_MS;
    return &l->lease;
}

void ft_lease_iscsi_force(FtLease *lease, FtLeaseMethod method)
{
    FtLeaseIscsi *l = (FtLeaseIscsi *)lease;

    g_assert(lease->ops == &lease_iscsi_ops);
    l->forced = l->method = method;
}

FtLeaseMethod ft_lease_iscsi_method(const FtLease *lease)
{
    g_assert(lease->ops == &lease_iscsi_ops);
    return ((const FtLeaseIscsi *)lease)->method;
}
