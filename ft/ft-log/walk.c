/*
 * A log's entries, one after the other.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "replay/ft-stream.h"
#include "walk.h"

/* A longer step is one of the host's clock, and no time that passed. */
#define CLOCK_STEP_MAX_NS (60LL * 1000 * 1000 * 1000)

struct FtLogWalk {
    FtLogReader *reader;
    GByteArray *bytes;          /* the transaction */
    bool whole;                 /* ... is complete */
    size_t at;
    uint64_t position;
    bool begun;
    uint64_t icount;
    int64_t elapsed_ns;
    struct {
        bool seen;
        int64_t zero_ns;        /* what it shows where elapsed_ns is 0 */
    } clocks[FT_ENTRY_CLOCKS];
    char *why;
    char *end_text;
};

FtLogWalk *ft_log_walk_open(const char *path, char **why)
{
    FtLogReader *reader = ft_log_reader_open(path, why);
    FtLogWalk *walk;

    if (!reader) {
        return NULL;
    }
    walk = g_new0(FtLogWalk, 1);
    walk->reader = reader;
    walk->bytes = g_byte_array_new();
    return walk;
}

void ft_log_walk_free(FtLogWalk *walk)
{
    ft_log_reader_free(walk->reader);
    g_byte_array_unref(walk->bytes);
    g_free(walk->why);
    g_free(walk->end_text);
    g_free(walk);
}

/* Reads frames until a transaction is whole. */
static FtLogRead read_transaction(FtLogWalk *walk)
{
    const uint8_t *payload;
    FtFrame frame;

    if (walk->whole) {
        g_byte_array_set_size(walk->bytes, 0);
        walk->whole = false;
        walk->at = 0;
    }
    while (!walk->whole) {
        FtLogRead result = ft_log_reader_next(walk->reader, &frame, &payload);

        if (result != FT_LOG_READ_FRAME) {
            return result;
        }
        if (frame.type == FT_FRAME_END) {
            g_free(walk->end_text);
            walk->end_text = g_strndup((char *)payload, frame.length);
            continue;
        }
        if (!walk->begun) {
            walk->begun = true;
            walk->position = frame.position;
        }
        g_byte_array_append(walk->bytes, payload, frame.length);
        walk->whole = !(frame.flags & FT_FRAME_MORE);
    }
    return FT_LOG_READ_FRAME;
}

/* Each clock goes on from where it was first read; a host's may jump. */
static void take_clock(FtLogWalk *walk, const uint8_t *data)
{
    int64_t ns, elapsed_ns;
    unsigned clock;

    if (!ft_entry_clock(data, &clock, &ns)) {
        return;
    }
    elapsed_ns = ns - walk->clocks[clock].zero_ns;
    if (!walk->clocks[clock].seen || elapsed_ns < walk->elapsed_ns ||
        elapsed_ns > walk->elapsed_ns + CLOCK_STEP_MAX_NS) {
        walk->clocks[clock].seen = true;
        walk->clocks[clock].zero_ns = ns - walk->elapsed_ns;
    } else {
        walk->elapsed_ns = elapsed_ns;
    }
}

FtLogRead ft_log_walk_next(FtLogWalk *walk, FtLogEntry *entry)
{
    const char *why = NULL;
    uint8_t *data;
    ssize_t n;

    if (!walk->whole || walk->at == walk->bytes->len) {
        FtLogRead result = read_transaction(walk);

        if (result != FT_LOG_READ_FRAME) {
            return result;
        }
    }
    data = walk->bytes->data + walk->at;
    n = ft_entry_length(data, walk->bytes->len - walk->at, &why);
    if (n <= 0 || !ft_entry_begins(data, walk->position == 0, &why)) {
        g_free(walk->why);
        walk->why = g_strdup_printf("the log entry at position %" PRIu64
                                    " (byte 0x%02x) is bad: %s",
                                    walk->position, data[0],
                                    why ?: "a transaction ends inside it");
        return FT_LOG_READ_BAD;
    }
    take_clock(walk, data);
    *entry = (FtLogEntry) {
        .position = walk->position,
        .icount = walk->icount,
        .elapsed_ns = walk->elapsed_ns,
        .kind = ft_entry_kind(data),
        .data = data,
        .size = n,
    };
    walk->at += n;
    walk->position += n;
    walk->icount += ft_entry_instructions(data);
    return FT_LOG_READ_FRAME;
}

const char *ft_log_walk_why(const FtLogWalk *walk)
{
    return walk->why ?: ft_log_reader_why(walk->reader);
}

const FtLogReader *ft_log_walk_reader(const FtLogWalk *walk)
{
    return walk->reader;
}

const char *ft_log_walk_end_text(const FtLogWalk *walk)
{
    return walk->end_text;
}

uint64_t ft_log_walk_position(const FtLogWalk *walk)
{
    return walk->position;
}

uint64_t ft_log_walk_icount(const FtLogWalk *walk)
{
    return walk->icount;
}
