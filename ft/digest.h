/*
 * Digests: what a machine is at one instruction, compared by both sides.
 *
 * Purpose: a primary puts a digest into the log every so often; whoever
 *   executes the log makes its own at the same instruction and stops when the
 *   two differ (docs/divergence.md).
 * Thread: the main thread with BQL and replay mutex, unless said otherwise.
 * Units: interval in ms.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_DIGEST_H
#define FT_DIGEST_H

#include "qapi/qapi-types-ft.h"

/* The interval is ft_options.digest_ms from now on; 0: only on demand. */
void ft_digest_schedule(void);
/*
 * A session's log begins to be executed here, on either side, at the same
 * instruction: what was written before counts not.
 */
void ft_digest_begin(void);
/* Primary, on demand: with all of the memory. */
FtDigest *ft_digest_put(Error **errp);
/* The entry of a log, executed: compares, and fails this side. */
void ft_digest_compare(const uint8_t *data, size_t size);
/* Any thread: digests put or found equal in this session, and the last. */
void ft_digest_status(uint64_t *count, uint64_t *position);

#endif
