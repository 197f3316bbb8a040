/*
 * Faults on purpose on a write's way to a shared disk.
 *
 *   submitted -> logged -> sent -> acknowledged -> issued -> completed ->
 *   ended -> delivered
 *
 * The points in between are the log's: that of the write's submission, and
 * for "delivered" that of its completion.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "disk-fault.h"

static struct {
    bool armed;                 /* atomic; the rest is set before it */
    FtDiskPoint point;
    int signal;
    uint32_t count;             /* BQL: writes until it is met */
    uint64_t position;          /* atomic: of that write; 0: not known yet */
} fault;

void ft_disk_fault_set(FtDiskPoint point, uint32_t count, int signal)
{
    qatomic_set(&fault.armed, false);
    fault.point = point;
    fault.count = MAX(count, 1);
    fault.signal = signal;
    qatomic_set(&fault.position, 0);
    qatomic_store_release(&fault.armed, true);
}

bool ft_disk_fault_is_at(FtDiskPoint point)
{
    return qatomic_load_acquire(&fault.armed) && fault.point == point;
}

static void strike(void)
{
    if (qatomic_xchg(&fault.armed, false)) {
        kill(getpid(), fault.signal);
    }
}

void ft_disk_fault_at(FtDiskPoint point, uint64_t position)
{
    bool watched;

    if (!qatomic_load_acquire(&fault.armed)) {
        return;
    }
    watched = fault.point == FT_DISK_POINT_LOGGED ||
        fault.point == FT_DISK_POINT_SENT ||
        fault.point == FT_DISK_POINT_ACKNOWLEDGED
        ? point == FT_DISK_POINT_SUBMITTED
        : fault.point == FT_DISK_POINT_DELIVERED &&
          point == FT_DISK_POINT_ENDED;
    if ((!watched && point != fault.point) || fault.count == 0 ||
        --fault.count > 0) {
        return;
    }
    if (watched) {
        qatomic_set(&fault.position, MAX(position, 1));
    } else {
        strike();
    }
}

void ft_disk_fault_log(FtDiskPoint point, uint64_t position)
{
    uint64_t wanted;

    if (!qatomic_load_acquire(&fault.armed)) {
        return;
    }
    wanted = qatomic_read(&fault.position);
    if (wanted && position >= wanted &&
        (point == fault.point || (point == FT_DISK_POINT_ACKNOWLEDGED &&
                                  fault.point == FT_DISK_POINT_DELIVERED))) {
        strike();
    }
}
