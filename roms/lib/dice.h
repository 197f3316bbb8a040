/*
 * Numbers that look random, the same ones in each run.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_DICE_H
#define ROM_DICE_H

#include <stdint.h>

/* 0 to sides - 1, of at most 2^24. */
uint32_t dice_throw(uint32_t sides);

#endif
