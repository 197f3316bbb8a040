/*
 * Hashes: SHA-256 for what two machines are compared by when they meet, and a
 * fast one for what they are compared by while they run.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "crypto/hash.h"
#include "hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CHUNK (1 * MiB)
/* A longer hash of a disk shows its progress. */
#define PROGRESS_AFTER_US (2 * G_USEC_PER_SEC)

static QCryptoHash *hash_new(void)
{
    return qcrypto_hash_new(QCRYPTO_HASH_ALGO_SHA256, &error_abort);
}

static char *hash_end(QCryptoHash *hash)
{
    char *digest = NULL;

    qcrypto_hash_finalize_digest(hash, &digest, &error_abort);
    qcrypto_hash_free(hash);
    return digest;
}

/* Zero blocks are most of a disk or a memory; only their place counts. */
static void hash_block(QCryptoHash *hash, uint64_t offset, const void *data,
                       size_t size)
{
    uint64_t le = cpu_to_le64(offset);

    if (!buffer_is_zero(data, size)) {
        qcrypto_hash_update(hash, (const char *)&le, sizeof(le),
                            &error_abort);
        qcrypto_hash_update(hash, data, size, &error_abort);
    }
}

char *ft_hash_bytes(const void *data, size_t size)
{
    QCryptoHash *hash = hash_new();

    qcrypto_hash_update(hash, data, size, &error_abort);
    return hash_end(hash);
}

uint64_t ft_hash64(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
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

char *ft_hash_disk(BlockBackend *blk, Error **errp)
{
    int64_t size = blk_getlength(blk);
    gint64 begun = g_get_monotonic_time();
    g_autofree uint8_t *buf = g_malloc(CHUNK);
    QCryptoHash *hash = hash_new();
    bool shown = false;

    for (int64_t at = 0; at < size; at += CHUNK) {
        int n = MIN(CHUNK, size - at);
        int ret = blk_pread(blk, at, n, buf, 0);

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
