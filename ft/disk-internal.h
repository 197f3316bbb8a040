/*
 * What the parts of the disk guard share.
 *
 * disk.c          the guard as a driver of the block layer
 * disk-request.c  requests as the guest sees them, on any disk
 * disk-own.c      the way to a disk of this side's own (M22)
 * disk-shared.c   the way to a disk that both sides share (M21)
 * disk-order.c    which of the requests to a shared disk has to wait
 * disk-data.c     read data on its way through the log
 * disk-reads.c    or not: a backup that reads by itself (M23)
 *
 * Locks: BQL and replay mutex; coroutines of the main context.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DISK_INTERNAL_H
#define FT_DISK_INTERNAL_H

#include "block/block_int.h"
#include "system/block-backend.h"
#include "disk.h"
#include "disk-request.h"

typedef struct FtDiskRequest {
    uint64_t id;
    FtDiskKind kind;
    int64_t offset;
    int64_t bytes;
    BdrvRequestFlags flags;
    void *bounce;               /* a backup's read has none: see data */
    GByteArray *data;           /* what the log said was read */
    int ret;
    bool behind;                /* the guest does not wait for the disk */
    bool io_done;               /* the disk has answered, or need not */
    bool completed;             /* the guest knows; the coroutine may go on */
    bool event_queued;          /* the engine has it, and has not run it */

    /* On a shared disk only. */
    uint64_t position;          /* a change waits for it (ft/gate.h) */
    bool io_begun;              /* a coroutine takes it to the disk */
    bool issued;                /* the disk below has it */
    bool put_off;               /* can't be done while the disk is drained */

    int refs;                   /* the coroutine, the event, what is behind */
    Coroutine *co;
    QEMUBH *bh;
    FtDisk *disk;
    QTAILQ_ENTRY(FtDiskRequest) next;
} FtDiskRequest;

struct FtDisk {
    /* By id: those that are not completed, or that the disk still has. */
    QTAILQ_HEAD(, FtDiskRequest) requests;
    CoQueue overlap;                            /* wait for an earlier one */
    int drained;
    int rounds;                                 /* of bottom halves since */
    bool looked_for, holds;     /* it has something to do; it waits for us */
    QEMUBH *bh;                                 /* counts them */
    BlockDriverState *bs;
    BlockBackend *shared;                       /* NULL: an own disk */
    GQueue recent;                              /* disk-reads.c */
    QTAILQ_ENTRY(FtDisk) next;
};

typedef QTAILQ_HEAD(FtDisks, FtDisk) FtDisks;
extern FtDisks ft_disk_list;

/* --- disk-request.c ------------------------------------------------------- */

void ft_disk_request_unref(FtDiskRequest *req);
/* It leaves the list when the guest and the disk are done with it. */
void ft_disk_request_leave(FtDiskRequest *req);
/* The disk has to do it; the disk has answered. */
void ft_disk_request_begun(FtDiskRequest *req);
void coroutine_fn ft_disk_request_answered(FtDiskRequest *req);
/* In between the disk, file, does it. */
int coroutine_fn GRAPH_RDLOCK ft_disk_request_io(FtDiskRequest *req,
                                                 BdrvChild *file);
/* Primary: the log gets what went wrong; then the event, which completes it. */
void ft_disk_request_put_result(FtDiskRequest *req);
void ft_disk_request_queue_event(FtDiskRequest *req);
/* Backup: the log said that it failed, and that is its result now. */
bool ft_disk_request_take_result(FtDiskRequest *req);
/* Fail-stop; what: a format with one %s, for the errno's words. */
void ft_disk_request_failed(const char *what, int ret);
#define FT_DISK_FAILED_HERE \
    "this side's disk failed (%s) where the primary's did not"

static inline bool ft_disk_request_changes(const FtDiskRequest *req)
{
    return req->kind != FT_DISK_READ && req->kind != FT_DISK_FLUSH;
}

static inline bool ft_disk_request_overlaps(const FtDiskRequest *a,
                                            const FtDiskRequest *b)
{
    return a->offset < b->offset + b->bytes &&
        b->offset < a->offset + a->bytes;
}

/* --- disk-own.c ----------------------------------------------------------- */

/* Does the request, or on a backup begins to do it behind the guest. */
void coroutine_fn GRAPH_RDLOCK ft_disk_own_begin(FtDiskRequest *req);
/* The guest gets its result now: which is it? */
void ft_disk_own_settle(FtDiskRequest *req);
/* Is all on the disk that the guest was told is? */
bool ft_disk_own_settled(void);

/* --- disk-shared.c -------------------------------------------------------- */

void coroutine_fn ft_disk_shared_begin(FtDiskRequest *req);
/* The guest gets its result, and its data, now: which are they? */
void ft_disk_shared_settle(FtDiskRequest *req);
/* To the disk, which is this machine's, whatever its session goes through. */
int coroutine_fn ft_disk_shared_io(FtDiskRequest *req);
/* Its event came, and this machine's disk does not have it done yet. */
bool ft_disk_shared_takes_longer(const FtDiskRequest *req);
/* Its event came, and it is completed by that. */
void ft_disk_shared_ended(const FtDiskRequest *req);
/* Backup: the primary's disk has done it. */
void ft_disk_shared_done(FtDiskRequest *req);
/* The disk is drained: can all its requests complete now?  This one does. */
bool ft_disk_shared_can_complete(FtDisk *disk);
void ft_disk_shared_completes(FtDiskRequest *req);
/* Requests that waited look again, from the main loop; any thread. */
void ft_disk_shared_kick(void);
/* Are the disks this machine's?  If not it is tried; see ft_disk_settled(). */
bool ft_disk_shared_settled(void);
void ft_disk_shared_free(FtDisk *disk);
/* A read takes from earlier requests what they write to its blocks. */
void ft_disk_shared_take_unwritten(FtDiskRequest *req, GPtrArray *writes);

/* --- disk-order.c --------------------------------------------------------- */

/* Not yet: an earlier request, the gate or a drain comes first. */
bool ft_disk_order_has_to_wait(const FtDiskRequest *req);
/* Marks those that can't reach the disk while it is drained. */
void ft_disk_order_mark_put_off(FtDisk *disk);
/*
 * Earlier writes of the same blocks that the disk does not have yet, by id;
 * with references.
 */
GPtrArray *ft_disk_order_unwritten(FtDiskRequest *req);

/* --- disk-reads.c --------------------------------------------------------- */

/* The backup reads by itself (reads=own). */
bool ft_disk_reads_own(void);
/* Primary: a read completed for the guest; also when its event comes. */
void ft_disk_reads_completed(const FtDiskRequest *req, bool by_event);
/* Primary: the backup may still have to read what this changes. */
bool ft_disk_reads_hold(const FtDiskRequest *req);
/* Backup: reads it from the disk; its event is queued then. */
void ft_disk_reads_begin(FtDiskRequest *req);

/* --- disk-data.c ---------------------------------------------------------- */

/* Primary: what was read goes into the log. */
void ft_disk_data_put(const FtDiskRequest *req);
/* Backup: an entry of it.  False: it fits no request. */
bool ft_disk_data_take(const uint8_t *entry, size_t size);
/* Backup: all that was read by the request of this id; NULL: it is not whole. */
GByteArray *ft_disk_data_steal(uint64_t id, size_t bytes);
/* Backup: what came for requests that nobody will make. */
void ft_disk_data_forget(void);

#endif
