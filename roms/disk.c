/*
 * Writes a pattern to a virtio disk, reads it back, compares, for ever.
 *
 * Each sector says its own address, the number of the write that made it and
 * a checksum.  RAM remembers, for each sector, the last write that the disk
 * completed: a read must find exactly that one.  Several requests of 1 to 64
 * sectors are in flight at a time, never two on one sector.
 * tests/roms/disk_image.py checks what is left in the image afterwards.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/irq.h"
#include "lib/pci.h"
#include "lib/pit.h"
#include "lib/print.h"
#include "lib/runtime.h"
#include "lib/virtio.h"

enum {
    SECTOR_SIZE = 512,
    REGION_SECTORS_MAX = 8192,
    REQUEST_SECTORS_MAX = 64,
    SLOTS = 8,
    TICKS_PER_REPORT = 20,
    ERRORS_SHOWN_MAX = 20,

    REQUEST_READ = 0,
    REQUEST_WRITE = 1,
    REQUEST_FLUSH = 4,
    FEATURE_FLUSH = 1 << 9,
    STATUS_OK = 0,
    STATUS_NOT_SET = 0xff,

    SECTOR_MAGIC = 0x444d4f52,      /* "ROMD" */
    SECTOR_FILL_WORDS = SECTOR_SIZE / 4 - 4,
};

typedef struct Sector {
    uint32_t magic;
    uint32_t sequence;              /* of the write; 0: never written */
    uint32_t lba;
    uint32_t fill[SECTOR_FILL_WORDS];
    uint32_t checksum;              /* of all words above */
} Sector;
_Static_assert(sizeof(Sector) == SECTOR_SIZE, "a sector is 512 bytes");

typedef struct RequestHeader {
    uint32_t type;
    uint32_t priority;
    uint64_t lba;
} RequestHeader;

typedef struct Slot {
    bool busy;
    uint8_t status;                 /* written by the device */
    uint32_t lba;
    uint32_t count;
    uint32_t sequence;
    RequestHeader header;
    Sector sectors[REQUEST_SECTORS_MAX];
} Slot;

static VirtioDevice device;
static VirtioQueue queue;
static Slot slots[SLOTS];
static uint32_t completed_sequence[REGION_SECTORS_MAX];
static uint32_t region_sectors;
static uint32_t next_sequence = 1;
static uint32_t random_state = 0x2545f491;
static uint32_t wrote, verified, errors;

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % limit;
}

static uint32_t sector_checksum(const Sector *sector)
{
    const uint32_t *word = (const uint32_t *)sector;
    uint32_t sum = 0;

    while (word != &sector->checksum) {
        sum = (sum << 1 | sum >> 31) ^ *word++;
    }
    return sum;
}

static void sector_fill(Sector *sector, uint32_t lba, uint32_t sequence)
{
    uint32_t word = lba * 0x9e3779b9 + sequence;
    unsigned i;

    sector->magic = SECTOR_MAGIC;
    sector->sequence = sequence;
    sector->lba = lba;
    for (i = 0; i < SECTOR_FILL_WORDS; i++) {
        word = word * 1664525 + 1013904223;
        sector->fill[i] = word;
    }
    sector->checksum = sector_checksum(sector);
}

static void report_error(const char *what, uint32_t lba, uint32_t expected,
                         uint32_t found)
{
    if (++errors <= ERRORS_SHOWN_MAX) {
        print("disk ERROR %s lba=%u expected=%u found=%u\n", what, lba,
              expected, found);
    }
}

static void sector_verify(const Sector *sector, uint32_t lba)
{
    uint32_t expected = completed_sequence[lba];

    if (expected == 0) {
        return;                     /* not ours: whatever the image held */
    }
    if (sector->magic != SECTOR_MAGIC ||
        sector->checksum != sector_checksum(sector)) {
        report_error("checksum", lba, sector_checksum(sector),
                     sector->checksum);
    } else if (sector->lba != lba) {
        report_error("address", lba, lba, sector->lba);
    } else if (sector->sequence != expected) {
        report_error("sequence", lba, expected, sector->sequence);
    }
}

static void slot_submit(Slot *slot, uint32_t type)
{
    VirtioSegment header = { &slot->header, sizeof(slot->header) };
    VirtioSegment data = { slot->sectors, slot->count * SECTOR_SIZE };
    VirtioSegment status = { &slot->status, sizeof(slot->status) };
    bool put;

    slot->busy = true;
    slot->status = STATUS_NOT_SET;
    slot->header.type = type;
    slot->header.lba = type == REQUEST_FLUSH ? 0 : slot->lba;
    if (type == REQUEST_FLUSH) {
        VirtioSegment segments[] = { header, status };

        put = virtio_queue_put(&queue, segments, 1, 1, slot - slots);
    } else {
        VirtioSegment segments[] = { header, data, status };
        unsigned outs = type == REQUEST_WRITE ? 2 : 1;

        put = virtio_queue_put(&queue, segments, outs, 3 - outs,
                               slot - slots);
    }
    if (!put) {
        panic("disk: a queue of %u is too small", queue.size);
    }
    virtio_queue_notify(&queue);
}

static bool overlaps_busy_slot(uint32_t lba, uint32_t count)
{
    unsigned i;

    for (i = 0; i < SLOTS; i++) {
        if (slots[i].busy && lba < slots[i].lba + slots[i].count &&
            slots[i].lba < lba + count) {
            return true;
        }
    }
    return false;
}

static void slot_begin(Slot *slot)
{
    uint32_t kind = random_below(16);
    uint32_t count, lba, i;

    if (kind == 0 && device.features & FEATURE_FLUSH) {
        slot->count = 0;
        slot_submit(slot, REQUEST_FLUSH);
        return;
    }
    do {
        count = 1 + random_below(REQUEST_SECTORS_MAX);
        lba = random_below(region_sectors - count + 1);
    } while (overlaps_busy_slot(lba, count));
    slot->lba = lba;
    slot->count = count;
    if (kind < 6) {
        slot_submit(slot, REQUEST_READ);
        return;
    }
    slot->sequence = next_sequence++;
    for (i = 0; i < count; i++) {
        sector_fill(&slot->sectors[i], lba + i, slot->sequence);
    }
    slot_submit(slot, REQUEST_WRITE);
}

/* A write is followed by a read of the same sectors. */
static void slot_complete(Slot *slot)
{
    uint32_t i;

    slot->busy = false;
    if (slot->status != STATUS_OK) {
        report_error("status", slot->lba, STATUS_OK, slot->status);
        return;
    }
    if (slot->header.type == REQUEST_WRITE) {
        wrote++;
        for (i = 0; i < slot->count; i++) {
            completed_sequence[slot->lba + i] = slot->sequence;
            slot->sectors[i].magic = 0;
        }
        slot_submit(slot, REQUEST_READ);
    } else if (slot->header.type == REQUEST_READ) {
        for (i = 0; i < slot->count; i++) {
            sector_verify(&slot->sectors[i], slot->lba + i);
        }
        verified++;
    }
}

static void interrupt(void)
{
    virtio_acknowledge(&device);
}

static void disk_open(void)
{
    uint32_t capacity;

    if (!virtio_open(&device, VIRTIO_PCI_BLOCK, FEATURE_FLUSH)) {
        panic("disk: no virtio disk; add -drive if=none,id=d0,... "
              "-device virtio-blk-pci,drive=d0");
    }
    capacity = virtio_config32(&device, 4) ? UINT32_MAX :
               virtio_config32(&device, 0);
    region_sectors = capacity < REGION_SECTORS_MAX ? capacity :
                     REGION_SECTORS_MAX;
    /* Room for all slots and for the gaps between them. */
    if (region_sectors < 4 * SLOTS * REQUEST_SECTORS_MAX) {
        panic("disk: %u sectors are too few, %u are needed", capacity,
              4 * SLOTS * REQUEST_SECTORS_MAX);
    }
    virtio_queue_init(&device, &queue, 0);
    pci_handle_interrupts(interrupt);
    virtio_start(&device);
    print("disk capacity=%u region=%u\n", capacity, region_sectors);
}

void rom_main(void)
{
    uint32_t next_report = TICKS_PER_REPORT;
    uint32_t token, size, i;

    disk_open();
    pit_init();
    for (;;) {
        for (i = 0; i < SLOTS; i++) {
            if (!slots[i].busy) {
                slot_begin(&slots[i]);
            }
        }
        irq_wait();
        while (virtio_queue_get(&queue, &token, &size)) {
            slot_complete(&slots[token]);
        }
        if ((int32_t)(pit_ticks - next_report) >= 0) {
            next_report = pit_ticks + TICKS_PER_REPORT;
            print("disk wrote=%u verified=%u errors=%u\n", wrote, verified,
                  errors);
        }
    }
}
