/*
 * QEMU as the driver of the protocol core.
 *
 * Purpose: an I/O thread that feeds the core with frames, datagrams, timers
 *   and lease answers, and carries out what it decides; what touches the
 *   machine is carried out by the main thread, in order.
 * Locks: ft_driver_* may be called from any thread unless said otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DRIVER_H
#define FT_DRIVER_H

#include "core.h"
#include "log.h"

typedef struct FtDriverStatus {
    FtCoreStatus core;          /* text and peer_node point into here: */
    char text[512];
    char peer_node[FT_NODE_MAX];
    uint64_t log_rate;          /* bytes/s over the last second */
    uint64_t lag_ms;
} FtDriverStatus;

/* The session's log: appended here on a primary, received on a backup. */
extern FtLog ft_driver_log;

/* Before anything else. */
void ft_driver_init(void);
/* Main thread, once, when the machine is complete.  Takes config's strings
   and the lease. */
void ft_driver_start(const FtCoreConfig *config, FtLease *lease);

void ft_driver_status(FtDriverStatus *status);
/* NULL, or why the command can't be given now (static string). */
const char *ft_driver_command(FtEventType command);
/* NULL, or why a machine that runs can't be protected now (static). */
const char *ft_driver_cannot_protect(void);
/*
 * The machine has begun a log at the state of this number; calls the backup.
 * Takes peer and identity (core.h).
 */
struct FtChannelPeer;
void ft_driver_protect(struct FtChannelPeer *peer, uint64_t state_id,
                       char *identity);
void ft_driver_protect_failed(const char *why);
/* The VM ends: at the log's position now (primary), or this process. */
void ft_driver_end(void);
/* This side can't go on; why is copied. */
void ft_driver_fail(const char *why);
/* A transaction is in the log; urgent: it is sent at once (M3). */
void ft_driver_appended(bool urgent);
/* Primary: the guest has no more to say, so what waits to be sent goes. */
void ft_driver_vcpu_sleeps(void);
/* The machine is live. */
void ft_driver_drained(void);

#endif
