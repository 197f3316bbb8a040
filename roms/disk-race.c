/*
 * Races with its disk's DMA, and looks at who won.
 *
 * A round has three requests in flight: two writes that overlap, and a read
 * of what both write.  Their data are spoiled as soon as they were offered:
 * the disk has to have taken them.  Then the guest polls the read's target,
 * as fast as it can.  Whatever it sees first, and after how many looks, goes
 * into a checksum, so that two machines print the same only if the data came
 * at the same instruction.  Data that is there before the request is done, or
 * is not what was written last, is an error.
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
    SECTOR_WORDS = 128,
    SECTORS_MAX = 16,               /* of a write */
    REGION_SECTORS = 4096,
    TICKS_PER_REPORT = 20,
    ERRORS_SHOWN_MAX = 20,

    REQUEST_READ = 0,
    REQUEST_WRITE = 1,
    FEATURE_FLUSH = 1 << 9,
    STATUS_OK = 0,
    STATUS_NOT_SET = 0xff,

    UNTOUCHED = 0x5a5a5a5a,
    SPOILED = 0x5b5b5b5b,
};

typedef struct RequestHeader {
    uint32_t type;
    uint32_t priority;
    uint64_t lba;
} RequestHeader;

typedef struct Request {
    bool done;
    volatile uint8_t status;        /* written by the device */
    RequestHeader header;
    uint32_t sectors;
    volatile uint32_t data[2 * SECTORS_MAX * SECTOR_WORDS];
} Request;

enum { FIRST, SECOND, READ, REQUESTS };

static VirtioDevice device;
static VirtioQueue queue;
static Request requests[REQUESTS];
static uint32_t random_state = 0x1234567;
static uint32_t rounds, looks, checksum, errors;

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % limit;
}

static void mix(uint32_t value)
{
    checksum = (checksum << 5 | checksum >> 27) ^ value;
}

static void error(const char *what, uint32_t expected, uint32_t found)
{
    if (++errors <= ERRORS_SHOWN_MAX) {
        print("race ERROR %s round=%u expected=%x found=%x\n", what, rounds,
              expected, found);
    }
}

/* What a write of this round puts there. */
static uint32_t word_of(unsigned write, uint32_t lba, uint32_t word)
{
    return (rounds * 2 + write) * 0x9e3779b1 ^ lba * 0x85ebca6b ^ word;
}

static void fill(Request *request, uint32_t value)
{
    uint32_t i;

    for (i = 0; i < request->sectors * SECTOR_WORDS; i++) {
        request->data[i] = value;
    }
}

static void submit(Request *request, uint32_t type)
{
    VirtioSegment segments[] = {
        { &request->header, sizeof(request->header) },
        { (void *)request->data, request->sectors * SECTOR_WORDS * 4 },
        { (void *)&request->status, 1 },
    };
    unsigned outs = type == REQUEST_WRITE ? 2 : 1;

    request->done = false;
    request->status = STATUS_NOT_SET;
    request->header.type = type;
    if (!virtio_queue_put(&queue, segments, outs, 3 - outs,
                          request - requests)) {
        panic("race: a queue of %u is too small", queue.size);
    }
    virtio_queue_notify(&queue);
}

static void submit_write(unsigned write)
{
    Request *request = &requests[write];
    uint32_t i;

    for (i = 0; i < request->sectors * SECTOR_WORDS; i++) {
        request->data[i] = word_of(write, request->header.lba +
                                   i / SECTOR_WORDS, i % SECTOR_WORDS);
    }
    submit(request, REQUEST_WRITE);
    fill(request, SPOILED);
}

/* Polls the read's last word until the disk has changed it. */
static void watch(void)
{
    Request *request = &requests[READ];
    volatile uint32_t *last =
        &request->data[request->sectors * SECTOR_WORDS - 1];
    uint32_t n = 0, value;

    while ((value = *last) == UNTOUCHED && request->status == STATUS_NOT_SET) {
        n++;
    }
    if (request->status == STATUS_NOT_SET) {
        error("early", UNTOUCHED, value);
    }
    looks += n;
    mix(n);
    mix(value);
}

static bool is_in(const Request *request, uint32_t lba)
{
    return lba >= request->header.lba &&
        lba < request->header.lba + request->sectors;
}

static void verify(void)
{
    Request *request = &requests[READ];
    uint32_t i;

    for (i = 0; i < request->sectors * SECTOR_WORDS; i++) {
        uint32_t lba = request->header.lba + i / SECTOR_WORDS;
        unsigned write = is_in(&requests[SECOND], lba) ? SECOND : FIRST;
        uint32_t expected = word_of(write, lba, i % SECTOR_WORDS);

        if (request->data[i] != expected) {
            error("data", expected, request->data[i]);
            return;
        }
    }
}

static void wait_all(void)
{
    uint32_t token, size, left = REQUESTS;

    while (left) {
        if (virtio_queue_get(&queue, &token, &size)) {
            requests[token].done = true;
            left--;
            mix(token);
            if (requests[token].status != STATUS_OK) {
                error("status", STATUS_OK, requests[token].status);
            }
        }
    }
}

static void round_of_requests(void)
{
    uint32_t lba = random_below(REGION_SECTORS - 2 * SECTORS_MAX);
    uint32_t n = 2 + random_below(SECTORS_MAX - 1);
    uint32_t shift = random_below(n);

    requests[FIRST].header.lba = lba;
    requests[FIRST].sectors = n;
    requests[SECOND].header.lba = lba + shift;
    requests[SECOND].sectors = n;
    requests[READ].header.lba = lba;
    requests[READ].sectors = n + shift;
    fill(&requests[READ], UNTOUCHED);
    submit_write(FIRST);
    submit_write(SECOND);
    submit(&requests[READ], REQUEST_READ);
    watch();
    wait_all();
    verify();
    rounds++;
}

static void interrupt(void)
{
    virtio_acknowledge(&device);
}

void rom_main(void)
{
    uint32_t next_report = TICKS_PER_REPORT;

    if (!virtio_open(&device, VIRTIO_PCI_BLOCK, FEATURE_FLUSH)) {
        panic("race: no virtio disk; add -drive if=none,id=d0,... "
              "-device virtio-blk-pci,drive=d0");
    }
    if (virtio_config32(&device, 0) < REGION_SECTORS) {
        panic("race: the disk has less than %u sectors", REGION_SECTORS);
    }
    virtio_queue_init(&device, &queue, 0);
    pci_handle_interrupts(interrupt);
    virtio_start(&device);
    pit_init();
    irq_on();
    print("race ready\n");
    for (;;) {
        round_of_requests();
        if ((int32_t)(pit_ticks - next_report) >= 0) {
            next_report = pit_ticks + TICKS_PER_REPORT;
            print("race rounds=%u looks=%u checksum=%x errors=%u\n", rounds,
                  looks, checksum, errors);
        }
    }
}
