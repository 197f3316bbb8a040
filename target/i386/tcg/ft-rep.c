/*
 * Many iterations of a repeated movs or stos at once.
 *
 * As far as the page goes, and only where each iteration would have found its
 * page in the TLB and nothing but memory behind it.  What is left of registers,
 * memory, page tables and TLB is what the iterations would have left: each of
 * them asks for the source's page, then for the target's, as is done here
 * once.  So it does not matter whether a machine and its backup both take this
 * way: one of them may watch the page for writes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "cpu.h"
#include "exec/cpu_ldst.h"
#include "exec/helper-proto.h"

/* Whole elements from the address to its page's end. */
static target_ulong to_page_end(target_ulong address, unsigned shift)
{
    return -(address | TARGET_PAGE_MASK) >> shift;
}

static target_ulong moved(target_ulong address, target_ulong by,
                          target_ulong mask)
{
    return (address + by) & mask;
}

/* At least one iteration is left to the loop, which then looks at cx_next. */
static target_ulong count_max(CPUX86State *env, target_ulong cx_next,
                              uint32_t max)
{
    return env->df == 1 ? (cx_next - 1) & max : 0;
}

static target_ulong done(CPUX86State *env, target_ulong cx_next,
                         target_ulong count, target_ulong mask)
{
    env->regs[R_ECX] = (cx_next - count + 1) & mask;
    return cx_next - count;
}

target_ulong helper_ft_rep_movs(CPUX86State *env, target_ulong cx_next,
                                target_ulong mask, uint32_t oi, uint32_t max)
{
    unsigned shift = get_memop(oi) & MO_SIZE;
    target_ulong from = env->regs[R_ESI] & mask;
    target_ulong to = env->regs[R_EDI] & mask;
    target_ulong count = count_max(env, cx_next, max);
    target_ulong size;
    uint8_t *source, *target;

    count = MIN(count, to_page_end(from, shift));
    count = MIN(count, to_page_end(to, shift));
    size = count << shift;
    if (!count ||
        !(source = tlb_vaddr_to_host(env, from, MMU_DATA_LOAD,
                                     get_mmuidx(oi))) ||
        !(target = tlb_vaddr_to_host(env, to, MMU_DATA_STORE,
                                     get_mmuidx(oi))) ||
        /* One iteration would read what another has written. */
        (uintptr_t)target - (uintptr_t)source < size) {
        return cx_next;
    }
    memmove(target, source, size);
    env->regs[R_ESI] = moved(from, size, mask);
    env->regs[R_EDI] = moved(to, size, mask);
    return done(env, cx_next, count, mask);
}

target_ulong helper_ft_rep_stos(CPUX86State *env, target_ulong cx_next,
                                target_ulong mask, uint32_t oi, uint32_t max)
{
    unsigned shift = get_memop(oi) & MO_SIZE;
    target_ulong value = env->regs[R_EAX];
    target_ulong to = env->regs[R_EDI] & mask;
    target_ulong count = count_max(env, cx_next, max);
    uint8_t *target;

    count = MIN(count, to_page_end(to, shift));
    if (!count ||
        !(target = tlb_vaddr_to_host(env, to, MMU_DATA_STORE,
                                     get_mmuidx(oi)))) {
        return cx_next;
    }
    if (shift == MO_8 || !value) {
        memset(target, value, count << shift);
    } else {
        for (target_ulong i = 0; i < count; i++) {
            stn_le_p(target + (i << shift), 1 << shift, value);
        }
    }
    env->regs[R_EDI] = moved(to, count << shift, mask);
    return done(env, cx_next, count, mask);
}
