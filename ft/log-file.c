/*
 * A session's log as a file.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "limits.h"
#include "log-file.h"

/* The line's end shows a file that was copied as text. */
static const guint8 magic[8] = "QFT-LOG\n";

enum {
    MAGIC_AT = 0,                       /* 8 bytes */
    VERSION_AT = 8,                     /* u16 */
    ROLE_AT = 10,                       /* u8 */
    BEGUN_AT = 16,                      /* u64; 11 to 15 are 0 */
    CRC_AT = 28,                        /* u32; 24 to 27 are 0 */
};

G_STATIC_ASSERT(CRC_AT + 4 == FT_LOG_FILE_HEADER_SIZE);

struct FtLogReader {
    int fd;
    guint64 offset;             /* of the next frame */
    guint64 position;           /* of the log, after the last frame */
    gboolean begun;             /* a LOG frame was read */
    gboolean inside;            /* ... and it said MORE */
    gboolean ended;
    FtLogFileHeader header;
    FtFrame hello;
    char *hello_text;
    char *why;
    guint8 *payload;
};

void ft_log_file_header_out(const FtLogFileHeader *header, guint8 *bytes)
{
    memset(bytes, 0, FT_LOG_FILE_HEADER_SIZE);
    memcpy(bytes + MAGIC_AT, magic, sizeof(magic));
    ft_put16(bytes + VERSION_AT, FT_LOG_FILE_VERSION);
    bytes[ROLE_AT] = header->role;
    ft_put64(bytes + BEGUN_AT, header->begun_us);
    ft_put32(bytes + CRC_AT, ft_wire_crc32c(0, bytes, CRC_AT));
}

gboolean ft_log_file_has_magic(const void *bytes, gsize size)
{
    return size >= sizeof(magic) && !memcmp(bytes, magic, sizeof(magic));
}

static gboolean header_in(FtLogFileHeader *header, const guint8 *bytes,
                          const char **why)
{
    if (!ft_log_file_has_magic(bytes, FT_LOG_FILE_HEADER_SIZE)) {
        *why = "it is no log of a session (-ft ...,log=FILE writes one)";
        return FALSE;
    }
    if (ft_get16(bytes + VERSION_AT) != FT_LOG_FILE_VERSION) {
        *why = "it is a log of another version; use the build that wrote it";
        return FALSE;
    }
    if (ft_get32(bytes + CRC_AT) != ft_wire_crc32c(0, bytes, CRC_AT)) {
        *why = "damaged at byte 0: the file's header has a wrong checksum";
        return FALSE;
    }
    header->role = bytes[ROLE_AT];
    header->begun_us = ft_get64(bytes + BEGUN_AT);
    return TRUE;
}

void ft_log_file_put(GByteArray *bytes, const FtFrame *frame,
                     const void *payload)
{
    guint8 header[FT_FRAME_HEADER_SIZE];

    ft_wire_frame_out(frame, payload, header);
    g_byte_array_append(bytes, header, sizeof(header));
    if (frame->length) {
        g_byte_array_append(bytes, payload, frame->length);
    }
}

/* --- reading ------------------------------------------------------------- */

static FtLogRead G_GNUC_PRINTF(3, 4) fail(FtLogReader *reader,
                                          FtLogRead kind, const char *fmt, ...)
{
    va_list ap;

    g_free(reader->why);
    va_start(ap, fmt);
    reader->why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return kind;
}

static FtLogRead bad(FtLogReader *reader, const char *what)
{
    return fail(reader, FT_LOG_READ_BAD,
                "damaged at byte %" G_GUINT64_FORMAT " (log position %"
                G_GUINT64_FORMAT "): %s", reader->offset, reader->position,
                what);
}

/* All of size bytes, fewer at the file's end; < 0: errno. */
static gssize read_at(int fd, void *buf, gsize size, guint64 offset)
{
    gsize done = 0;

    while (done < size) {
        gssize n = pread(fd, (guint8 *)buf + done, size - done, offset + done);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        done += MAX(n, 0);
    }
    return done;
}

static FtLogRead short_of(FtLogReader *reader, gsize have)
{
    if (!have) {
        return fail(reader, FT_LOG_READ_SHORT,
                    "it has no end: it stops after byte %" G_GUINT64_FORMAT
                    " (log position %" G_GUINT64_FORMAT "). It is still being "
                    "written, or its writer was killed, or it was cut off",
                    reader->offset, reader->position);
    }
    return fail(reader, FT_LOG_READ_SHORT,
                "it is cut off inside the frame at byte %" G_GUINT64_FORMAT
                " (log position %" G_GUINT64_FORMAT "), of which %zu bytes "
                "are there", reader->offset, reader->position, have);
}

/* The frame at the offset, its checksum compared. */
static FtLogRead read_frame(FtLogReader *reader, FtFrame *frame)
{
    guint8 header[FT_FRAME_HEADER_SIZE];
    gssize n = read_at(reader->fd, header, sizeof(header), reader->offset);
    const char *why;

    if (n < 0) {
        return fail(reader, FT_LOG_READ_BAD, "can't be read at byte %"
                    G_GUINT64_FORMAT ": %s", reader->offset, g_strerror(-n));
    }
    if (n < (gssize)sizeof(header)) {
        return short_of(reader, n);
    }
    if (!ft_wire_frame_in(frame, header, &why)) {
        return bad(reader, why);
    }
    n = read_at(reader->fd, reader->payload, frame->length,
                reader->offset + sizeof(header));
    if (n < 0) {
        return fail(reader, FT_LOG_READ_BAD, "can't be read at byte %"
                    G_GUINT64_FORMAT ": %s", reader->offset, g_strerror(-n));
    }
    if (n < (gssize)frame->length) {
        return short_of(reader, sizeof(header) + n);
    }
    if (!ft_wire_frame_check(frame, reader->payload, &why)) {
        return bad(reader, why);
    }
    return FT_LOG_READ_FRAME;
}

static const char *misplaced(const FtLogReader *reader, const FtFrame *frame)
{
    if (frame->type != FT_FRAME_LOG && frame->type != FT_FRAME_END) {
        return "a frame that no log has";
    }
    if (frame->session != reader->hello.session ||
        frame->generation != reader->hello.generation) {
        return "a frame of another session";
    }
    if (frame->position != reader->position &&
        (reader->begun || frame->type == FT_FRAME_END)) {
        return "log is missing before this frame, or is here twice";
    }
    if (frame->type == FT_FRAME_LOG && !frame->length) {
        return "a frame without log";
    }
    if (frame->type == FT_FRAME_END && reader->inside) {
        return "the log ends inside a transaction";
    }
    return NULL;
}

FtLogRead ft_log_reader_next(FtLogReader *reader, FtFrame *frame,
                             const guint8 **payload)
{
    FtLogRead result;
    const char *why;
    guint8 byte;

    if (reader->ended) {
        return read_at(reader->fd, &byte, 1, reader->offset) > 0
            ? bad(reader, "the file goes on after the log's end")
            : FT_LOG_READ_DONE;
    }
    result = read_frame(reader, frame);
    if (result != FT_LOG_READ_FRAME) {
        return result;
    }
    why = misplaced(reader, frame);
    if (why) {
        return bad(reader, why);
    }
    *payload = reader->payload;
    reader->offset += FT_FRAME_HEADER_SIZE + frame->length;
    if (frame->type == FT_FRAME_END) {
        reader->ended = TRUE;
    } else {
        reader->begun = TRUE;
        reader->inside = frame->flags & FT_FRAME_MORE;
        reader->position = frame->position + frame->length;
    }
    return FT_LOG_READ_FRAME;
}

static gboolean read_hello(FtLogReader *reader)
{
    FtLogRead result;

    reader->offset = FT_LOG_FILE_HEADER_SIZE;
    result = read_frame(reader, &reader->hello);
    if (result == FT_LOG_READ_FRAME && reader->hello.type != FT_FRAME_HELLO) {
        result = bad(reader, "the first frame is no HELLO");
    }
    if (result == FT_LOG_READ_FRAME &&
        !g_utf8_validate((char *)reader->payload, reader->hello.length,
                         NULL)) {
        result = bad(reader, "a HELLO that is no list of lines");
    }
    if (result != FT_LOG_READ_FRAME) {
        return FALSE;
    }
    reader->hello_text = g_strndup((char *)reader->payload,
                                   reader->hello.length);
    reader->offset += FT_FRAME_HEADER_SIZE + reader->hello.length;
    return TRUE;
}

static gboolean read_header(FtLogReader *reader)
{
    guint8 bytes[FT_LOG_FILE_HEADER_SIZE];
    const char *why;
    struct stat st;
    gssize n;

    if (fstat(reader->fd, &st) || !S_ISREG(st.st_mode)) {
        fail(reader, FT_LOG_READ_BAD, "it is no regular file");
        return FALSE;
    }
    n = read_at(reader->fd, bytes, sizeof(bytes), 0);
    if (n < 0) {
        fail(reader, FT_LOG_READ_BAD, "can't be read: %s", g_strerror(-n));
    } else if (n == 0) {
        fail(reader, FT_LOG_READ_BAD, "it is empty: no session has begun, or "
             "nothing could be written");
    } else if (n < (gssize)sizeof(bytes)) {
        fail(reader, FT_LOG_READ_BAD, ft_log_file_has_magic(bytes, n)
             ? "it is cut off inside the file's header"
             : "it is no log of a session (-ft ...,log=FILE writes one)");
    } else if (!header_in(&reader->header, bytes, &why)) {
        fail(reader, FT_LOG_READ_BAD, "%s", why);
    } else {
        return TRUE;
    }
    return FALSE;
}

FtLogReader *ft_log_reader_open(const char *path, char **why)
{
    FtLogReader *reader;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        *why = g_strdup_printf("log '%s': %s", path, g_strerror(errno));
        return NULL;
    }
    reader = g_new0(FtLogReader, 1);
    reader->fd = fd;
    reader->payload = g_malloc(FT_FRAME_PAYLOAD_MAX);
    if (!read_header(reader) || !read_hello(reader)) {
        *why = g_strdup_printf("log '%s': %s", path, reader->why);
        ft_log_reader_free(reader);
        return NULL;
    }
    return reader;
}

void ft_log_reader_free(FtLogReader *reader)
{
    close(reader->fd);
    g_free(reader->hello_text);
    g_free(reader->payload);
    g_free(reader->why);
    g_free(reader);
}

const FtLogFileHeader *ft_log_reader_header(const FtLogReader *reader)
{
    return &reader->header;
}

const FtFrame *ft_log_reader_hello(const FtLogReader *reader)
{
    return &reader->hello;
}

const char *ft_log_reader_hello_text(const FtLogReader *reader)
{
    return reader->hello_text;
}

const char *ft_log_reader_why(const FtLogReader *reader)
{
    return reader->why;
}

guint64 ft_log_reader_offset(const FtLogReader *reader)
{
    return reader->offset;
}

guint64 ft_log_reader_position(const FtLogReader *reader)
{
    return reader->position;
}
