/*
 * A session's log as a file: the frames of the wire behind a short header.
 *
 * Purpose: what a writer puts into the file, and a reader that finds every
 *   damage and says where it is.  glib only: QEMU, ft-log and the unit tests
 *   share it.
 * Thread: a reader belongs to one thread at a time; nothing else has state.
 * Ownership: texts that come out belong to who asked (g_free), or to the
 *   reader where it says so.
 * Units: offsets in bytes of the file, positions in bytes of the log.
 * The bytes are described in docs/log.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_LOG_FILE_H
#define FT_LOG_FILE_H

#include "wire.h"

#define FT_LOG_FILE_VERSION 1
#define FT_LOG_FILE_HEADER_SIZE 32

typedef struct FtLogFileHeader {
    guint8 role;            /* who wrote it: 1 primary, 2 backup */
    gint64 begun_us;        /* wall clock, since 1970 */
} FtLogFileHeader;

void ft_log_file_header_out(const FtLogFileHeader *header, guint8 *bytes);
/* Is this the beginning of a log, whatever its version? */
gboolean ft_log_file_has_magic(const void *bytes, gsize size);
/* Appends a frame, header and payload, to bytes. */
void ft_log_file_put(GByteArray *bytes, const FtFrame *frame,
                     const void *payload);

typedef enum FtLogRead {
    FT_LOG_READ_FRAME,      /* a frame */
    FT_LOG_READ_DONE,       /* the file is over, after its END */
    FT_LOG_READ_SHORT,      /* no END yet: still written, or cut off.  More
                               may come; asking again is allowed */
    FT_LOG_READ_BAD,        /* damaged */
} FtLogRead;

typedef struct FtLogReader FtLogReader;

/*
 * Opens a log and reads header and HELLO.  NULL: *why says what is wrong and
 * what to do.
 */
FtLogReader *ft_log_reader_open(const char *path, char **why);
void ft_log_reader_free(FtLogReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FtLogReader, ft_log_reader_free)

const FtLogFileHeader *ft_log_reader_header(const FtLogReader *reader);
/* The HELLO's frame, and its lines "key=value\n" (the reader's). */
const FtFrame *ft_log_reader_hello(const FtLogReader *reader);
const char *ft_log_reader_hello_text(const FtLogReader *reader);

/*
 * The next frame, LOG or END; payload is the reader's until the next call.
 * SHORT and BAD: ft_log_reader_why() says what, with the offset.
 */
FtLogRead ft_log_reader_next(FtLogReader *reader, FtFrame *frame,
                             const guint8 **payload);
const char *ft_log_reader_why(const FtLogReader *reader);
/* Where the next frame begins. */
guint64 ft_log_reader_offset(const FtLogReader *reader);
/* The log position after the last LOG frame. */
guint64 ft_log_reader_position(const FtLogReader *reader);

#endif
