/*
 * How far a backup is behind, and how fast the log grows.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "lag.h"
#include "limits.h"

#define RATE_INTERVAL_US G_USEC_PER_SEC
/* More than a second's worth; older ones answer the question. */
#define SAMPLES_MAX 4096

typedef struct LagSample {
    guint64 position;
    gint64 time_us;
} LagSample;

static void add_sample(FtLag *lag, guint64 position, gint64 now_us)
{
    LagSample *sample = g_queue_peek_tail(&lag->samples);

    if ((sample && sample->position >= position) ||
        g_queue_get_length(&lag->samples) >= SAMPLES_MAX) {
        return;
    }
    sample = g_new(LagSample, 1);
    *sample = (LagSample) { position, now_us };
    g_queue_push_tail(&lag->samples, sample);
}

static void update_rate(FtLag *lag, guint64 appended, gint64 now_us)
{
    gint64 span_us = now_us - lag->rate_since_us;

    if (span_us < RATE_INTERVAL_US) {
        return;
    }
    if (lag->rate_since_us && appended >= lag->rate_position) {
        lag->log_rate = (appended - lag->rate_position) * G_USEC_PER_SEC /
            span_us;
    }
    lag->rate_since_us = now_us;
    lag->rate_position = appended;
}

/*
 * In proportion, and without a memory: a backup that had no core for a moment
 * has caught up soon, and then nobody rests any longer.
 */
static void update_rest(FtLag *lag)
{
    guint64 late_ms = lag->lag_ms - MIN(lag->lag_ms, FT_LAG_WANTED_MS);

    lag->rest_permille = MIN(late_ms * FT_LAG_REST_PERMILLE_PER_MS,
                             FT_LAG_REST_MAX_PERMILLE);
}

void ft_lag_reset(FtLag *lag)
{
    g_queue_clear_full(&lag->samples, g_free);
    *lag = (FtLag) { 0 };
}

void ft_lag_update(FtLag *lag, guint64 appended, guint64 executed,
                   gint64 now_us)
{
    LagSample *sample;

    while ((sample = g_queue_peek_head(&lag->samples)) &&
           sample->position <= executed) {
        g_free(g_queue_pop_head(&lag->samples));
    }
    lag->lag_ms = sample ? (now_us - sample->time_us) / 1000 : 0;
    if (appended > executed) {
        add_sample(lag, appended, now_us);
    }
    update_rest(lag);
    update_rate(lag, appended, now_us);
}
