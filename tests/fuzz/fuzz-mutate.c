/*
 * Mutates a log by whole entries, so that what comes after a change is still
 * read as it was meant.  Half of the time libFuzzer changes bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "replay/ft-stream.h"
#include "replay/replay-internal.h"
#include "fuzz.h"

#define ENTRIES_MAX 4096

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
                               unsigned seed);

typedef struct Log {
    uint8_t *data;
    size_t size, max;
    unsigned entries;
    size_t at[ENTRIES_MAX + 1];
    uint32_t random;
} Log;

static uint32_t random_below(Log *log, uint32_t end)
{
    log->random = log->random * 1664525 + 1013904223;
    return end ? (log->random >> 8) % end : 0;
}

static void find_entries(Log *log)
{
    const char *why;
    size_t at = 0;

    log->entries = 0;
    while (at < log->size && log->entries < ENTRIES_MAX) {
        ssize_t n = ft_entry_length(log->data + at, log->size - at, &why);

        if (n <= 0) {
            break;
        }
        log->at[log->entries++] = at;
        at += n;
    }
    log->at[log->entries] = at;
}

static void cut(Log *log, size_t at, size_t n)
{
    memmove(log->data + at, log->data + at + n, log->size - at - n);
    log->size -= n;
}

static void insert(Log *log, size_t at, const void *data, size_t n)
{
    if (log->size + n > log->max) {
        return;
    }
    memmove(log->data + at + n, log->data + at, log->size - at);
    memcpy(log->data + at, data, n);
    log->size += n;
}

/* A short entry that the log need not have had. */
static void insert_new(Log *log, size_t at)
{
    uint8_t entry[9] = { 0 };
    size_t n = 1;

    switch (random_below(log, 5)) {
    case 0:
        entry[0] = EVENT_CHECKPOINT + random_below(log, CHECKPOINT_COUNT);
        break;
    case 1:
        entry[0] = EVENT_SHUTDOWN + random_below(log, SHUTDOWN_CAUSE__MAX);
        break;
    case 2:
        entry[0] = EVENT_INTERRUPT + random_below(log, 2);
        break;
    case 3:
        entry[0] = EVENT_CLOCK + random_below(log, REPLAY_CLOCK_COUNT);
        stq_be_p(entry + 1, (uint64_t)random_below(log, 1 << 24) <<
                 random_below(log, 40));
        n = 9;
        break;
    case 4:
        entry[0] = EVENT_INSTRUCTION;
        stl_be_p(entry + 1, 1u << random_below(log, 31));
        n = 5;
        break;
    }
    insert(log, at, entry, n);
}

static void mutate_entry(Log *log)
{
    unsigned i = random_below(log, log->entries);
    size_t at = log->at[i], n = log->at[i + 1] - at;
    size_t to = log->at[random_below(log, log->entries + 1)];
    g_autofree uint8_t *copy = g_memdup2(log->data + at, n);

    switch (random_below(log, 6)) {
    case 0:
        cut(log, at, n);
        break;
    case 1:
        insert(log, to, copy, n);
        break;
    case 2:
        cut(log, at, n);
        insert(log, MIN(to, log->size), copy, n);
        break;
    case 3:
        insert_new(log, at);
        break;
    case 4:
        log->size = at;
        break;
    case 5:
        log->data[at + random_below(log, n)] ^= 1 << random_below(log, 8);
        break;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
                               unsigned seed)
{
    static Log log;
    size_t head = size < 2 ? size : 2 + data[1];

    if (size <= head || seed % 2 || head >= max) {
        return LLVMFuzzerMutate(data, size, max);
    }
    log.data = data + head;
    log.size = size - head;
    log.max = max - head;
    log.random = seed;
    find_entries(&log);
    if (!log.entries) {
        return LLVMFuzzerMutate(data, size, max);
    }
    mutate_entry(&log);
    return head + log.size;
}
