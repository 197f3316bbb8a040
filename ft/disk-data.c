/*
 * Read data on its way through the log.
 *
 * On a shared disk the backup reads nothing: what the primary read stands in
 * the log before the request's completion, in DISK_DATA entries
 *
 *   id (8 bytes), offset (4), zeros (4), data
 *
 * which say that at offset there are so many zeros and then this data.  They
 * follow each other without gaps, so what is missing is found.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "replay/ft-stream.h"
#include "disk-internal.h"
#include "limits.h"

/* An entry has so much data at the most; zeros are looked for in blocks. */
#define PIECE (256 * KiB)
#define BLOCK (4 * KiB)
/* What a request costs here beside its data. */
#define EACH 128

QEMU_BUILD_BUG_ON(FT_DISK_DATA_HEADER + PIECE > FT_ENTRY_MAX);

static GHashTable *arrived;     /* id -> GByteArray; replay mutex */
static size_t arrived_bytes;

static size_t count_blocks(const uint8_t *from, size_t size, bool zero)
{
    size_t n = 0;

    while (n < size &&
           buffer_is_zero(from + n, MIN(BLOCK, size - n)) == zero) {
        n += MIN(BLOCK, size - n);
    }
    return n;
}

void ft_disk_data_put(const FtDiskRequest *req)
{
    const uint8_t *from = req->bounce;
    size_t size = req->bytes, at = 0;
    g_autofree uint8_t *entry = NULL;

    if (!ft_stream_writes_log()) {
        return;
    }
    entry = g_malloc(FT_DISK_DATA_HEADER + MIN(size, PIECE));
    while (at < size) {
        size_t zeros = count_blocks(from + at, size - at, true);
        size_t n = count_blocks(from + at + zeros,
                                MIN(size - at - zeros, PIECE), false);

        stq_be_p(entry, req->id);
        stl_be_p(entry + 8, at);
        stl_be_p(entry + 12, zeros);
        memcpy(entry + FT_DISK_DATA_HEADER, from + at + zeros, n);
        ft_stream_put_control(FT_CONTROL_DISK_DATA, entry,
                              FT_DISK_DATA_HEADER + n);
        at += zeros + n;
    }
}

static GByteArray *arrived_for(uint64_t id)
{
    GByteArray *data;

    if (!arrived) {
        arrived = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        (GDestroyNotify)g_byte_array_unref);
    }
    data = g_hash_table_lookup(arrived, &id);
    if (!data) {
        data = g_byte_array_new();
        g_hash_table_insert(arrived, g_memdup2(&id, sizeof(id)), data);
        arrived_bytes += EACH;
    }
    return data;
}

bool ft_disk_data_take(const uint8_t *entry, size_t size)
{
    GByteArray *data = arrived_for(ldq_be_p(entry));
    size_t zeros = ldl_be_p(entry + 12), old = data->len;

    size -= FT_DISK_DATA_HEADER;
    arrived_bytes += zeros + size;
    if (ldl_be_p(entry + 8) != old || arrived_bytes > FT_RING_MAX) {
        return false;
    }
    g_byte_array_set_size(data, old + zeros);
    if (zeros) {                        /* else there may be no array yet */
        memset(data->data + old, 0, zeros);
    }
    g_byte_array_append(data, entry + FT_DISK_DATA_HEADER, size);
    return true;
}

GByteArray *ft_disk_data_steal(uint64_t id, size_t bytes)
{
    GByteArray *data = arrived ? g_hash_table_lookup(arrived, &id) : NULL;

    if (!data || data->len != bytes) {
        return bytes ? NULL : g_byte_array_new();
    }
    g_byte_array_ref(data);
    g_hash_table_remove(arrived, &id);
    arrived_bytes -= bytes + EACH;
    return data;
}

void ft_disk_data_forget(void)
{
    if (arrived) {
        g_hash_table_remove_all(arrived);
        arrived_bytes = 0;
    }
}
