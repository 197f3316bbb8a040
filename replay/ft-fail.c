/*
 * A log that can't be followed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "ft-guard.h"
#include "ft-stream-internal.h"

/* The first thread to come here tells; the others only stay. */
static bool told;

static G_NORETURN void park(void)
{
    for (;;) {
        pause();
    }
}

void ft_stream_fail(const char *fmt, ...)
{
    g_autofree char *what = NULL, *why = NULL;
    va_list ap;

    if (qatomic_xchg(&told, true)) {
        park();
    }
    va_start(ap, fmt);
    what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    why = g_strdup_printf("the log can't be followed: %s (log position %"
                          PRIu64 ", instruction %" PRIu64 "); this side "
                          "stops here", what, ft_stream_executed(),
                          replay_state.current_icount);
    ft_stream.ops.fail(why);
    park();
}

void ft_guard_met(const char *what, const char *function, int line)
{
    /* Before the log begins it is an option that can't be. */
    if (ft_stream_follows()) {
        ft_stream_fail("%s at %s:%d", what, function, line);
    }
}
