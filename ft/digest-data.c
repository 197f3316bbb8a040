/*
 * A digest in memory and in the log.
 *
 * The bytes, little-endian:
 *
 *   u8  version
 *   u8  flags: 1 = with a hash of all memory
 *   u32 number, u64 instructions, u64 hash of the log since the last one
 *   u64 hash of all registers; u16 n, then n times u16: hash of a register
 *   u16 n, then n times: u16 hash of a section's name, u32 of its contents
 *   written pages, then the scrub's: u32 pages, u32 pages a group, and for
 *       each group u32 hash
 *   u64 hash of all memory, if flagged
 *
 * Names are not sent: whoever compares has the same ones.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "bytes.h"
#include "digest-data.h"
#include "hash.h"

#define VERSION 1
#define HAS_FULL 1
/* More registers or sections than any machine has. */
#define PARTS_MAX 4096

void ft_digest_data_free(FtDigestData *data)
{
    g_clear_pointer(&data->registers, g_array_unref);
    g_clear_pointer(&data->sections, g_array_unref);
    g_clear_pointer(&data->register_texts, g_ptr_array_unref);
    g_free(data->written.pages);
    g_free(data->written.hashes);
    g_free(data->scrub.pages);
    g_free(data->scrub.hashes);
    g_free(data->cpu_text);
    g_free(data);
}

/* --- to bytes ------------------------------------------------------------ */

static void put8(GByteArray *out, uint8_t v)
{
    g_byte_array_append(out, &v, 1);
}

static void put16(GByteArray *out, uint16_t v)
{
    uint8_t bytes[2];

    ft_put16(bytes, v);
    g_byte_array_append(out, bytes, sizeof(bytes));
}

static void put32(GByteArray *out, uint32_t v)
{
    uint8_t bytes[4];

    ft_put32(bytes, v);
    g_byte_array_append(out, bytes, sizeof(bytes));
}

static void put64(GByteArray *out, uint64_t v)
{
    uint8_t bytes[8];

    ft_put64(bytes, v);
    g_byte_array_append(out, bytes, sizeof(bytes));
}

static void put_pages(GByteArray *out, const FtDigestPages *p)
{
    put32(out, p->count);
    put32(out, p->per_group);
    for (uint32_t i = 0; i < ft_digest_pages_groups(p); i++) {
        put32(out, p->groups[i]);
    }
}

GByteArray *ft_digest_data_out(const FtDigestData *data)
{
    GByteArray *out = g_byte_array_new();

    put8(out, VERSION);
    put8(out, data->has_full ? HAS_FULL : 0);
    put32(out, data->number);
    put64(out, data->icount);
    put64(out, data->log);
    put64(out, data->cpu);
    put16(out, data->registers->len);
    for (guint i = 0; i < data->registers->len; i++) {
        put16(out, g_array_index(data->registers, uint16_t, i));
    }
    put16(out, data->sections->len);
    for (guint i = 0; i < data->sections->len; i++) {
        const FtDigestSection *section =
            &g_array_index(data->sections, FtDigestSection, i);

        put16(out, section->name_hash);
        put32(out, section->hash);
    }
    put_pages(out, &data->written);
    put_pages(out, &data->scrub);
    if (data->has_full) {
        put64(out, data->full);
    }
    return out;
}

/* --- from bytes ---------------------------------------------------------- */

typedef struct In {
    const uint8_t *at;
    size_t left;
    bool bad;
} In;

/* Zeros when there are not so many bytes, and in->bad. */
static const uint8_t *take(In *in, size_t size)
{
    static const uint8_t zeros[8];
    const uint8_t *at = in->at;

    if (in->left < size) {
        in->bad = true;
        in->left = 0;
        return zeros;
    }
    in->at += size;
    in->left -= size;
    return at;
}

static uint16_t take_count(In *in)
{
    uint16_t n = ft_get16(take(in, 2));

    in->bad |= n > PARTS_MAX;
    return in->bad ? 0 : n;
}

static void take_pages(In *in, FtDigestPages *p)
{
    uint32_t groups;

    p->count = ft_get32(take(in, 4));
    p->per_group = ft_get32(take(in, 4));
    in->bad |= p->per_group == 0 || p->count > FT_DIGEST_WRITTEN_MAX;
    groups = in->bad ? 0 : ft_digest_pages_groups(p);
    in->bad |= groups > FT_DIGEST_GROUPS_MAX;
    for (uint32_t i = 0; i < groups && !in->bad; i++) {
        p->groups[i] = ft_get32(take(in, 4));
    }
}

FtDigestData *ft_digest_data_in(const uint8_t *bytes, size_t size,
                                const char **why)
{
    g_autoptr(FtDigestData) data = g_new0(FtDigestData, 1);
    In in = { bytes, size };
    uint16_t n;

    data->registers = g_array_new(FALSE, TRUE, sizeof(uint16_t));
    data->sections = g_array_new(FALSE, TRUE, sizeof(FtDigestSection));
    if (*take(&in, 1) != VERSION) {
        *why = "it is of another version";
        return NULL;
    }
    data->has_full = *take(&in, 1) & HAS_FULL;
    data->number = ft_get32(take(&in, 4));
    data->icount = ft_get64(take(&in, 8));
    data->log = ft_get64(take(&in, 8));
    data->cpu = ft_get64(take(&in, 8));
    for (n = take_count(&in); n; n--) {
        uint16_t hash = ft_get16(take(&in, 2));

        g_array_append_val(data->registers, hash);
    }
    for (n = take_count(&in); n; n--) {
        FtDigestSection section = { };

        section.name_hash = ft_get16(take(&in, 2));
        section.hash = ft_get32(take(&in, 4));
        g_array_append_val(data->sections, section);
    }
    take_pages(&in, &data->written);
    take_pages(&in, &data->scrub);
    if (data->has_full) {
        data->full = ft_get64(take(&in, 8));
    }
    if (in.bad || in.left) {
        *why = "its parts do not have the sizes it says";
        return NULL;
    }
    return g_steal_pointer(&data);
}

/* --- what differs -------------------------------------------------------- */

static void compare_cpu(GString *out, const FtDigestData *mine,
                        const FtDigestData *theirs)
{
    guint n = MIN(mine->registers->len, theirs->registers->len);
    gsize before = out->len;

    if (mine->cpu == theirs->cpu) {
        return;
    }
    for (guint i = 0; i < n; i++) {
        const char *text = mine->register_texts->pdata[i];

        if (g_array_index(mine->registers, uint16_t, i) !=
            g_array_index(theirs->registers, uint16_t, i)) {
            g_string_append_printf(out, "register %.*s differs, here it is "
                                   "'%s'\n", (int)strcspn(text, " ="), text,
                                   text);
        }
    }
    if (out->len == before) {
        g_string_append(out, "a register differs\n");
    }
}

static void compare_devices(GString *out, const FtDigestData *mine,
                            const FtDigestData *theirs)
{
    guint n = MIN(mine->sections->len, theirs->sections->len);

    for (guint i = 0; i < n; i++) {
        const FtDigestSection *a =
            &g_array_index(mine->sections, FtDigestSection, i);
        const FtDigestSection *b =
            &g_array_index(theirs->sections, FtDigestSection, i);

        if (a->name_hash != b->name_hash) {
            g_string_append_printf(out, "device %s is not on the other side\n",
                                   a->name);
            return;
        }
        if (a->hash != b->hash) {
            g_string_append_printf(out, "device %s differs\n", a->name);
        }
    }
    if (mine->sections->len != theirs->sections->len) {
        g_string_append_printf(out, "%u devices here, %u on the other side\n",
                               mine->sections->len, theirs->sections->len);
    }
}

static void compare_pages(GString *out, const char *what,
                          const FtDigestPages *mine,
                          const FtDigestPages *theirs)
{
    uint32_t n = MIN(ft_digest_pages_groups(mine),
                     ft_digest_pages_groups(theirs));

    if (mine->count != theirs->count) {
        g_string_append_printf(out, "%s: %u pages here, %u on the other "
                               "side\n", what, mine->count, theirs->count);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t first = i * mine->per_group;
        g_autofree char *name = NULL;

        if (mine->groups[i] == theirs->groups[i]) {
            continue;
        }
        name = ft_digest_ram_name(
            mine->pages[first],
            mine->pages[MIN(first + mine->per_group, mine->count) - 1]);
        g_string_append_printf(out, "%s differs within %s\n", what, name);
        if (mine->count != theirs->count) {
            return;             /* the groups do not match any more */
        }
    }
}

char *ft_digest_data_differences(const FtDigestData *mine,
                                 const FtDigestData *theirs)
{
    GString *out = g_string_new(NULL);

    if (mine->icount != theirs->icount) {
        g_string_append_printf(out, "instruction %" PRIu64 " here, %" PRIu64
                               " on the other side\n", mine->icount,
                               theirs->icount);
    }
    if (mine->log != theirs->log) {
        g_string_append(out, "the log that was executed since the last "
                        "digest is not the one that was written\n");
    }
    compare_cpu(out, mine, theirs);
    compare_devices(out, mine, theirs);
    compare_pages(out, "written memory", &mine->written, &theirs->written);
    compare_pages(out, "memory", &mine->scrub, &theirs->scrub);
    if (theirs->has_full && mine->full != theirs->full && !out->len) {
        g_string_append(out, "memory differs\n");
    }
    return g_string_free(out, FALSE);
}

/* --- for people ---------------------------------------------------------- */

static void text_pages(GString *out, const char *what, const FtDigestPages *p)
{
    g_string_append_printf(out, "%s: %u pages\n", what, p->count);
    for (uint32_t i = 0; i < ft_digest_pages_groups(p); i++) {
        uint32_t first = i * p->per_group;
        uint32_t end = MIN(first + p->per_group, p->count);

        g_string_append_printf(out, "  %s %u to %u: %08x\n", what, first,
                               end - 1, p->groups[i]);
        for (uint32_t j = first; p->pages && j < end; j++) {
            g_autofree char *name = ft_digest_ram_name(p->pages[j],
                                                       p->pages[j]);

            g_string_append_printf(out, "    %016" PRIx64 " %s\n",
                                   p->hashes[j], name);
        }
    }
}

char *ft_digest_data_text(const FtDigestData *data)
{
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "digest %u\ninstructions %" PRIu64
                           "\nlog: %016" PRIx64 "\nregisters: %016" PRIx64 "\n",
                           data->number, data->icount, data->log, data->cpu);
    for (guint i = 0; i < data->registers->len; i++) {
        g_string_append_printf(out, "  %04x %s\n",
                               g_array_index(data->registers, uint16_t, i),
                               data->register_texts
                               ? (char *)data->register_texts->pdata[i] : "");
    }
    g_string_append(out, "devices:\n");
    for (guint i = 0; i < data->sections->len; i++) {
        const FtDigestSection *section =
            &g_array_index(data->sections, FtDigestSection, i);

        g_string_append_printf(out, "  %08x %04x %s\n", section->hash,
                               section->name_hash, section->name ?: "");
    }
    text_pages(out, "written memory", &data->written);
    text_pages(out, "memory", &data->scrub);
    if (data->has_full) {
        g_string_append_printf(out, "all memory: %016" PRIx64 "\n",
                               data->full);
    }
    return g_string_free(out, FALSE);
}
