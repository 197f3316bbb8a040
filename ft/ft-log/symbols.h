/*
 * Guest addresses and their names.
 *
 * Purpose: the program counter of each entry, from the file that a replay
 *   wrote (-ft replay,pc=FILE), and the names of addresses, from a System.map,
 *   a saved /proc/kallsyms, or an ELF file (by nm).
 * Thread: one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LOG_SYMBOLS_H
#define FT_LOG_SYMBOLS_H

#include "qemu/osdep.h"

typedef struct FtLogSymbols FtLogSymbols;
typedef struct FtLogPc FtLogPc;

/* NULL: *why (g_free).  slide is added to each address (KASLR). */
FtLogSymbols *ft_log_symbols_load(const char *path, uint64_t slide,
                                  char **why);
/* "name+0x12", or the address; g_free.  symbols may be NULL. */
char *ft_log_symbols_name(const FtLogSymbols *symbols, uint64_t address);
/* The same without the offset. */
char *ft_log_symbols_function(const FtLogSymbols *symbols, uint64_t address);

FtLogPc *ft_log_pc_load(const char *path, char **why);
/* False: the replay did not come to this position. */
bool ft_log_pc_find(const FtLogPc *pc, uint64_t position, uint64_t *address);

#endif
