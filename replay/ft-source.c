/*
 * The backup's log as the file that upstream's engine reads.
 *
 * The engine reads a byte at a time.  The file's buffer takes what is
 * committed, all at once, and so is ahead of the engine; positions, and the
 * hash that a digest compares, are those of what the engine has read.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <stdio_ext.h>
#include "ft-stream-internal.h"

#define BUFFER_SIZE 4096

/* Protected by the replay mutex. */
static struct {
    FILE *file;
    uint64_t filled;            /* the log was read up to here */
    char buffer[BUFFER_SIZE];   /* the file's */
    size_t kept;                /* of it, from the log */
    size_t hashed;              /* of these */
} source;

/* What the engine has not read of the buffer. */
static size_t unread(void)
{
    return source.file->_IO_read_end - source.file->_IO_read_ptr;
}

static void hash_up_to(size_t end)
{
    ft_hash_update(ft_stream.hash, source.buffer + source.hashed,
                   end - source.hashed);
    source.hashed = end;
}

/*
 * All of the buffer was read.  Entries are whole when the engine reads their
 * first byte, so the log never ends inside one; to find nothing would be our
 * own mistake.  What is longer than the buffer goes to the engine directly.
 */
static ssize_t source_read(void *opaque, char *buf, size_t size)
{
    uint64_t end = ft_log_committed(ft_stream.log);
    FtLogView view;
    size_t n;

    hash_up_to(source.kept);
    source.kept = source.hashed = 0;
    if (end <= source.filled) {
        ft_stream_fail("the engine reads beyond the log's end");
    }
    /* Who reads the log trims it, too. */
    ft_log_view(ft_stream.log, source.filled, end, &view);
    n = MIN(view.size, size);
    memcpy(buf, view.data, n);
    ft_log_view_end(&view);
    source.filled += n;
    if (buf == source.buffer) {
        source.kept = n;
    } else {
        ft_hash_update(ft_stream.hash, buf, n);
    }
    return n;
}

FILE *ft_source_open(void)
{
    source.file = fopencookie(NULL, "r",
                              (cookie_io_functions_t) { .read = source_read });
    setvbuf(source.file, source.buffer, _IOFBF, sizeof(source.buffer));
    /* The replay mutex is enough. */
    __fsetlocking(source.file, FSETLOCKING_BYCALLER);
    return source.file;
}

uint64_t ft_source_position(void)
{
    return source.filled - unread();
}

bool ft_source_has_more(void)
{
    return unread() || ft_log_committed(ft_stream.log) > source.filled;
}

uint8_t ft_source_next(void)
{
    uint8_t code;

    if (unread()) {
        return *source.file->_IO_read_ptr;
    }
    ft_log_copy(ft_stream.log, source.filled, UINT64_MAX, &code, 1);
    return code;
}

uint64_t ft_source_take_hash(void)
{
    hash_up_to(source.kept - unread());
    return ft_hash_take(ft_stream.hash);
}
