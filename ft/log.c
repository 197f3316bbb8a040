/*
 * A session's log in memory.
 *
 * A ring that is mapped twice, one behind the other, so that what goes round
 * its end is still in one piece.  A byte stays where it is until it is
 * trimmed; a ring that is too small, or was large for nothing, is replaced,
 * and goes when nobody looks at it any more.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "qemu/lockable.h"
#include "qemu/units.h"
#include "log.h"

/* Room that is never given back. */
#define CAPACITY_MIN (256 * KiB)
/* A ring is halved when it was nearly empty for so long. */
#define SHRINK_AFTER_US (G_USEC_PER_SEC / 2)

struct FtLogRing {
    int refs;               /* atomic: the log, and each view */
    size_t capacity;        /* a power of two */
    uint8_t *bytes;         /* twice */
};

static FtLogRing *ring_new(size_t capacity)
{
    FtLogRing *ring = g_new(FtLogRing, 1);
    uint8_t *bytes = mmap(NULL, capacity * 2, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    /* A shared mapping of no old size is mapped a second time. */
    if (bytes == MAP_FAILED ||
        mmap(bytes, capacity, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
        mremap(bytes, 0, capacity, MREMAP_MAYMOVE | MREMAP_FIXED,
               bytes + capacity) == MAP_FAILED) {
        g_error("no memory for %zu bytes of log", capacity);
    }
    *ring = (FtLogRing) { .refs = 1, .capacity = capacity, .bytes = bytes };
    return ring;
}

static void ring_unref(FtLogRing *ring)
{
    if (qatomic_fetch_dec(&ring->refs) == 1) {
        munmap(ring->bytes, ring->capacity * 2);
        g_free(ring);
    }
}

static uint8_t *ring_at(const FtLogRing *ring, uint64_t position)
{
    return ring->bytes + (position & (ring->capacity - 1));
}

static void log_replace_ring_locked(FtLog *log, size_t capacity)
{
    FtLogRing *ring = ring_new(capacity);

    memcpy(ring_at(ring, log->base), ring_at(log->ring, log->base),
           log->end - log->base);
    ring_unref(log->ring);
    log->ring = ring;
}

static void log_begin_looking_locked(FtLog *log)
{
    log->most = log->end - log->base;
    log->looks_since_us = g_get_monotonic_time();
}

void ft_log_init(FtLog *log)
{
    qemu_mutex_init(&log->lock);
    qemu_cond_init(&log->cond);
    log->ring = ring_new(CAPACITY_MIN);
    ft_log_reset(log);
}

void ft_log_reset(FtLog *log)
{
    QEMU_LOCK_GUARD(&log->lock);
    log->base = log->committed = log->end = 0;
    /* Who looks at another session's bytes still finds them. */
    if (qatomic_read(&log->ring->refs) > 1) {
        log_replace_ring_locked(log, CAPACITY_MIN);
    }
    log_begin_looking_locked(log);
}

/* A backlog is over: its memory goes back, by halves, as it came. */
static void log_give_back_locked(FtLog *log)
{
    size_t capacity = log->ring->capacity;

    if (capacity > CAPACITY_MIN && g_get_monotonic_time() >=
        log->looks_since_us + SHRINK_AFTER_US) {
        if (log->most <= capacity / 8) {
            log_replace_ring_locked(log, capacity / 2);
        }
        log_begin_looking_locked(log);
    }
}

uint64_t ft_log_append(FtLog *log, const void *data, size_t size)
{
    size_t used;

    QEMU_LOCK_GUARD(&log->lock);
    used = log->end - log->base + size;
    if (used > log->ring->capacity) {
        log_replace_ring_locked(log, pow2ceil(used));
    }
    memcpy(ring_at(log->ring, log->end), data, size);
    log->end += size;
    log->most = MAX(log->most, used);
    return log->end;
}

void ft_log_commit(FtLog *log, uint64_t position)
{
    QEMU_LOCK_GUARD(&log->lock);
    assert(position >= log->committed && position <= log->end);
    log->committed = position;
    qemu_cond_broadcast(&log->cond);
}

void ft_log_commit_all(FtLog *log)
{
    QEMU_LOCK_GUARD(&log->lock);
    log->committed = log->end;
    qemu_cond_broadcast(&log->cond);
}

void ft_log_trim(FtLog *log, uint64_t position)
{
    QEMU_LOCK_GUARD(&log->lock);
    position = MIN(position, log->committed);
    if (position > log->base) {
        log->base = position;
        log_give_back_locked(log);
        qemu_cond_broadcast(&log->cond);
    }
}

void ft_log_view(FtLog *log, uint64_t position, uint64_t limit,
                 FtLogView *view)
{
    QEMU_LOCK_GUARD(&log->lock);
    assert(position >= log->base);
    limit = MIN(limit, log->end);
    qatomic_inc(&log->ring->refs);
    *view = (FtLogView) {
        .data = ring_at(log->ring, position),
        .size = position < limit ? limit - position : 0,
        .ring = log->ring,
    };
}

void ft_log_view_end(FtLogView *view)
{
    ring_unref(view->ring);
}

size_t ft_log_copy(FtLog *log, uint64_t position, uint64_t limit,
                   void *data, size_t size)
{
    QEMU_LOCK_GUARD(&log->lock);
    assert(position >= log->base);
    limit = MIN(limit, log->end);
    if (position >= limit) {
        return 0;
    }
    size = MIN(size, limit - position);
    memcpy(data, ring_at(log->ring, position), size);
    return size;
}

uint64_t ft_log_base(FtLog *log)
{
    QEMU_LOCK_GUARD(&log->lock);
    return log->base;
}

uint64_t ft_log_end(FtLog *log)
{
    QEMU_LOCK_GUARD(&log->lock);
    return log->end;
}

uint64_t ft_log_committed(FtLog *log)
{
    QEMU_LOCK_GUARD(&log->lock);
    return log->committed;
}

void ft_log_wait(FtLog *log, uint64_t position, int timeout_ms)
{
    QEMU_LOCK_GUARD(&log->lock);
    if (log->committed <= position) {
        qemu_cond_timedwait(&log->cond, &log->lock, timeout_ms);
    }
}

void ft_log_wake(FtLog *log)
{
    QEMU_LOCK_GUARD(&log->lock);
    qemu_cond_broadcast(&log->cond);
}
