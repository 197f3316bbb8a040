/*
 * Log entries: of what kind each is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "ft-entry.h"
#include "ft-stream.h"
#include "replay-internal.h"

static FtEntryKind async_kind(unsigned event)
{
    switch (event) {
    case REPLAY_ASYNC_EVENT_INPUT:
    case REPLAY_ASYNC_EVENT_INPUT_SYNC:
        return FT_ENTRY_INPUT;
    case REPLAY_ASYNC_EVENT_CHAR_READ:
        return FT_ENTRY_CHAR;
    case REPLAY_ASYNC_EVENT_BLOCK:
        return FT_ENTRY_DISK;
    case REPLAY_ASYNC_EVENT_NET:
        return FT_ENTRY_NET;
    default:
        return FT_ENTRY_BH;
    }
}

FtEntryKind ft_entry_kind(const uint8_t *data)
{
    unsigned code = data[0];

    switch (code) {
    case EVENT_INSTRUCTION:
        return FT_ENTRY_INSTRUCTIONS;
    case EVENT_INTERRUPT:
        return FT_ENTRY_INTERRUPT;
    case EVENT_EXCEPTION:
        return FT_ENTRY_EXCEPTION;
    case EVENT_ASYNC ... EVENT_ASYNC_LAST:
        return async_kind(code - EVENT_ASYNC);
    case EVENT_SHUTDOWN ... EVENT_SHUTDOWN_LAST:
        return FT_ENTRY_SHUTDOWN;
    case EVENT_RANDOM:
        return FT_ENTRY_RANDOM;
    case EVENT_CLOCK ... EVENT_CLOCK_LAST:
        return FT_ENTRY_CLOCK;
    case EVENT_CHECKPOINT ... EVENT_CHECKPOINT_LAST:
        return FT_ENTRY_CHECKPOINT;
    case EVENT_CHAR_WRITE:
    case EVENT_CHAR_READ_ALL:
    case EVENT_CHAR_READ_ALL_ERROR:
        return FT_ENTRY_CHAR;
    default:
        return FT_ENTRY_CONTROL;
    }
}

const char *ft_entry_kind_name(FtEntryKind kind)
{
    static const char *const names[] = {
        [FT_ENTRY_INSTRUCTIONS] = "instructions",
        [FT_ENTRY_INTERRUPT] = "interrupt",
        [FT_ENTRY_EXCEPTION] = "exception",
        [FT_ENTRY_BH] = "bh",
        [FT_ENTRY_INPUT] = "input",
        [FT_ENTRY_CHAR] = "char",
        [FT_ENTRY_DISK] = "disk",
        [FT_ENTRY_NET] = "net",
        [FT_ENTRY_SHUTDOWN] = "shutdown",
        [FT_ENTRY_RANDOM] = "random",
        [FT_ENTRY_CLOCK] = "clock",
        [FT_ENTRY_CHECKPOINT] = "checkpoint",
        [FT_ENTRY_CONTROL] = "control",
    };

    QEMU_BUILD_BUG_ON(ARRAY_SIZE(names) != FT_ENTRY_KIND__MAX);
    return names[kind];
}

uint32_t ft_entry_instructions(const uint8_t *data)
{
    return data[0] == EVENT_INSTRUCTION ? ldl_be_p(data + 1) : 0;
}

void ft_entry_set_instructions(uint8_t *data, uint32_t count)
{
    stl_be_p(data + 1, count);
}
