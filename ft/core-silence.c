/*
 * For how long may a peer be silent before it is suspected?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "core-silence.h"

#define WINDOW_MS (FT_JITTER_SLOTS * FT_JITTER_SLOT_MS)

void ft_silence_begin(FtSilence *s)
{
    memset(s, 0, sizeof(*s));
    s->heartbeat_ms = FT_SILENCE_MAX_MS;
}

void ft_silence_tick(FtSilence *s)
{
    s->ms += FT_SILENCE_TICK_MS;
    s->channel_ms += FT_SILENCE_TICK_MS;
    s->heartbeat_ms += FT_SILENCE_TICK_MS;
    s->slot_ms += FT_SILENCE_TICK_MS;
    if (s->slot_ms >= FT_JITTER_SLOT_MS) {
        s->slot_ms = 0;
        s->slot = (s->slot + 1) % FT_JITTER_SLOTS;
        s->longest_ms[s->slot] = 0;
    }
}

static void heard(FtSilence *s)
{
    s->longest_ms[s->slot] = MAX(s->longest_ms[s->slot], s->ms);
    s->measured_ms = MIN(s->measured_ms + s->ms, WINDOW_MS);
    s->ms = 0;
}

void ft_silence_heard_frame(FtSilence *s)
{
    heard(s);
    s->channel_ms = 0;
}

void ft_silence_heard_heartbeat(FtSilence *s, const FtHeartbeat *heartbeat)
{
    heard(s);
    s->heartbeat_ms = 0;
    s->peer_bound_ms = MIN(heartbeat->bound_ms, FT_SILENCE_MAX_MS);
    s->patience_ms = MIN(heartbeat->patience_ms, FT_SILENCE_MAX_MS);
}

guint ft_silence_jitter_ms(const FtSilence *s)
{
    guint longest = 0;

    for (guint i = 0; i < FT_JITTER_SLOTS; i++) {
        longest = MAX(longest, s->longest_ms[i]);
    }
    return longest;
}

/* The least that is waited for: it falls with what was measured. */
static guint least_ms(const FtSilence *s)
{
    guint measured_ms = MAX(s->measured_ms, FT_SILENCE_LEARN_MS);
    guint least = FT_SILENCE_MAX_MS * FT_SILENCE_LEARN_MS / measured_ms;

    return MAX(MAX(least, FT_SILENCE_MIN_MS), s->patience_ms);
}

guint ft_silence_bound_ms(const FtSilence *s, gboolean backup)
{
    guint bound = CLAMP(FT_JITTER_FACTOR * ft_silence_jitter_ms(s),
                        least_ms(s), FT_SILENCE_MAX_MS);

    /* So that a mere cut of the link keeps the primary. */
    return backup ? FT_SILENCE_BACKUP_MS(MAX(bound, s->peer_bound_ms))
                  : bound;
}
