/*
 * How large TCG's TLB is at the least.
 *
 * Upstream's is as large as what is used of it between two flushes, down to 64
 * entries.  It is direct mapped: of ten pages that a kernel uses all the time
 * two then have one place in every other boot, and each access to one throws
 * out the other.  Where a kernel puts them at random, the same job took 1.0 to
 * 1.5 times the CPU time, boot by boot, and now and then twice.  To empty a
 * larger TLB costs less than a microsecond.
 *
 * The size decides when page tables are read (docs/adr/0012): it follows from
 * the guest's flushes alone, on both sides the same.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ACCEL_TCG_FT_TLB_H
#define ACCEL_TCG_FT_TLB_H

#include "ft-blocks.h"

#define FT_TLB_ENTRIES_MIN 1024

/* @wanted: upstream's number for the next size; the vCPU's thread. */
static inline size_t ft_tlb_entries(size_t wanted)
{
    return ft_blocks_active() ? MAX(wanted, FT_TLB_ENTRIES_MIN) : wanted;
}

#endif
