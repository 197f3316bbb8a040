/*
 * Which of the requests to a shared disk has to wait, and for what.
 *
 * A change (a write, zeroes, a discard) waits for the gate: until the backup
 * has acknowledged the log up to its submission.  Else a machine that takes
 * over would find on the disk what it never wrote.  It also waits for every
 * earlier read or change of the same blocks (M19).
 *
 * A read need not wait for the gate, since nobody sees it: what it found is
 * in the log, and what the guest makes of it waits like everything else.  An
 * earlier write of the same blocks may still wait for the gate.  Then the
 * read takes those blocks from that write, not from the disk.  So a read
 * never waits for an acknowledgement, and finds what the guest wrote.
 *
 * A flush is of what the guest knows to be written, and that is on the disk
 * below already: it changes nothing, and goes at once.  The exception are
 * changes that the guest was told are done and are not (see disk-shared.c):
 * it goes after those, and later changes go after it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "disk-internal.h"
#include "gate.h"

/* The guest was told that it is done, and it is not. */
static bool is_owed(const FtDiskRequest *req)
{
    return req->completed && !req->io_done;
}

/* Of two requests to one disk: does the later one follow the earlier one? */
static bool follows(const FtDiskRequest *req, const FtDiskRequest *earlier)
{
    switch (req->kind) {
    case FT_DISK_READ:
        return earlier->issued && ft_disk_request_changes(earlier) &&
            ft_disk_request_overlaps(req, earlier);
    case FT_DISK_FLUSH:
        return earlier->kind != FT_DISK_READ && is_owed(earlier);
    default:
        return earlier->kind == FT_DISK_FLUSH
            ? is_owed(earlier) : ft_disk_request_overlaps(req, earlier);
    }
}

/* The disk has done it; but a backup that reads by itself has not. */
static bool is_over(const FtDiskRequest *req)
{
    return req->io_done &&
        (req->kind != FT_DISK_READ || req->completed || !ft_disk_reads_own());
}

static bool passes_reads(const FtDiskRequest *req)
{
    return !ft_disk_request_changes(req) || !ft_disk_reads_hold(req);
}

static bool passes_gate(const FtDiskRequest *req)
{
    return req->kind == FT_DISK_READ || ft_gate_admits(req->position);
}

bool ft_disk_order_has_to_wait(const FtDiskRequest *req)
{
    const FtDiskRequest *r;

    /* While it is drained nothing new may reach the disk below. */
    if (!passes_gate(req) || !passes_reads(req) ||
        (req->completed && req->disk->drained)) {
        return true;
    }
    QTAILQ_FOREACH(r, &req->disk->requests, next) {
        if (r == req) {
            return false;
        }
        if (!is_over(r) && follows(req, r)) {
            return true;
        }
    }
    return false;
}

static bool has_to_be_put_off(const FtDiskRequest *req)
{
    const FtDiskRequest *r;

    if (req->io_done || req->issued || req->kind == FT_DISK_READ) {
        return false;
    }
    if (req->completed || !passes_gate(req) || !passes_reads(req)) {
        return true;
    }
    QTAILQ_FOREACH(r, &req->disk->requests, next) {
        if (r == req) {
            return false;
        }
        if (r->put_off && follows(req, r)) {
            return true;
        }
    }
    return false;
}

void ft_disk_order_mark_put_off(FtDisk *disk)
{
    FtDiskRequest *req;

    QTAILQ_FOREACH(req, &disk->requests, next) {
        req->put_off = has_to_be_put_off(req);
    }
}

GPtrArray *ft_disk_order_unwritten(FtDiskRequest *req)
{
    GPtrArray *writes = NULL;
    FtDiskRequest *r;

    QTAILQ_FOREACH(r, &req->disk->requests, next) {
        if (r == req) {
            break;
        }
        if (!r->io_done && ft_disk_request_changes(r) &&
            ft_disk_request_overlaps(req, r)) {
            if (!writes) {
                writes = g_ptr_array_new_with_free_func(
                    (GDestroyNotify)ft_disk_request_unref);
            }
            r->refs++;
            g_ptr_array_add(writes, r);
        }
    }
    return writes;
}
