/*
 * Every bound and time-out of the protocol, in one place, and the relations
 * that have to hold between them.
 *
 * Safety does not depend on any of these: time-outs decide when somebody
 * suspects, the lease decides who goes on (docs/timing.md).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LIMITS_H
#define FT_LIMITS_H

#include <glib.h>

enum {
    /* Heartbeats are sent this often, both ways; */
    FT_HEARTBEAT_INTERVAL_MS = 25,
    /* keep-alives and acknowledgements on the channel with some of them. */
    FT_KEEPALIVE_INTERVAL_MS = 50,
    /* The peer's silence is counted in steps of this. */
    FT_SILENCE_TICK_MS = 10,
    /* No sign of the peer on any path for so many times the longest silence
       of late: suspect it; */
    FT_JITTER_FACTOR = 4,
    /* but not before this, nor after that (ft/core-silence.h); */
    FT_SILENCE_MIN_MS = 160,
    FT_SILENCE_MAX_MS = 1000,
    /* a session begins with the most, and what was measured in n times this
       counts for an n-th of it at the least. */
    FT_SILENCE_LEARN_MS = 1000,
    /* "Of late": so many slots of time, and how long one is. */
    FT_JITTER_SLOTS = 30,
    FT_JITTER_SLOT_MS = 10000,
    /* Heartbeats arrive but the log channel is dead: end the session. */
    FT_CHANNEL_SILENCE_MS = 3000,
    /* The primary tries to reach its backup this often. */
    FT_CONNECT_INTERVAL_MS = 500,
    /* From a connection to both sides' HELLO. */
    FT_HANDSHAKE_MS = 10000,
    /* A running VM has to have a backup that follows this long after the log
       began, or protecting it is given up. */
    FT_PROTECT_MS = 120000,
    /* A pair is made when the backup executed what is older than this. */
    FT_PAIR_LAG_MS = 300,
    /* A lease step with an unknown result is asked again after this. */
    FT_LEASE_RETRY_MS = 200,
    /* Storage that has not answered after this is called unreachable. */
    FT_LEASE_SLOW_MS = 1000,

    /* Own disks: a running VM's state is sent when this much of its disks is
       not copied to the new backup; */
    FT_MIRROR_REST_MAX = 16 * 1024 * 1024,
    /* the rest is copied while it stands, for this long at most; */
    FT_MIRROR_END_MS = 10000,
    /* and a backup that takes nothing for this long is given up. */
    FT_MIRROR_SILENT_MS = 10000,
    FT_MIRROR_LOOK_MS = 5,

    FT_FRAME_PAYLOAD_MAX = 256 * 1024,
    FT_HELLO_MAX = 64 * 1024,
    FT_REASON_MAX = 1024,
    /* The primary's vCPU stalls when this much log is not acknowledged (M4). */
    FT_LOG_BUFFER_MAX = 64 * 1024 * 1024,
    /* The backup stops reading when this much log is not executed (M4). */
    FT_RING_MAX = 256 * 1024 * 1024,
    /* While its backup is further behind than this, the primary's vCPU rests
       so many thousandths of its time for each ms more, (M15) */
    FT_LAG_WANTED_MS = 10,
    FT_LAG_REST_PERMILLE_PER_MS = 10,
    FT_LAG_REST_MAX_PERMILLE = 900,
    /* and all the time while it is this far behind. */
    FT_LAG_STALL_MS = 500,
    /* A process that was told to end ends without the lease's answer after
       this; like a crash, that is always safe. */
    FT_END_GRACE_MS = 5000,
    /* Progress is looked at this often. */
    FT_WATCH_TICK_MS = 100,
    /* A backup that makes no step while there is log to execute has diverged
       when both its threads made so many rounds, a tick apart. */
    FT_STUCK_ROUNDS = 8,
    /* It stops when a disk of its own takes longer than this. */
    FT_STUCK_DISK_MS = 10000,
    /* And when its main thread makes no round for this long. */
    FT_MAIN_HANG_MS = 10000,
    /* The longest log entry a backup accepts. */
    FT_ENTRY_MAX = 1024 * 1024,
};

/* The backup is slower to suspect, so that a mere cut keeps the primary: by
   more than the time between two heartbeats. */
#define FT_SILENCE_BACKUP_MS(primary_ms) ((primary_ms) * 5 / 4 + 40)

G_STATIC_ASSERT(FT_HEARTBEAT_INTERVAL_MS * 4 <= FT_SILENCE_MIN_MS);
G_STATIC_ASSERT(FT_KEEPALIVE_INTERVAL_MS % FT_HEARTBEAT_INTERVAL_MS == 0);
/* By the end of a window all that was measured counts. */
G_STATIC_ASSERT(FT_SILENCE_MAX_MS / FT_SILENCE_MIN_MS * FT_SILENCE_LEARN_MS <
                FT_JITTER_SLOTS * FT_JITTER_SLOT_MS);
G_STATIC_ASSERT(FT_SILENCE_MIN_MS < FT_SILENCE_MAX_MS);
G_STATIC_ASSERT(FT_SILENCE_TICK_MS * 2 <= FT_HEARTBEAT_INTERVAL_MS);
G_STATIC_ASSERT(FT_SILENCE_BACKUP_MS(FT_SILENCE_MIN_MS) - FT_SILENCE_MIN_MS >
                FT_HEARTBEAT_INTERVAL_MS + FT_SILENCE_TICK_MS);
G_STATIC_ASSERT(FT_SILENCE_BACKUP_MS(FT_SILENCE_MAX_MS) <
                FT_CHANNEL_SILENCE_MS);
G_STATIC_ASSERT(FT_CHANNEL_SILENCE_MS < FT_HANDSHAKE_MS);
G_STATIC_ASSERT(FT_HANDSHAKE_MS < FT_PROTECT_MS);
G_STATIC_ASSERT(FT_PAIR_LAG_MS % FT_KEEPALIVE_INTERVAL_MS == 0);
/* A new pair's primary is not held back for its lag at once. */
G_STATIC_ASSERT(FT_PAIR_LAG_MS < FT_LAG_STALL_MS);
G_STATIC_ASSERT(FT_LAG_WANTED_MS + FT_LAG_REST_MAX_PERMILLE /
                FT_LAG_REST_PERMILLE_PER_MS < FT_LAG_STALL_MS);
G_STATIC_ASSERT(FT_STUCK_ROUNDS * FT_WATCH_TICK_MS <= 1000);
G_STATIC_ASSERT(FT_HELLO_MAX <= FT_FRAME_PAYLOAD_MAX);
G_STATIC_ASSERT(FT_REASON_MAX <= FT_FRAME_PAYLOAD_MAX);
G_STATIC_ASSERT(FT_ENTRY_MAX < FT_LOG_BUFFER_MAX);
G_STATIC_ASSERT(FT_LOG_BUFFER_MAX <= FT_RING_MAX);

#endif
