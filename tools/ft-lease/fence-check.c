/*
 * Would a shared disk on this LUN's target be fenced?
 *
 * Two sessions, as of two machines, do what ft/fence-lun.c does when one of
 * them overtakes the other.  Each step asks for the one thing that the next
 * relies on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "fence-check.h"
#include "ft/iscsi-session.h"

enum {
    DEADLINE_MS = 10000,
    ATTENTIONS = 8,             /* told one after the other */
};

#define TYPE FT_RESERVE_WRITE_EXCLUSIVE

typedef struct Check {
    FtIscsiAddress *address;
    FtIscsiSession *old, *winner;
    guint64 old_key, winner_key;
    guint64 lba;                /* of a block that is written as it is */
    guint8 *block;
    gboolean force;
    char *why;                  /* it does not work, or is not found out */
} Check;

static int broken(Check *c, const char *why)
{
    c->why = g_strdup(why);
    return FT_FENCE_BROKEN;
}

static int failed(Check *c, const char *doing, const FtIscsiSession *session)
{
    c->why = g_strdup_printf("can't %s: %s", doing, ft_iscsi_error(session));
    return FT_FENCE_FAILED;
}

/* --- commands; an attention only tells what was done here ----------------- */

static FtIscsiStatus reserve(FtIscsiSession *session, FtReserveAction action,
                             guint64 key, guint64 other)
{
    FtIscsiStatus status = FT_ISCSI_ATTENTION;

    for (int i = 0; i < ATTENTIONS && status == FT_ISCSI_ATTENTION; i++) {
        status = ft_iscsi_reserve(session, action, TYPE, key, other);
    }
    return status;
}

static FtIscsiStatus holder(FtIscsiSession *session, guint64 *key)
{
    FtIscsiStatus status = FT_ISCSI_ATTENTION;
    FtReserveType type;

    for (int i = 0; i < ATTENTIONS && status == FT_ISCSI_ATTENTION; i++) {
        status = ft_iscsi_holder(session, key, &type);
    }
    return status;
}

static FtIscsiStatus write_block(Check *c, FtIscsiSession *session)
{
    FtIscsiStatus status = FT_ISCSI_ATTENTION;

    for (int i = 0; i < ATTENTIONS && status == FT_ISCSI_ATTENTION; i++) {
        status = ft_iscsi_write(session, c->lba, 1, c->block);
    }
    return status;
}

static guint64 new_key(void)
{
    return (guint64)g_random_int_range(1, G_MAXINT32) << 32 | g_random_int();
}

/* --- steps; not FT_FENCE_WORKS ends it ------------------------------------ */

static int log_in(Check *c, FtIscsiSession **session)
{
    gboolean denied;
    char *why;

    *session = ft_iscsi_login(c->address, DEADLINE_MS, &denied, &why);
    if (!*session) {
        c->why = why;
        return FT_FENCE_FAILED;
    }
    return ft_iscsi_ready(*session) == FT_ISCSI_GOOD
        ? FT_FENCE_WORKS : failed(c, "use the LUN", *session);
}

/* Nobody has it reserved now. */
static int begin(Check *c)
{
    guint64 key;
    FtIscsiStatus status = holder(c->winner, &key);

    if (status == FT_ISCSI_UNSUPPORTED) {
        return broken(c, "it has no persistent reservations");
    }
    if (status != FT_ISCSI_GOOD) {
        return failed(c, "ask who reserved the LUN", c->winner);
    }
    if (key && !c->force) {
        c->why = g_strdup("somebody has reserved the LUN: does a VM run on "
                          "it, or is it a lease? Give one that is not used, "
                          "or --force");
        return FT_FENCE_FAILED;
    }
    if (key) {
        reserve(c->winner, FT_RESERVE_REGISTER, 0, c->winner_key);
        reserve(c->winner, FT_RESERVE_CLEAR, c->winner_key, 0);
    }
    c->lba = ft_iscsi_blocks(c->winner) - 1;
    c->block = g_malloc(ft_iscsi_block_size(c->winner));
    return ft_iscsi_read(c->winner, c->lba, 1, c->block) == FT_ISCSI_GOOD
        ? FT_FENCE_WORKS : failed(c, "read the LUN", c->winner);
}

/* Not only who has the reservation: others are shut out by it. */
static int old_reserves(Check *c)
{
    FtIscsiStatus status = reserve(c->old, FT_RESERVE_REGISTER, 0,
                                   c->old_key);

    if (status == FT_ISCSI_GOOD) {
        status = reserve(c->old, FT_RESERVE_RESERVE, c->old_key, 0);
    }
    if (status == FT_ISCSI_UNSUPPORTED) {
        return broken(c, "it has no persistent reservations");
    }
    if (status != FT_ISCSI_GOOD) {
        return failed(c, "reserve the LUN", c->old);
    }
    if (write_block(c, c->old) != FT_ISCSI_GOOD) {
        return broken(c, "it refuses a write of the machine that has the "
                      "reservation");
    }
    return write_block(c, c->winner) == FT_ISCSI_CONFLICT ? FT_FENCE_WORKS
        : broken(c, "it does not refuse a write of another machine than the "
                 "one that has the reservation");
}

static int winner_takes_over(Check *c)
{
    FtIscsiStatus status = reserve(c->winner, FT_RESERVE_REGISTER, 0,
                                   c->winner_key);
    guint64 key = 0;

    if (status == FT_ISCSI_GOOD) {
        status = reserve(c->winner, FT_RESERVE_PREEMPT, c->winner_key,
                         c->old_key);
    }
    if (status == FT_ISCSI_GOOD) {
        status = holder(c->winner, &key);
    }
    if (status == FT_ISCSI_BROKEN) {
        return failed(c, "preempt the reservation", c->winner);
    }
    if (key != c->winner_key || write_block(c, c->winner) != FT_ISCSI_GOOD) {
        return broken(c, "its PREEMPT does not give the reservation to the "
                      "machine that takes over");
    }
    return FT_FENCE_WORKS;
}

static int old_is_shut_out(Check *c)
{
    return write_block(c, c->old) == FT_ISCSI_CONFLICT ? FT_FENCE_WORKS
        : broken(c, "it does not refuse a write of the machine that was "
                 "overtaken");
}

static int late_writes_are_over(Check *c)
{
    FtIscsiStatus status = ft_iscsi_reset_lun(c->winner);

    if (status == FT_ISCSI_UNSUPPORTED) {
        return broken(c, "it has no LOGICAL UNIT RESET, so it can't say when "
                      "writes that are under way are done");
    }
    if (status != FT_ISCSI_GOOD ||
        ft_iscsi_ready(c->winner) != FT_ISCSI_GOOD) {
        return failed(c, "reset the LUN", c->winner);
    }
    return write_block(c, c->winner) == FT_ISCSI_GOOD ? old_is_shut_out(c)
        : broken(c, "a reservation does not outlive a LOGICAL UNIT RESET");
}

static int check(Check *c)
{
    return log_in(c, &c->winner) ?: log_in(c, &c->old) ?: begin(c) ?:
        old_reserves(c) ?: winner_takes_over(c) ?: old_is_shut_out(c) ?:
        late_writes_are_over(c);
}

/* Also where reservations are broken nobody is to stay shut out. */
static void give_back(FtIscsiSession *session, guint64 key)
{
    if (session && !ft_iscsi_is_broken(session)) {
        reserve(session, FT_RESERVE_REGISTER, 0, key);
        reserve(session, FT_RESERVE_CLEAR, key, 0);
    }
    ft_iscsi_logout(session);
}

int ft_fence_check(const char *uri, const FtIscsiLogin *login,
                   gboolean force)
{
    Check c = { .force = force, .old_key = new_key(),
                .winner_key = new_key() };
    int status = FT_FENCE_FAILED;

    c.address = ft_iscsi_address_new(uri, login, &c.why);
    if (c.address) {
        status = check(&c);
        if (c.block) {
            give_back(c.old, c.old_key);
            give_back(c.winner, c.winner_key);
        } else {
            ft_iscsi_logout(c.old);
            ft_iscsi_logout(c.winner);
        }
        ft_iscsi_address_free(c.address);
    }
    switch (status) {
    case FT_FENCE_WORKS:
        printf("fence:       works: a machine that was overtaken can't write "
               "to a disk of this target\n");
        break;
    case FT_FENCE_BROKEN:
        printf("fence:       DOES NOT WORK: %s.\nA machine that was overtaken "
               "could still write to a disk of this target.\n", c.why);
        break;
    default:
        printf("fence:       not found out: %s\n", c.why);
        break;
    }
    g_free(c.block);
    g_free(c.why);
    return status;
}
