/*
 * A session's log in memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/host-utils.h"
#include "qemu/lockable.h"
#include "qemu/units.h"
#include "log.h"

/* Room that is never given back. */
#define CAPACITY_MIN (256 * KiB)

void ft_log_init(FtLog *log)
{
    qemu_mutex_init(&log->lock);
    qemu_cond_init(&log->cond);
    ft_log_reset(log);
}

void ft_log_reset(FtLog *log)
{
    QEMU_LOCK_GUARD(&log->lock);
    log->head = 0;
    log->base = log->committed = log->end = 0;
}

/* Mapped, and not from the heap, which keeps what a backlog once took. */
static void log_resize_locked(FtLog *log, size_t capacity)
{
    void *bytes = log->bytes
        ? mremap(log->bytes, log->capacity, capacity, MREMAP_MAYMOVE)
        : mmap(NULL, capacity, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (bytes == MAP_FAILED) {
        g_error("no memory for %zu bytes of log", capacity);
    }
    log->bytes = bytes;
    log->capacity = capacity;
}

static void log_move_to_front_locked(FtLog *log, size_t used)
{
    memmove(log->bytes, log->bytes + log->head, used);
    log->head = 0;
}

/*
 * Makes room for size more bytes.  Moving the rest to the front only when at
 * least half is free keeps the cost of a byte constant.
 */
static void log_reserve_locked(FtLog *log, size_t size)
{
    size_t used = log->end - log->base;

    if (log->head + used + size <= log->capacity) {
        return;
    }
    if (log->head < used + size) {
        log_resize_locked(log, MAX(pow2ceil(log->head + used + size),
                                   CAPACITY_MIN));
        return;
    }
    log_move_to_front_locked(log, used);
}

/* A backlog is over: its memory goes back, by halves, as it came. */
static void log_give_back_locked(FtLog *log)
{
    size_t used = log->end - log->base;

    if (log->capacity > CAPACITY_MIN && used <= log->capacity / 8) {
        log_move_to_front_locked(log, used);
        log_resize_locked(log, log->capacity / 2);
    }
}

uint64_t ft_log_append(FtLog *log, const void *data, size_t size)
{
    QEMU_LOCK_GUARD(&log->lock);
    log_reserve_locked(log, size);
    memcpy(log->bytes + log->head + (log->end - log->base), data, size);
    log->end += size;
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
        log->head += position - log->base;
        log->base = position;
        log_give_back_locked(log);
        qemu_cond_broadcast(&log->cond);
    }
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
    memcpy(data, log->bytes + log->head + (position - log->base), size);
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
