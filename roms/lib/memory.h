/*
 * What the compiler and the guests expect of a C library.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_MEMORY_H
#define ROM_MEMORY_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#endif
