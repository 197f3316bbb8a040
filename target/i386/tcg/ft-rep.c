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

/* Whole elements, up or down, from the one at the address to its page's end. */
static target_ulong in_page(CPUX86State *env, target_ulong address,
                            unsigned shift)
{
    target_ulong above = -(address | TARGET_PAGE_MASK) >> shift;
    target_ulong below = (address & ~TARGET_PAGE_MASK) >> shift;

    if (!above) {
        return 0;               /* it lies in two pages */
    }
    return env->df > 0 ? above : below + 1;
}

/* The first of the bytes, if nothing but memory is there; or NULL. */
static uint8_t *memory_at(CPUX86State *env, target_ulong address,
                          target_ulong count, uint32_t oi,
                          MMUAccessType access)
{
    uint8_t *host = tlb_vaddr_to_host(env, address, access, get_mmuidx(oi));
    unsigned shift = get_memop(oi) & MO_SIZE;

    return host && env->df < 0 ? host - ((count - 1) << shift) : host;
}

/*
 * At most all but one iteration before upstream's loop ends: that one is left
 * to it.
 */
static target_ulong count_max(target_ulong cx_next, uint32_t max)
{
    return (cx_next - 1) & max;
}

static void advance(CPUX86State *env, int reg, target_ulong size,
                    target_ulong mask)
{
    env->regs[reg] = (env->regs[reg] + env->df * size) & mask;
}

static target_ulong done(CPUX86State *env, target_ulong cx_next,
                         target_ulong count, target_ulong mask)
{
    env->regs[R_ECX] = (cx_next - count + 1) & mask;
    return cx_next - count;
}

/* Would an iteration read what another has written? */
static bool overlap(CPUX86State *env, const uint8_t *source,
                    const uint8_t *target, target_ulong size)
{
    return (uintptr_t)(env->df > 0 ? target - source : source - target) < size;
}

target_ulong helper_ft_rep_movs(CPUX86State *env, target_ulong cx_next,
                                target_ulong mask, uint32_t oi, uint32_t max)
{
    unsigned shift = get_memop(oi) & MO_SIZE;
    target_ulong from = env->regs[R_ESI] & mask;
    target_ulong to = env->regs[R_EDI] & mask;
    target_ulong count = count_max(cx_next, max);
    uint8_t *source, *target;

    count = MIN(count, in_page(env, from, shift));
    count = MIN(count, in_page(env, to, shift));
    if (!count ||
        !(source = memory_at(env, from, count, oi, MMU_DATA_LOAD)) ||
        !(target = memory_at(env, to, count, oi, MMU_DATA_STORE)) ||
        overlap(env, source, target, count << shift)) {
        return cx_next;
    }
    memmove(target, source, count << shift);
    advance(env, R_ESI, count << shift, mask);
    advance(env, R_EDI, count << shift, mask);
    return done(env, cx_next, count, mask);
}

target_ulong helper_ft_rep_stos(CPUX86State *env, target_ulong cx_next,
                                target_ulong mask, uint32_t oi, uint32_t max)
{
    unsigned shift = get_memop(oi) & MO_SIZE;
    target_ulong value = env->regs[R_EAX];
    target_ulong to = env->regs[R_EDI] & mask;
    target_ulong count = count_max(cx_next, max);
    uint8_t *target;

    count = MIN(count, in_page(env, to, shift));
    if (!count ||
        !(target = memory_at(env, to, count, oi, MMU_DATA_STORE))) {
        return cx_next;
    }
    if (shift == MO_8 || !value) {
        memset(target, value, count << shift);
    } else {
        for (target_ulong i = 0; i < count; i++) {
            stn_le_p(target + (i << shift), 1 << shift, value);
        }
    }
    advance(env, R_EDI, count << shift, mask);
    return done(env, cx_next, count, mask);
}
