/*
 * A linear congruential generator, by its upper bits (Numerical Recipes).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "dice.h"

static uint32_t state = 1;

uint32_t dice_throw(uint32_t sides)
{
    state = state * 1664525 + 1013904223;
    return (state >> 8) % sides;
}
