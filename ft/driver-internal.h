/*
 * What the parts of the driver share.
 *
 * Thread: the I/O thread, unless said otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DRIVER_INTERNAL_H
#define FT_DRIVER_INTERNAL_H

#include "driver.h"

/* Log that no output waits for is collected for this long (M3). */
#define FT_DRIVER_BATCH_MS 10

/* driver.c */
void ft_driver_feed(const FtEvent *event);
void ft_driver_core_status(FtCoreStatus *status);
bool ft_driver_core_can(FtEventType command, const char **why);
void ft_driver_lag_begin(void);
/* Any thread. */
bool ft_driver_runs(void);
void ft_driver_in_io_thread(GSourceFunc fn, gpointer data,
                            GDestroyNotify notify);
void ft_driver_post(FtEventType type, uint64_t position, const char *text);

/* driver-log.c */
void ft_driver_log_begin(void);
/* How far outputs are behind the position, for the backup's gate. */
uint32_t ft_driver_log_held(uint64_t position);
void ft_driver_log_send(const FtAction *action);
/* Before the I/O thread runs. */
void ft_driver_log_start(GMainContext *context);
/*
 * Backup: looks at the entries; what is malformed ends this side.  The engine
 * gets them by store(), after the acknowledgement was sent.
 */
void ft_driver_log_commit(uint64_t position);
void ft_driver_log_store(void);
gboolean ft_driver_log_batch(gpointer opaque);

#endif
