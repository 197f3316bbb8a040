/*
 * The shape of log entries: how long each is.
 *
 * A backup looks at every entry before its engine does, so that bytes which
 * are no entry end the session with an error instead of the process with an
 * abort (M26).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/qapi-types-ui.h"
#include "ft-stream.h"
#include "replay-internal.h"
#include "ft/limits.h"

/* The entry has a counted array: its size stands at offset. */
static ssize_t array_length(const uint8_t *data, size_t size, size_t offset,
                            const char **why)
{
    uint32_t n;

    if (size < offset + 4) {
        return 0;
    }
    n = ldl_be_p(data + offset);
    if (n > FT_ENTRY_MAX) {
        *why = "an entry is longer than any device makes";
        return -1;
    }
    return offset + 4 + n;
}

static ssize_t input_length(const uint8_t *data, size_t size, const char **why)
{
    if (size < 5) {
        return 0;
    }
    switch (ldl_be_p(data + 1)) {
    case INPUT_EVENT_KIND_KEY:
        if (size < 9) {
            return 0;
        }
        switch (ldl_be_p(data + 5)) {
        case KEY_VALUE_KIND_NUMBER:
            return 18;
        case KEY_VALUE_KIND_QCODE:
            return 14;
        }
        break;
    case INPUT_EVENT_KIND_BTN:
        return 10;
    case INPUT_EVENT_KIND_REL:
    case INPUT_EVENT_KIND_ABS:
        return 17;
    case INPUT_EVENT_KIND_MTT:
        return 37;
    }
    *why = "an input entry of unknown kind";
    return -1;
}

static ssize_t async_length(const uint8_t *data, size_t size, const char **why)
{
    switch (data[0] - EVENT_ASYNC) {
    case REPLAY_ASYNC_EVENT_BH:
    case REPLAY_ASYNC_EVENT_BH_ONESHOT:
    case REPLAY_ASYNC_EVENT_BLOCK:
        return 9;
    case REPLAY_ASYNC_EVENT_INPUT:
        return input_length(data, size, why);
    case REPLAY_ASYNC_EVENT_INPUT_SYNC:
        return 1;
    case REPLAY_ASYNC_EVENT_CHAR_READ:
        return array_length(data, size, 2, why);
    case REPLAY_ASYNC_EVENT_NET:
        return array_length(data, size, 6, why);
    }
    *why = "an asynchronous entry of unknown kind";
    return -1;
}

static ssize_t entry_length(const uint8_t *data, size_t size, const char **why)
{
    unsigned kind = data[0];

    switch (kind) {
    case EVENT_INSTRUCTION:
        if (size >= 5 && ldl_be_p(data + 1) - 1u >= INT32_MAX) {
            *why = "an instruction count that no slice can have";
            return -1;
        }
        return 5;
    case EVENT_INTERRUPT:
    case EVENT_EXCEPTION:
    case EVENT_SHUTDOWN ... EVENT_SHUTDOWN_LAST:
    case EVENT_CHECKPOINT ... EVENT_CHECKPOINT_LAST:
        return 1;
    case EVENT_ASYNC ... EVENT_ASYNC_LAST:
        return async_length(data, size, why);
    case EVENT_RANDOM:
        return array_length(data, size, 5, why);
    case EVENT_CLOCK ... EVENT_CLOCK_LAST:
        return 9;
    case FT_CONTROL_FIRST ... FT_CONTROL_LAST:
        return array_length(data, size, 1, why);
    }
    *why = "an entry of unknown kind";
    return -1;
}

ssize_t ft_entry_length(const uint8_t *data, size_t size, const char **why)
{
    ssize_t n = size ? entry_length(data, size, why) : 0;

    return n > 0 && (size_t)n > size ? 0 : n;
}
