/*
 * Log entries as text for people.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/qapi-types-run-state.h"
#include "qapi/qapi-types-ui.h"
#include "ft-entry.h"
#include "ft-stream.h"
#include "ft-time.h"
#include "replay-internal.h"

/* Of bytes for a device, this many are shown. */
#define PREVIEW_BYTES 32

static void preview(GString *out, const uint8_t *data, size_t size)
{
    g_autofree char *raw = g_strndup((const char *)data,
                                     MIN(size, PREVIEW_BYTES));
    g_autofree char *text = g_strescape(raw, NULL);

    g_string_append_printf(out, " \"%s%s\"", text,
                           size > PREVIEW_BYTES ? "..." : "");
}

static void describe_key(GString *out, const uint8_t *data)
{
    if (ldl_be_p(data + 5) == KEY_VALUE_KIND_QCODE) {
        g_string_append_printf(out, "key %s %s",
                               QKeyCode_str(ldl_be_p(data + 9)),
                               data[13] ? "down" : "up");
    } else {
        g_string_append_printf(out, "key %" PRId64 " %s",
                               (int64_t)ldq_be_p(data + 9),
                               data[17] ? "down" : "up");
    }
}

static void describe_input(GString *out, const uint8_t *data)
{
    unsigned kind = ldl_be_p(data + 1);

    switch (kind) {
    case INPUT_EVENT_KIND_KEY:
        describe_key(out, data);
        break;
    case INPUT_EVENT_KIND_BTN:
        g_string_append_printf(out, "button %s %s",
                               InputButton_str(ldl_be_p(data + 5)),
                               data[9] ? "down" : "up");
        break;
    case INPUT_EVENT_KIND_REL:
    case INPUT_EVENT_KIND_ABS:
        g_string_append_printf(out, "%s %s %" PRId64, InputEventKind_str(kind),
                               InputAxis_str(ldl_be_p(data + 5)),
                               (int64_t)ldq_be_p(data + 9));
        break;
    default:
        g_string_append_printf(out, "%s", InputEventKind_str(kind));
        break;
    }
}

static void append_mac(GString *out, const uint8_t *mac)
{
    g_string_append_printf(out, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0],
                           mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* From whom to whom, and what it says it is. */
static void describe_packet(GString *out, const uint8_t *data, size_t size)
{
    static const char *const protocols[] = {
        [1] = "ICMP", [6] = "TCP", [17] = "UDP",
    };
    unsigned type = lduw_be_p(data + 12);
    const uint8_t *ip = data + 14;

    g_string_append(out, ", ");
    append_mac(out, data + 6);
    g_string_append(out, " to ");
    append_mac(out, data);
    if (type != 0x0800 || size < 34) {
        g_string_append_printf(out, type == 0x0806 ? ", ARP"
                               : type == 0x86dd ? ", IPv6"
                               : ", type 0x%04x", type);
        return;
    }
    g_string_append_printf(out, ", %d.%d.%d.%d to %d.%d.%d.%d %s",
                           ip[12], ip[13], ip[14], ip[15], ip[16], ip[17],
                           ip[18], ip[19],
                           ip[9] < ARRAY_SIZE(protocols) && protocols[ip[9]]
                           ? protocols[ip[9]] : "IPv4");
    if ((ip[9] == 6 || ip[9] == 17) && (ip[0] & 15) == 5 && size >= 38) {
        g_string_append_printf(out, " %u to %u", lduw_be_p(ip + 20),
                               lduw_be_p(ip + 22));
    }
}

static void describe_async(GString *out, const uint8_t *data, size_t size)
{
    switch (data[0] - EVENT_ASYNC) {
    case REPLAY_ASYNC_EVENT_BH:
        g_string_append_printf(out, "bottom half %" PRIu64,
                               (uint64_t)ldq_be_p(data + 1));
        break;
    case REPLAY_ASYNC_EVENT_BH_ONESHOT:
        g_string_append_printf(out, "bottom half %" PRIu64 ", once",
                               (uint64_t)ldq_be_p(data + 1));
        break;
    case REPLAY_ASYNC_EVENT_INPUT:
        describe_input(out, data);
        break;
    case REPLAY_ASYNC_EVENT_INPUT_SYNC:
        g_string_append(out, "input complete");
        break;
    case REPLAY_ASYNC_EVENT_CHAR_READ:
        g_string_append_printf(out, "%zu bytes for chardev %u", size - 6,
                               data[1]);
        preview(out, data + 6, size - 6);
        break;
    case REPLAY_ASYNC_EVENT_BLOCK:
        g_string_append_printf(out, "request %" PRIu64 " done",
                               (uint64_t)ldq_be_p(data + 1));
        break;
    case REPLAY_ASYNC_EVENT_NET:
        g_string_append_printf(out, "packet of %zu bytes for network %u",
                               size - 10, data[1]);
        describe_packet(out, data + 10, size - 10);
        break;
    }
}

static void append_elapsed(GString *out, int64_t ns)
{
    g_string_append_printf(out, "elapsed %" PRId64 ".%09" PRId64 " s",
                           ns / 1000000000, ABS(ns % 1000000000));
}

static void describe_clock(GString *out, const uint8_t *data)
{
    int64_t ns = ldq_be_p(data + 1);
    g_autoptr(GDateTime) when = NULL;

    if (data[0] - EVENT_CLOCK != REPLAY_CLOCK_HOST) {
        append_elapsed(out, ns);
        return;
    }
    when = g_date_time_new_from_unix_utc(ns / 1000000000);
    if (when) {
        g_autofree char *text = g_date_time_format(when, "%F %T");

        g_string_append_printf(out, "host %s.%09" PRId64 " UTC", text,
                               ABS(ns % 1000000000));
    } else {
        g_string_append_printf(out, "host %" PRId64 " ns", ns);
    }
}

static const char *checkpoint_name(unsigned checkpoint)
{
    static const char *const names[CHECKPOINT_COUNT] = {
        [CHECKPOINT_CLOCK_WARP_START] = "the machine may sleep",
        [CHECKPOINT_CLOCK_WARP_ACCOUNT] = "sleep is accounted",
        [CHECKPOINT_RESET_REQUESTED] = "reset is requested",
        [CHECKPOINT_SUSPEND_REQUESTED] = "suspend is requested",
        [CHECKPOINT_CLOCK_VIRTUAL] = "the guest's timers run",
        [CHECKPOINT_CLOCK_HOST] = "timers of the host's clock run",
        [CHECKPOINT_CLOCK_VIRTUAL_RT] = "timers of the elapsed clock run",
        [CHECKPOINT_INIT] = "the machine is made",
        [CHECKPOINT_RESET] = "reset",
    };

    return names[checkpoint];
}

static const char *control_name(uint8_t code)
{
    switch (code) {
    case FT_CONTROL_START:
        return "START the guest";
    case FT_CONTROL_PAUSE:
        return "PAUSE";
    case FT_CONTROL_CONTINUE:
        return "CONTINUE";
    case FT_CONTROL_POWERDOWN:
        return "POWERDOWN button";
    case FT_CONTROL_DISK_RESULT:
        return "DISK_RESULT";
    case FT_CONTROL_DISK_DATA:
        return "DISK_DATA";
    case FT_CONTROL_DISK_DONE:
        return "DISK_DONE";
    case FT_CONTROL_DIGEST:
        return "DIGEST";
    case FT_CONTROL_TIME:
        return "TIME";
    case FT_CONTROL_NMI:
        return "NMI";
    case FT_CONTROL_LINK:
        return "LINK";
    }
    return NULL;
}

static void describe_control(GString *out, const uint8_t *data, size_t size)
{
    const char *name = control_name(data[0]);
    const uint8_t *payload = data + 5;

    size -= 5;
    if (name) {
        g_string_append(out, name);
    } else {
        g_string_append_printf(out, "0x%02x", data[0]);
    }
    switch (data[0]) {
    case FT_CONTROL_START:
        g_string_append(out, size && payload[0] ? ", paused" : "");
        break;
    case FT_CONTROL_PAUSE:
    case FT_CONTROL_CONTINUE:
        if (size && payload[0] < RUN_STATE__MAX) {
            g_string_append_printf(out, ", %s", RunState_str(payload[0]));
        }
        break;
    case FT_CONTROL_DISK_RESULT:
        if (size == 12) {
            g_string_append_printf(out, ", request %" PRIu64 ": %s",
                                   (uint64_t)ldq_be_p(payload),
                                   strerror(-(int)ldl_be_p(payload + 8)));
        }
        break;
    case FT_CONTROL_DISK_DATA:
        g_string_append_printf(out, ", request %" PRIu64 " read at %u: %u "
                               "zeros, %zu bytes",
                               (uint64_t)ldq_be_p(payload),
                               ldl_be_p(payload + 8), ldl_be_p(payload + 12),
                               size - FT_DISK_DATA_HEADER);
        break;
    case FT_CONTROL_DISK_DONE:
        g_string_append_printf(out, ", request %" PRIu64,
                               (uint64_t)ldq_be_p(payload));
        break;
    case FT_CONTROL_TIME:
        g_string_append_printf(out, ", %u ns an instruction; the primary's ",
                               1u << (ldq_be_p(payload) & 31));
        append_elapsed(out, ldq_be_p(payload +
                                     offsetof(FtTimeEntry, elapsed)));
        break;
    case FT_CONTROL_LINK:
        g_string_append_printf(out, " %s of %.*s", payload[0] ? "up" : "down",
                               (int)(size - 1), payload + 1);
        break;
    default:
        g_string_append_printf(out, ", %zu bytes", size);
        break;
    }
}

void ft_entry_describe(GString *out, const uint8_t *data, size_t size)
{
    unsigned code = data[0];

    switch (code) {
    case EVENT_INSTRUCTION:
        g_string_append_printf(out, "execute %u", ft_entry_instructions(data));
        break;
    case EVENT_INTERRUPT:
        g_string_append(out, "taken");
        break;
    case EVENT_EXCEPTION:
        g_string_append(out, "raised");
        break;
    case EVENT_ASYNC ... EVENT_ASYNC_LAST:
        describe_async(out, data, size);
        break;
    case EVENT_SHUTDOWN ... EVENT_SHUTDOWN_LAST:
        g_string_append(out, code - EVENT_SHUTDOWN < SHUTDOWN_CAUSE__MAX
                        ? ShutdownCause_str(code - EVENT_SHUTDOWN) : "?");
        break;
    case EVENT_RANDOM:
        g_string_append_printf(out, "%zu bytes", size - 9);
        break;
    case EVENT_CLOCK ... EVENT_CLOCK_LAST:
        describe_clock(out, data);
        break;
    case EVENT_CHECKPOINT ... EVENT_CHECKPOINT_LAST:
        g_string_append(out, checkpoint_name(code - EVENT_CHECKPOINT));
        break;
    case FT_CONTROL_FIRST ... 0xff:
        describe_control(out, data, size);
        break;
    default:
        g_string_append_printf(out, "code 0x%02x", code);
        break;
    }
}

bool ft_entry_clock(const uint8_t *data, unsigned *clock, int64_t *ns)
{
    if (data[0] == FT_CONTROL_TIME) {
        *clock = REPLAY_CLOCK_VIRTUAL_RT;
        *ns = ldq_be_p(data + FT_TIME_ENTRY_HEADER +
                       offsetof(FtTimeEntry, elapsed));
        return true;
    }
    if (data[0] < EVENT_CLOCK || data[0] > EVENT_CLOCK_LAST) {
        return false;
    }
    *clock = data[0] - EVENT_CLOCK;
    *ns = ldq_be_p(data + 1);
    return true;
}
