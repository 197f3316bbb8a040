/*
 * What an administrator does to the guest's devices: NMI, network cable.
 *
 * Purpose: QMP and HMP do it on the primary at once; the log tells at which
 *   instruction, and the backup does it there (M16).
 * Locks: BQL and replay mutex; main thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_HOST_H
#define FT_HOST_H

#include "replay/ft-stream.h"

/* Backup: carries out the entry. */
void ft_host_run(FtControl code, const uint8_t *data, size_t size);

#endif
