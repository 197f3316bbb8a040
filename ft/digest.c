/*
 * Digests: what a machine is at one instruction, compared by both sides.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-events-ft.h"
#include "qemu/timer.h"
#include "migration/misc.h"
#include "system/replay.h"
#include "replay/ft-stream.h"
#include "digest.h"
#include "digest-data.h"
#include "driver.h"
#include "evidence.h"
#include "hash.h"
#include "options.h"

static struct {
    QEMUTimer *timer;
    bool begun;
    uint64_t last_icount;       /* of the last one put */

    /* Atomic. */
    uint64_t count;
    uint64_t position;
} digest;

static void hash_cpu(FtDigestData *data)
{
    data->cpu_text = ft_digest_cpu_text();
    data->cpu = ft_hash64(data->cpu_text, strlen(data->cpu_text));
    data->register_texts = ft_digest_cpu_parts(data->cpu_text);
    data->registers = g_array_new(FALSE, TRUE, sizeof(uint16_t));
    for (guint i = 0; i < data->register_texts->len; i++) {
        const char *text = data->register_texts->pdata[i];
        uint16_t hash = ft_hash64(text, strlen(text));

        g_array_append_val(data->registers, hash);
    }
}

/*
 * Of this machine, now.  Both sides do it at the same instructions, so that
 * what it does to the machine (devices prepare to be saved, dirty bits are
 * cleared) is the same, too.
 */
static FtDigestData *make(bool full)
{
    g_autoptr(FtDigestData) data = g_new0(FtDigestData, 1);

    data->number = digest.count + 1;
    data->log = ft_stream_take_log_hash();
    data->icount = replay_get_current_icount();
    hash_cpu(data);
    ft_stream_hold_clocks(true);
    data->sections = ft_digest_devices(&error_abort);
    ft_stream_hold_clocks(false);
    ft_digest_ram(&data->written, &data->scrub);
    data->has_full = full;
    if (full) {
        data->full = ft_digest_ram_full();
    }
    return g_steal_pointer(&data);
}

static void done(uint64_t position)
{
    qatomic_set(&digest.position, position);
    qatomic_set(&digest.count, digest.count + 1);
}

static FtDigest *summary(const FtDigestData *data, uint64_t position)
{
    FtDigest *info = g_new0(FtDigest, 1);

    info->icount = data->icount;
    info->position = position;
    info->cpu = g_strdup_printf("%016" PRIx64, data->cpu);
    info->ram = g_strdup_printf("%016" PRIx64, data->full);
    return info;
}

/* --- primary ------------------------------------------------------------- */

static FtDigest *put(bool full)
{
    g_autoptr(FtDigestData) data = make(full);
    g_autoptr(GByteArray) bytes = ft_digest_data_out(data);

    ft_stream_put_control(FT_CONTROL_DIGEST, bytes->data, bytes->len);
    digest.last_icount = data->icount;
    done(ft_stream_flush());
    return summary(data, digest.position);
}

FtDigest *ft_digest_put(Error **errp)
{
    if (!ft_stream_writes_log() || !digest.begun) {
        error_setg(errp, "only a primary whose guest runs can be digested; "
                   "give the command there");
        return NULL;
    }
    return put(true);
}

static void timer_fired(void *opaque)
{
    ft_digest_schedule();
    /* A guest that did nothing is what it was; migration has the bits. */
    if (ft_stream_writes_log() && digest.begun &&
        replay_get_current_icount() != digest.last_icount &&
        !migration_is_running()) {
        qapi_free_FtDigest(put(false));
    }
}

void ft_digest_schedule(void)
{
    if (!digest.timer) {
        digest.timer = timer_new_ms(QEMU_CLOCK_REALTIME, timer_fired, NULL);
    }
    if (ft_options.digest_ms) {
        timer_mod(digest.timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  ft_options.digest_ms);
    } else {
        timer_del(digest.timer);
    }
}

void ft_digest_begin(void)
{
    ft_digest_ram_begin();
    digest.begun = true;
    digest.last_icount = 0;
    qatomic_set(&digest.count, 0);
    qatomic_set(&digest.position, 0);
}

void ft_digest_status(uint64_t *count, uint64_t *position)
{
    *count = qatomic_read(&digest.count);
    *position = qatomic_read(&digest.position);
}

/* --- whoever executes a log ---------------------------------------------- */

static void fail(const FtDigestData *mine, const FtDigestData *theirs,
                 const char *differences)
{
    g_autofree char *why = g_strdup_printf(
        "the backup diverged from its primary: %.*s",
        (int)strcspn(differences, "\n"), differences);

    ft_evidence_digests(mine, theirs, differences);
    ft_driver_fail(why);
}

void ft_digest_compare(const uint8_t *bytes, size_t size)
{
    const char *why = NULL;
    g_autoptr(FtDigestData) theirs = ft_digest_data_in(bytes, size, &why);
    g_autoptr(FtDigestData) mine = NULL;
    g_autoptr(FtDigest) info = NULL;
    g_autofree char *differences = NULL;

    if (!theirs || !digest.begun) {
        g_autofree char *text = g_strdup_printf(
            "a digest in the log can't be used: %s",
            why ?: "it comes before the guest began");

        ft_driver_fail(text);
        return;
    }
    mine = make(theirs->has_full);
    differences = ft_digest_data_differences(mine, theirs);
    info = summary(mine, ft_stream_executed());
    if (theirs->has_full || *differences) {
        qapi_event_send_ft_digest(info, !*differences);
    }
    if (*differences) {
        fail(mine, theirs, differences);
    } else {
        done(info->position);
    }
}
