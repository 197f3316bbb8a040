/*
 * Repeated string instructions under instruction counting.
 *
 * Upstream translates a repeated string instruction one iteration at a time
 * when instructions are counted, so that an interrupt can come between any
 * two and each has a count of its own: 70 % of all returns to the execution
 * loop in a CPU-bound guest.  Its own loop within a block, which leaves the
 * block after 65,536 iterations at the latest, is as deterministic: how often
 * it repeats depends on registers and memory only, it ends its block, so it
 * may do I/O at any iteration, and a fault in the middle leaves the registers
 * of the iteration and counts nothing.  It is one instruction, as on a real
 * machine's counter (Intel SDM volume 3, chapter 20, "Instructions retired").
 *
 * Port I/O stays one at a time: a device may ask for what time it is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ACCEL_TCG_FT_REP_H
#define ACCEL_TCG_FT_REP_H

/*
 * May the instruction loop in its block although instructions are counted?
 * @flags and @cflags: the block's; translating thread; no side effects.
 */
static inline bool ft_rep_may_loop(uint32_t flags, uint32_t cflags,
                                   bool port_io)
{
    return (cflags & CF_USE_ICOUNT) && !(cflags & CF_SINGLE_STEP) &&
        !(flags & (HF_TF_MASK | HF_INHIBIT_IRQ_MASK)) && !port_io;
}

#endif
