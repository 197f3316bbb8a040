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
 * Of movs and stos, iterations that touch memory only are done together, as
 * far as a page goes (docs/adr/0022).
 *
 * For target/i386/tcg/translate.c, which has TCG's generators.  Thread: the
 * one that translates; no side effects.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_TCG_FT_REP_H
#define TARGET_I386_TCG_FT_REP_H

/* For fewer iterations a call costs more than it spares. */
#define FT_REP_BULK_MIN 32

/*
 * May the instruction loop in its block although instructions are counted?
 * @flags and @cflags: the block's.
 */
static inline bool ft_rep_may_loop(uint32_t flags, uint32_t cflags,
                                   bool port_io)
{
    return (cflags & CF_USE_ICOUNT) && !(cflags & CF_SINGLE_STEP) &&
        !(flags & (HF_TF_MASK | HF_INHIBIT_IRQ_MASK)) && !port_io;
}

typedef void FtRepBulkFn(TCGv, TCGv_ptr, TCGv, TCGv, TCGv_i32, TCGv_i32);

/*
 * Where the loop begins: many iterations of @bulk (NULL: it has none), if
 * instructions are counted.  @cx_next: iterations after this one, less what is
 * done.  @max: upstream's loop ends where it is none of these bits.
 * @wide: addresses have 64 bits, else 32.
 */
static inline void ft_rep_gen_bulk(uint32_t cflags, FtRepBulkFn *bulk,
                                   TCGv cx_next, MemOpIdx oi, bool wide,
                                   uint32_t max)
{
    TCGLabel *few;

    if (!bulk || !(cflags & CF_USE_ICOUNT)) {
        return;
    }
    few = gen_new_label();
    tcg_gen_brcondi_tl(TCG_COND_LTU, cx_next, FT_REP_BULK_MIN, few);
    bulk(cx_next, tcg_env, cx_next,
         tcg_constant_tl(wide ? -1 : (target_long)UINT32_MAX),
         tcg_constant_i32(oi), tcg_constant_i32(max));
    gen_set_label(few);
}

#endif
