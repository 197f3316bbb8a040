/*
 * Hashes of what two machines are compared by.  They find what differs by
 * mistake, and have to be quick: a machine stands still while its disks are
 * read.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "system/block-backend.h"
#include "hash.h"

#ifdef FT_XXHASH_DISPATCH
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

#define CHUNK (1 * MiB)
/* A longer hash of a disk shows its progress. */
#define PROGRESS_AFTER_US (2 * G_USEC_PER_SEC)

static XXH3_state_t *hash_new(void)
{
    XXH3_state_t *hash = XXH3_createState();

    XXH3_128bits_reset(hash);
    return hash;
}

static char *hash_end(XXH3_state_t *hash)
{
    XXH128_hash_t value = XXH3_128bits_digest(hash);

    XXH3_freeState(hash);
    return g_strdup_printf("%016" PRIx64 "%016" PRIx64,
                           (uint64_t)value.high64, (uint64_t)value.low64);
}

/* Zero blocks are most of a disk or a memory; only their place counts. */
static void hash_block(XXH3_state_t *hash, uint64_t offset, const void *data,
                       size_t size)
{
    uint64_t le = cpu_to_le64(offset);

    if (!buffer_is_zero(data, size)) {
        XXH3_128bits_update(hash, &le, sizeof(le));
        XXH3_128bits_update(hash, data, size);
    }
}

char *ft_hash_bytes(const void *data, size_t size)
{
    XXH3_state_t *hash = hash_new();

    XXH3_128bits_update(hash, data, size);
    return hash_end(hash);
}

uint64_t ft_hash64(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}

FtHash *ft_hash_new(void)
{
    XXH3_state_t *state = XXH3_createState();

    XXH3_64bits_reset(state);
    return (FtHash *)state;
}

void ft_hash_update(FtHash *hash, const void *data, size_t size)
{
    XXH3_64bits_update((XXH3_state_t *)hash, data, size);
}

uint64_t ft_hash_take(FtHash *hash)
{
    uint64_t value = XXH3_64bits_digest((XXH3_state_t *)hash);

    XXH3_64bits_reset((XXH3_state_t *)hash);
    return value;
}

char *ft_hash_file(const char *path, Error **errp)
{
    g_autoptr(GMappedFile) map = NULL;
    g_autoptr(GError) err = NULL;

    map = g_mapped_file_new(path, FALSE, &err);
    if (!map) {
        error_setg(errp, "%s", err->message);
        return NULL;
    }
    return ft_hash_bytes(g_mapped_file_get_contents(map) ?: "",
                           g_mapped_file_get_length(map));
}

/* Whole chunks from @at on that are known to be zero without reading them. */
static int64_t zero_chunks(BlockBackend *blk, int64_t at, int64_t size)
{
    int64_t known = 0;
    int ret = bdrv_block_status_above(blk_bs(blk), NULL, at, size - at,
                                      &known, NULL, NULL);

    return ret >= 0 && (ret & BDRV_BLOCK_ZERO) ? known / CHUNK : 0;
}

char *ft_hash_disk(BlockBackend *blk, Error **errp)
{
    int64_t size = blk_getlength(blk);
    gint64 begun = g_get_monotonic_time();
    g_autofree uint8_t *buf = g_malloc(CHUNK);
    XXH3_state_t *hash = hash_new();
    bool shown = false;

    for (int64_t at = 0; at < size; at += CHUNK) {
        int64_t zeros = zero_chunks(blk, at, size);
        int n = MIN(CHUNK, size - at);
        int ret;

        if (zeros) {
            at += (zeros - 1) * CHUNK;
            continue;
        }
        ret = blk_pread(blk, at, n, buf, 0);
        if (ret < 0) {
            error_setg_errno(errp, -ret, "disk '%s' can't be read",
                             blk_name(blk));
            g_free(hash_end(hash));
            return NULL;
        }
        hash_block(hash, at, buf, n);
        if (g_get_monotonic_time() - begun > PROGRESS_AFTER_US) {
            fprintf(stderr, "\rft: reading disk '%s' to compare it with the "
                    "peer's: %d %%", blk_name(blk), (int)(at * 100 / size));
            shown = true;
        }
    }
    if (shown) {
        fprintf(stderr, "\n");
    }
    return hash_end(hash);
}
