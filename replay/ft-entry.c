/*
 * The form of log entries: how long each is, and which values none has.
 *
 * A backup looks at every entry before its engine does, so that bytes which
 * are no entry end the session with an error instead of the process with an
 * abort (M26).  Here is what can be said without knowing the machine; what
 * does not fit this machine is found where the engine meets it
 * (ft-guard.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/qapi-types-run-state.h"
#include "qapi/qapi-types-ui.h"
#include "net/eth.h"
#include "net/net.h"
#include "ft-stream.h"
#include "ft-time.h"
#include "replay-internal.h"
#include "ft/limits.h"

/* Sums of clocks have to stay within 64 bits; this is 146 years. */
#define CLOCK_MAX_NS (1LL << 62)
/* What a character device's backend reads at a time is far less. */
#define CHAR_MAX_BYTES (64 * 1024)
#define ERRNO_MAX 4095
#define DISK_MAX_BYTES (FT_RING_MAX / 2)

/*
 * The entry has a counted array: its size, from min to max, stands at
 * offset.
 */
static ssize_t array_length(const uint8_t *data, size_t size, size_t offset,
                            size_t min, size_t max, const char **why)
{
    uint32_t n;

    if (size < offset + 4) {
        return 0;
    }
    n = ldl_be_p(data + offset);
    if (n < min || n > max) {
        *why = "an entry shorter or longer than any device makes";
        return -1;
    }
    return offset + 4 + n;
}

/* A number at offset has to be below end; length is the entry's. */
static ssize_t enum_length(const uint8_t *data, size_t size, size_t offset,
                           uint32_t end, ssize_t length, const char **why)
{
    if (size < offset + 4) {
        return 0;
    }
    if (ldl_be_p(data + offset) >= end) {
        *why = "an input entry with an unknown key, button or axis";
        return -1;
    }
    return length;
}

static ssize_t key_length(const uint8_t *data, size_t size, const char **why)
{
    if (size < 9) {
        return 0;
    }
    switch (ldl_be_p(data + 5)) {
    case KEY_VALUE_KIND_NUMBER:
        return 18;
    case KEY_VALUE_KIND_QCODE:
        return enum_length(data, size, 9, Q_KEY_CODE__MAX, 14, why);
    }
    *why = "an input entry with an unknown kind of key";
    return -1;
}

static ssize_t input_length(const uint8_t *data, size_t size, const char **why)
{
    ssize_t n;

    if (size < 5) {
        return 0;
    }
    switch (ldl_be_p(data + 1)) {
    case INPUT_EVENT_KIND_KEY:
        return key_length(data, size, why);
    case INPUT_EVENT_KIND_BTN:
        return enum_length(data, size, 5, INPUT_BUTTON__MAX, 10, why);
    case INPUT_EVENT_KIND_REL:
    case INPUT_EVENT_KIND_ABS:
        return enum_length(data, size, 5, INPUT_AXIS__MAX, 17, why);
    case INPUT_EVENT_KIND_MTT:
        n = enum_length(data, size, 5, INPUT_MULTI_TOUCH_TYPE__MAX, 37, why);
        return n <= 0 ? n :
            enum_length(data, size, 25, INPUT_AXIS__MAX, 37, why);
    }
    *why = "an input entry of unknown kind";
    return -1;
}

static ssize_t net_length(const uint8_t *data, size_t size, const char **why)
{
    if (size >= 6 && ldl_be_p(data + 2) & ~QEMU_NET_PACKET_FLAG_RAW) {
        *why = "a packet with unknown flags";
        return -1;
    }
    return array_length(data, size, 6, ETH_HLEN, NET_BUFSIZE, why);
}

static ssize_t async_length(const uint8_t *data, size_t size, const char **why)
{
    switch (data[0] - EVENT_ASYNC) {
    case REPLAY_ASYNC_EVENT_BH:
    case REPLAY_ASYNC_EVENT_BH_ONESHOT:
    case REPLAY_ASYNC_EVENT_BLOCK:
        if (size >= 9 && ldq_be_p(data + 1) == UINT64_MAX) {
            /* the engine's mark for "not read yet" */
            *why = "an event with a number that none has";
            return -1;
        }
        return 9;
    case REPLAY_ASYNC_EVENT_INPUT:
        return input_length(data, size, why);
    case REPLAY_ASYNC_EVENT_INPUT_SYNC:
        return 1;
    case REPLAY_ASYNC_EVENT_CHAR_READ:
        return array_length(data, size, 2, 1, CHAR_MAX_BYTES, why);
    case REPLAY_ASYNC_EVENT_NET:
        return net_length(data, size, why);
    }
    *why = "an asynchronous entry of unknown kind";
    return -1;
}

static ssize_t clock_length(const uint8_t *data, size_t size, const char **why)
{
    int64_t clock;

    if (size < 9) {
        return 0;
    }
    clock = ldq_be_p(data + 1);
    if (clock > CLOCK_MAX_NS || clock < -CLOCK_MAX_NS) {
        *why = "a clock that no machine shows";
        return -1;
    }
    return 9;
}

static bool time_is_possible(const uint8_t *data)
{
    return ldq_be_p(data + offsetof(FtTimeEntry, shift)) <=
               FT_TIME_SHIFT_MAX &&
           ldq_be_p(data + offsetof(FtTimeEntry, elapsed)) <=
               FT_TIME_CLOCK_MAX_NS &&
           ldq_be_p(data + offsetof(FtTimeEntry, host)) <=
               FT_TIME_CLOCK_MAX_NS;
}

/* What a guest reads at a time is far less, and something. */
static bool data_is_possible(const uint8_t *data, size_t size)
{
    return size >= FT_DISK_DATA_HEADER &&
        ldl_be_p(data + 8) <= DISK_MAX_BYTES &&
        ldl_be_p(data + 12) <= DISK_MAX_BYTES &&
        (size > FT_DISK_DATA_HEADER || ldl_be_p(data + 12));
}

static ssize_t control_length(const uint8_t *data, size_t size,
                              const char **why)
{
    ssize_t n = array_length(data, size, 1, 0, FT_ENTRY_MAX, why);
    size_t payload = n - 5;
    bool good = true;

    if (n <= 0 || (size_t)n > size) {
        return n;
    }
    switch (data[0]) {
    case FT_CONTROL_START:
        good = payload == 1 && !(data[5] & ~FT_START_FLAGS);
        break;
    case FT_CONTROL_PAUSE:
    case FT_CONTROL_CONTINUE:
        good = payload == 1 && data[5] < RUN_STATE__MAX;
        break;
    case FT_CONTROL_POWERDOWN:
    case FT_CONTROL_NMI:
        good = payload == 0;
        break;
    case FT_CONTROL_LINK:
        good = payload >= 2 && data[5] <= 1 &&
            !memchr(data + 6, 0, payload - 1);
        break;
    case FT_CONTROL_DISK_RESULT:
        good = payload == 12 && (int32_t)ldl_be_p(data + 13) < 0 &&
            (int32_t)ldl_be_p(data + 13) >= -ERRNO_MAX;
        break;
    case FT_CONTROL_DISK_DATA:
        good = data_is_possible(data + 5, payload);
        break;
    case FT_CONTROL_DISK_DONE:
        good = payload == 8;
        break;
    case FT_CONTROL_TIME:
        good = payload == sizeof(FtTimeEntry) &&
            time_is_possible(data + FT_TIME_ENTRY_HEADER);
        break;
    }
    if (!good) {
        *why = "a control entry with a value that it can't have";
        return -1;
    }
    return n;
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
    case EVENT_SHUTDOWN ... EVENT_SHUTDOWN + SHUTDOWN_CAUSE__MAX - 1:
    case EVENT_CHECKPOINT ... EVENT_CHECKPOINT_LAST:
        return 1;
    case EVENT_ASYNC ... EVENT_ASYNC_LAST:
        return async_length(data, size, why);
    case EVENT_RANDOM:
        return array_length(data, size, 5, 0, FT_ENTRY_MAX, why);
    case EVENT_CLOCK ... EVENT_CLOCK_LAST:
        return clock_length(data, size, why);
    case FT_CONTROL_FIRST ... FT_CONTROL_LAST:
        return control_length(data, size, why);
    }
    *why = "an entry of unknown kind";
    return -1;
}

ssize_t ft_entry_length(const uint8_t *data, size_t size, const char **why)
{
    ssize_t n = size ? entry_length(data, size, why) : 0;

    return n > 0 && (size_t)n > size ? 0 : n;
}

bool ft_entry_begins(const uint8_t *data, bool first, const char **why)
{
    if (first && data[0] != FT_CONTROL_START) {
        *why = "an entry before the guest begins";
        return false;
    }
    if (!first && data[0] == FT_CONTROL_START) {
        *why = "the guest begins a second time";
        return false;
    }
    return true;
}
