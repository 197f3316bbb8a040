/*
 * What an event costs: nanoseconds for encoding, decoding, the gate, frames
 * and hashes, with this build's own code in a QEMU without a machine.
 *
 *     micro encode LOG    writes a log of EVENTS events and keeps it in LOG
 *     micro decode LOG    reads it again
 *     micro rest
 *
 * Prints "name<TAB>nanoseconds<TAB>what one is" a line, each the median of
 * REPEATS.  Encoding and decoding are processes of their own, since a
 * machine records or replays from its beginning.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <poll.h>
#include <sys/eventfd.h>
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/seqlock.h"
#include "qemu/timer.h"
#include "system/cpu-timers.h"
#include "system/cpu-timers-internal.h"
#include "system/system.h"
#include "replay/ft-stream.h"
#include "replay/replay-internal.h"
#include "ft/core.h"
#include "ft/gate.h"
#include "ft/hash.h"
#include "ft/wire.h"

enum {
    EVENTS = 20000,             /* of each repeat */
    PACKETS = 2000,
    SWITCHES = 2000,
    BATCH = 64,                 /* events of a long transaction */
    REPEATS = 9,
    STEP = 5000,                /* instructions between two events */
    PACKET = 1500,
    PAGE = 4096,
    OUTPUTS = 64,               /* that wait together */
};

static FtLog memory;
static uint8_t bytes[1 << 20];

/* --- measuring ----------------------------------------------------------- */

typedef void Work(void);

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* CPU time, so that it matters little who else works. */
static int64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * NANOSECONDS_PER_SECOND + now.tv_nsec;
}

/* By the wall's clock: where threads wait for each other. */
static int64_t (*clock_ns)(void) = cpu_ns;

/* work() does events of them. */
static void measure(const char *name, unsigned events, Work *work,
                    const char *what)
{
    double ns[REPEATS] = { 0 };

    for (unsigned i = 0; i < REPEATS; i++) {
        int64_t began = clock_ns();

        work();
        ns[i] = (double)(clock_ns() - began) / events;
    }
    qsort(ns, REPEATS, sizeof(ns[0]), by_value);
    printf("%s\t%.1f\t%s\n", name, ns[REPEATS / 2], what);
}

/* --- the stream ---------------------------------------------------------- */

static void no_control(FtControl code, const uint8_t *data, size_t size)
{
}

static void no_notice(bool urgent)
{
}

static void no_live(void)
{
}

static void no_fetched(uint64_t position)
{
}

static void failed(const char *why)
{
    fprintf(stderr, "micro: %s\n", why);
    exit(1);
}

static void stream_begin(bool play)
{
    static const FtStreamOps ops = {
        .control = no_control, .appended = no_notice, .live = no_live,
        .fetched = no_fetched, .fail = failed,
    };

    ft_stream_setup(play, &memory, &ops);
    replay_file = fopen("/dev/null", "wb");
    replay_mode = REPLAY_MODE_RECORD;
    replay_mutex_init();
    replay_state.data_kind = -1;
    ft_stream_hook_enable();
    replay_init_events();
    replay_enable_events();
    ft_stream_set_started();        /* the mutex is ours since its init */
    if (!play) {
        ft_stream_begin_log();
    }
    replay_mutex_unlock();
}

static void execute(void)
{
    timers_state.qemu_icount += STEP;
}

static void one_clock(void)
{
    REPLAY_CLOCK(REPLAY_CLOCK_HOST, 1700000000000000000 + icount_get_raw());
}

/* As a packet: an entry of an event's kind, and an array. */
static void one_packet(void)
{
    g_autofree uint8_t *packet = NULL;
    size_t size;

    replay_account_executed_instructions();
    replay_save_instructions();
    if (replay_mode == REPLAY_MODE_RECORD) {
        replay_put_event(EVENT_RANDOM);
        replay_put_array(bytes, PACKET);
        return;
    }
    if (!replay_next_event_is(EVENT_RANDOM)) {
        failed("the log has something else than what was written");
    }
    replay_get_array_alloc(&packet, &size);
    replay_finish_event();
}

/* Events in transactions of so many. */
static void events(void (*one)(void), unsigned count, unsigned in_one)
{
    for (unsigned i = 0; i < count; i += in_one) {
        replay_mutex_lock();
        for (unsigned j = 0; j < in_one && i + j < count; j++) {
            execute();
            one();
        }
        replay_mutex_unlock();
    }
}

static void clocks_single(void)
{
    events(one_clock, EVENTS, 1);
}

static void clocks_batched(void)
{
    events(one_clock, EVENTS, BATCH);
}

static void packets(void)
{
    events(one_packet, PACKETS, 1);
}

static void lock_only(void)
{
    for (unsigned i = 0; i < EVENTS; i++) {
        replay_mutex_lock();
        replay_mutex_unlock();
    }
}

/* The same in both directions, so that a decoder meets what it expects. */
static void stream_rows(const char *prefix)
{
    g_autofree char *single = g_strdup_printf("%s, alone", prefix);
    g_autofree char *batch = g_strdup_printf("%s, %d together", prefix, BATCH);
    g_autofree char *packet = g_strdup_printf("%s, %d bytes", prefix, PACKET);

    measure(single, EVENTS, clocks_single,
            "a clock reading and its instruction count, in a transaction of "
            "its own: replay mutex, entry, log");
    measure(batch, EVENTS, clocks_batched,
            "the same, 64 in a transaction");
    measure(packet, PACKETS, packets,
            "so many bytes of input in a transaction of their own");
}

static void encode(const char *path)
{
    g_autofree uint8_t *log = NULL;
    size_t size;

    ft_log_init(&memory);
    stream_begin(false);
    stream_rows("encode");
    replay_mutex_lock();
    size = ft_stream_flush();
    replay_mutex_unlock();
    log = g_malloc(size);
    g_assert(ft_log_copy(&memory, 0, size, log, size) == size);
    g_file_set_contents(path, (char *)log, size, NULL);
    measure("transaction, empty", EVENTS, lock_only,
            "the replay mutex taken and given back");
}

static const uint8_t *scanned;
static size_t scanned_size;

/* What a backup's I/O thread does before it publishes a transaction. */
static void scan(void)
{
    const char *why;
    size_t at = 0;

    for (unsigned i = 0; i < EVENTS; i++) {
        ssize_t n = ft_entry_length(scanned + at, scanned_size - at, &why);

        if (n <= 0) {
            failed("the log that was written has a broken entry");
        }
        at += n;
    }
}

static void decode(const char *path)
{
    g_autofree char *log = NULL;
    gsize size;

    if (!g_file_get_contents(path, &log, &size, NULL)) {
        failed("there is no log: run micro encode first");
    }
    scanned = (uint8_t *)log;
    scanned_size = size;
    measure("receive, an entry", EVENTS, scan,
            "an entry of a received frame found and checked");
    ft_log_init(&memory);
    ft_log_append(&memory, log, size);
    ft_log_commit(&memory, size);
    stream_begin(true);
    stream_rows("decode");
}

/* --- the rest ------------------------------------------------------------ */

static void output_left(FtOutput *output, bool emit)
{
    g_free(output);
}

/* Held, released when acknowledged, and gone. */
static void gate_outputs(void)
{
    for (unsigned i = 0; i < EVENTS; i += OUTPUTS) {
        replay_mutex_lock();
        for (unsigned j = 0; j < OUTPUTS; j++) {
            FtOutput *output = g_new0(FtOutput, 1);

            output->finish = output_left;
            output->size = PACKET;
            execute();
            ft_gate_hold(output);
        }
        replay_mutex_unlock();
        ft_gate_release(ft_log_end(&memory));
        ft_gate_flush();
    }
}

static void log_bytes(void)
{
    uint8_t out[64];

    for (unsigned i = 0; i < EVENTS; i++) {
        uint64_t end = ft_log_append(&memory, bytes, sizeof(out));

        ft_log_commit(&memory, end);
        g_assert(ft_log_copy(&memory, end - sizeof(out), end, out,
                             sizeof(out)) == sizeof(out));
        ft_log_trim(&memory, end);
    }
}

static void frames_of(FtFrameType type, unsigned size)
{
    for (unsigned i = 0; i < EVENTS; i++) {
        FtFrame frame = { .type = type, .session = 1, .generation = 1,
                          .position = i, .length = size };
        uint8_t header[FT_FRAME_HEADER_SIZE];
        const char *why;

        ft_wire_frame_out(&frame, bytes, header);
        g_assert(ft_wire_frame_in(&frame, header, &why) &&
                 ft_wire_frame_check(&frame, bytes, &why));
    }
}

static void frames_log(void)
{
    frames_of(FT_FRAME_LOG, 256);
}

static void frames_ack(void)
{
    frames_of(FT_FRAME_ACK, FT_ACK_SIZE);
}

static void hash_pages(void)
{
    for (unsigned i = 0; i < EVENTS; i++) {
        bytes[0] += ft_hash64(bytes + i % 200 * PAGE, PAGE);
    }
}

static FtHash *log_hash;

static void hash_entries(void)
{
    for (unsigned i = 0; i < EVENTS; i++) {
        ft_hash_update(log_hash, bytes + i % 1000 * 14, 14);
    }
}

static int to_other, to_us;

/* Sends back whatever comes. */
static void *other_thread(void *opaque)
{
    uint64_t word;

    while (read(to_other, &word, sizeof(word)) == sizeof(word)) {
        g_assert(write(to_us, &word, sizeof(word)) == sizeof(word));
    }
    return NULL;
}

static void switches(void)
{
    uint64_t word = 1;

    for (unsigned i = 0; i < SWITCHES / 2; i++) {
        g_assert(write(to_other, &word, sizeof(word)) == sizeof(word));
        g_assert(read(to_us, &word, sizeof(word)) == sizeof(word));
    }
}

static void system_calls(void)
{
    struct pollfd fd = { .fd = to_other, .events = POLLIN };

    for (unsigned i = 0; i < EVENTS; i++) {
        poll(&fd, 1, 0);
    }
}

/* What the way of an answer is made of. */
static void threads(void)
{
    QemuThread other;

    to_other = eventfd(0, 0);
    to_us = eventfd(0, 0);
    measure("system call", EVENTS, system_calls,
            "poll() of one descriptor, without waiting");
    qemu_thread_create(&other, "other", other_thread, NULL,
                       QEMU_THREAD_DETACHED);
    clock_ns = get_clock;
    measure("thread switch", SWITCHES, switches,
            "a thread wakes another by an eventfd and sleeps; wall clock");
    clock_ns = cpu_ns;
}

static void rest(void)
{
    ft_log_init(&memory);
    stream_begin(false);
    ft_gate_init();
    ft_gate_begin();
    log_hash = ft_hash_new();
    measure("gate", EVENTS, gate_outputs,
            "an output held, released by an acknowledgement and gone, 64 at "
            "a time");
    ft_log_reset(&memory);
    measure("log", EVENTS, log_bytes,
            "64 bytes appended, published, copied for sending and trimmed");
    measure("frame LOG", EVENTS, frames_log,
            "256 bytes of log framed, and checked by the other side");
    measure("frame ACK", EVENTS, frames_ack,
            "an acknowledgement framed, and checked by the other side");
    measure("digest, a page", EVENTS, hash_pages,
            "hash of 4 KiB of the guest's memory");
    measure("digest, an entry", EVENTS, hash_entries,
            "hash of 14 bytes of log");
    threads();
}

int main(int argc, char **argv)
{
    static char *qemu[] = {
        (char *)"micro", (char *)"-machine", (char *)"none",
        (char *)"-display", (char *)"none", (char *)"-nodefaults",
        (char *)"-accel", (char *)"tcg", (char *)"-icount",
        (char *)"shift=1", NULL
    };
    const char *what = argc > 1 ? argv[1] : "rest";

    qemu_init(ARRAY_SIZE(qemu) - 1, qemu);
    bql_unlock();
    replay_mutex_unlock();
    if (argc > 2 && !strcmp(what, "encode")) {
        encode(argv[2]);
    } else if (argc > 2 && !strcmp(what, "decode")) {
        decode(argv[2]);
    } else {
        rest();
    }
    fflush(stdout);
    _exit(0);
}
