/*
 * Digests: memory.
 *
 * What may have been written is known from the dirty bits that migration uses,
 * which are this file's own while no migration runs.  They say too much, and
 * not the same on both sides: TCG's walk through the page tables marks them
 * when it misses its TLB, which is no part of the guest's history.  So a
 * hash is kept of each page, and a page counts as written when its hash is
 * another one; that is the same on both sides.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "exec/cpu-common.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "exec/ramlist.h"
#include "digest-parts.h"
#include "hash.h"

#define PAGE_SIZE 4096
/* Of one hash. */
#define GROUP_PAGES_MAX 64
/* Pages looked at together while most are clean. */
#define CHUNK 64

QEMU_BUILD_BUG_ON(FT_DIGEST_WRITTEN_MAX >
                  FT_DIGEST_GROUPS_MAX * GROUP_PAGES_MAX);
QEMU_BUILD_BUG_ON(FT_DIGEST_SCRUB_PAGES >
                  FT_DIGEST_SCRUB_GROUPS * GROUP_PAGES_MAX);

typedef struct Block {
    RAMBlock *rb;
    uint64_t first;             /* page */
    uint64_t pages;
} Block;

static struct {
    GArray *blocks;
    uint64_t pages;
    uint64_t *hashes;           /* of each page, when it was last looked at */
    unsigned long *written;     /* perhaps, since then */
    uint64_t next_written;
    uint64_t next_scrub;
} ram;

static int add_block(RAMBlock *rb, void *opaque)
{
    Block block = { rb, ram.pages, rb->max_length / PAGE_SIZE };

    if (qemu_ram_is_migratable(rb)) {
        g_array_append_val(ram.blocks, block);
        ram.pages += block.pages;
    }
    return 0;
}

static void find_blocks(void)
{
    if (!ram.blocks) {
        ram.blocks = g_array_new(FALSE, FALSE, sizeof(Block));
        qemu_ram_foreach_block(add_block, NULL);
        ram.written = bitmap_new(ram.pages);
        ram.hashes = g_new0(uint64_t, ram.pages);
    }
}

static const Block *block_of(uint64_t page)
{
    const Block *block = NULL;

    for (guint i = 0; i < ram.blocks->len; i++) {
        block = &g_array_index(ram.blocks, Block, i);
        if (page < block->first + block->pages) {
            break;
        }
    }
    return block;
}

/* Moves the dirty bits of a block to ram.written. */
static void take_dirty_bits(const Block *block)
{
    uint64_t pages = block->rb->used_length / PAGE_SIZE;
    DirtyBitmapSnapshot *snap = memory_region_snapshot_and_clear_dirty(
        block->rb->mr, 0, pages * PAGE_SIZE, DIRTY_MEMORY_MIGRATION);

    for (uint64_t i = 0; i < pages; i++) {
        if (i % CHUNK == 0 && !memory_region_snapshot_get_dirty(
                block->rb->mr, snap, i * PAGE_SIZE,
                MIN(CHUNK, pages - i) * PAGE_SIZE)) {
            i += CHUNK - 1;
            continue;
        }
        if (memory_region_snapshot_get_dirty(block->rb->mr, snap,
                                             i * PAGE_SIZE, PAGE_SIZE)) {
            set_bit(block->first + i, ram.written);
        }
    }
    g_free(snap);
}

static void take_all_dirty_bits(void)
{
    for (guint i = 0; i < ram.blocks->len; i++) {
        take_dirty_bits(&g_array_index(ram.blocks, Block, i));
    }
}

static uint64_t hash_page(uint64_t page)
{
    const Block *block = block_of(page);
    uint64_t at = (page - block->first) * PAGE_SIZE;

    return at < block->rb->used_length
        ? ft_hash64(block->rb->host + at, PAGE_SIZE) : 0;
}

void ft_digest_ram_begin(void)
{
    find_blocks();
    memory_global_dirty_log_start(GLOBAL_DIRTY_LIMIT, &error_abort);
    take_all_dirty_bits();
    bitmap_zero(ram.written, ram.pages);
    for (uint64_t page = 0; page < ram.pages; page++) {
        ram.hashes[page] = hash_page(page);
    }
    ram.next_written = ram.next_scrub = 0;
}

static void pages_init(FtDigestPages *p, size_t size)
{
    memset(p, 0, sizeof(*p));
    p->pages = g_new(uint64_t, size);
    p->hashes = g_new(uint64_t, size);
}

static void pages_add(FtDigestPages *p, uint64_t page, uint64_t hash)
{
    p->pages[p->count] = page;
    p->hashes[p->count++] = hash;
}

/* A group's hash is of its pages' numbers and hashes. */
static void pages_group(FtDigestPages *p, uint32_t groups)
{
    uint64_t words[2 * GROUP_PAGES_MAX];

    p->per_group = DIV_ROUND_UP(p->count, groups) ?: 1;
    for (uint32_t first = 0; first < p->count; first += p->per_group) {
        uint32_t n = MIN(p->per_group, p->count - first);

        for (uint32_t i = 0; i < n; i++) {
            words[2 * i] = cpu_to_le64(p->pages[first + i]);
            words[2 * i + 1] = cpu_to_le64(p->hashes[first + i]);
        }
        p->groups[first / p->per_group] =
            ft_hash64(words, 2 * n * sizeof(words[0]));
    }
}

static void hash_written(FtDigestPages *written)
{
    uint64_t page = ram.next_written, hash;
    bool around = false;

    pages_init(written, FT_DIGEST_WRITTEN_MAX);
    while (written->count < FT_DIGEST_WRITTEN_MAX) {
        page = find_next_bit(ram.written, ram.pages, page);
        if (page >= ram.pages) {
            if (around) {
                break;
            }
            around = true;
            page = 0;
            continue;
        }
        clear_bit(page, ram.written);
        hash = hash_page(page);
        if (hash != ram.hashes[page]) {
            ram.hashes[page] = hash;
            pages_add(written, page, hash);
        }
        page++;
    }
    ram.next_written = written->count < FT_DIGEST_WRITTEN_MAX ? 0 : page;
    pages_group(written, FT_DIGEST_GROUPS_MAX);
}

static void hash_scrub(FtDigestPages *scrub)
{
    pages_init(scrub, FT_DIGEST_SCRUB_PAGES);
    while (scrub->count < MIN(FT_DIGEST_SCRUB_PAGES, ram.pages)) {
        pages_add(scrub, ram.next_scrub, hash_page(ram.next_scrub));
        ram.next_scrub = (ram.next_scrub + 1) % ram.pages;
    }
    pages_group(scrub, FT_DIGEST_SCRUB_GROUPS);
}

void ft_digest_ram(FtDigestPages *written, FtDigestPages *scrub)
{
    take_all_dirty_bits();
    hash_written(written);
    hash_scrub(scrub);
}

uint64_t ft_digest_ram_full(void)
{
    g_autofree uint64_t *hashes = NULL;

    find_blocks();
    hashes = g_new(uint64_t, ram.pages);
    for (uint64_t page = 0; page < ram.pages; page++) {
        hashes[page] = cpu_to_le64(hash_page(page));
    }
    return ft_hash64(hashes, ram.pages * sizeof(hashes[0]));
}

uint64_t ft_digest_ram_pages(void)
{
    return ram.pages;
}

char *ft_digest_ram_name(uint64_t first_page, uint64_t last_page)
{
    const Block *a = block_of(first_page), *b = block_of(last_page);

    if (a == b) {
        return g_strdup_printf("%s 0x%" PRIx64 " to 0x%" PRIx64,
                               a->rb->idstr, (first_page - a->first) * PAGE_SIZE,
                               (last_page + 1 - a->first) * PAGE_SIZE - 1);
    }
    return g_strdup_printf("%s 0x%" PRIx64 " to %s 0x%" PRIx64, a->rb->idstr,
                           (first_page - a->first) * PAGE_SIZE, b->rb->idstr,
                           (last_page + 1 - b->first) * PAGE_SIZE - 1);
}
