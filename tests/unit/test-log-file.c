/*
 * The log as a file: what a reader finds, and every damage of a small one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log-file.h"

#define SESSION 77
#define GENERATION 3
#define HELLO "node=a\nvm=x\n"
#define FIRST "first transaction"
#define SECOND_A "second, "
#define SECOND_B "in two frames"
#define REASON "the VM ended"

static char *directory;

static void put(GByteArray *bytes, FtFrameType type, guint32 flags,
                guint64 position, const char *payload)
{
    FtFrame frame = {
        .type = type, .flags = flags, .session = SESSION,
        .generation = GENERATION, .position = position,
        .length = strlen(payload),
    };

    ft_log_file_put(bytes, &frame, payload);
}

static GByteArray *begin(void)
{
    FtLogFileHeader header = { .role = 1, .begun_us = 123456789 };
    GByteArray *bytes = g_byte_array_new();

    g_byte_array_set_size(bytes, FT_LOG_FILE_HEADER_SIZE);
    ft_log_file_header_out(&header, bytes->data);
    put(bytes, FT_FRAME_HELLO, 0, 0, HELLO);
    return bytes;
}

/* ends[] gets where each frame ends, closed by 0. */
static GByteArray *small_file(gsize *ends)
{
    GByteArray *bytes = begin();
    gsize at = 0;

    *ends++ = bytes->len;
    put(bytes, FT_FRAME_LOG, 0, at, FIRST);
    *ends++ = bytes->len;
    at += strlen(FIRST);
    put(bytes, FT_FRAME_LOG, FT_FRAME_MORE, at, SECOND_A);
    *ends++ = bytes->len;
    at += strlen(SECOND_A);
    put(bytes, FT_FRAME_LOG, 0, at, SECOND_B);
    *ends++ = bytes->len;
    at += strlen(SECOND_B);
    put(bytes, FT_FRAME_END, 0, at, REASON);
    *ends++ = bytes->len;
    *ends = 0;
    return bytes;
}

static char *save(const void *data, gsize size)
{
    char *path = g_build_filename(directory, "log", NULL);

    g_assert_true(g_file_set_contents(path, data, size, NULL));
    return path;
}

/* Reads it all; how that ended, the log's bytes and why in *log and *why. */
static FtLogRead read_all(const void *data, gsize size, GString *log,
                          char **why)
{
    g_autofree char *path = save(data, size);
    g_autoptr(FtLogReader) reader = ft_log_reader_open(path, why);
    const guint8 *payload;
    FtLogRead result;
    FtFrame frame;

    if (!reader) {
        return FT_LOG_READ_BAD;
    }
    while ((result = ft_log_reader_next(reader, &frame, &payload)) ==
           FT_LOG_READ_FRAME) {
        if (frame.type == FT_FRAME_LOG) {
            g_assert_cmpuint(frame.position, ==, log->len);
            g_string_append_len(log, (const char *)payload, frame.length);
            g_assert_cmpuint(ft_log_reader_position(reader), ==, log->len);
        }
    }
    if (result != FT_LOG_READ_DONE) {
        *why = g_strdup(ft_log_reader_why(reader));
    }
    return result;
}

static void test_whole(void)
{
    gsize ends[8];
    g_autoptr(GByteArray) bytes = small_file(ends);
    g_autofree char *path = save(bytes->data, bytes->len);
    g_autofree char *why = NULL;
    g_autoptr(FtLogReader) reader = ft_log_reader_open(path, &why);
    g_autoptr(GString) log = g_string_new(NULL);

    g_assert_nonnull(reader);
    g_assert_cmpint(ft_log_reader_header(reader)->role, ==, 1);
    g_assert_cmpint(ft_log_reader_header(reader)->begun_us, ==, 123456789);
    g_assert_cmpstr(ft_log_reader_hello_text(reader), ==, HELLO);
    g_assert_cmpuint(ft_log_reader_hello(reader)->session, ==, SESSION);
    g_assert_cmpuint(ft_log_reader_offset(reader), ==, ends[0]);
    g_assert_cmpint(read_all(bytes->data, bytes->len, log, &why), ==,
                    FT_LOG_READ_DONE);
    g_assert_cmpstr(log->str, ==, FIRST SECOND_A SECOND_B);
}

static gboolean is_frame_end(const gsize *ends, gsize size)
{
    for (; *ends; ends++) {
        if (*ends == size) {
            return TRUE;
        }
    }
    return FALSE;
}

static void test_cut_anywhere(void)
{
    gsize ends[8];
    g_autoptr(GByteArray) bytes = small_file(ends);

    for (gsize size = 0; size < bytes->len; size++) {
        g_autoptr(GString) log = g_string_new(NULL);
        g_autofree char *why = NULL;
        FtLogRead result = read_all(bytes->data, size, log, &why);

        g_assert_nonnull(why);
        g_assert_cmpint(result, ==, size < ends[0] ? FT_LOG_READ_BAD
                        : FT_LOG_READ_SHORT);
        g_assert_true(g_str_has_prefix(FIRST SECOND_A SECOND_B, log->str));
        if (size == 0) {
            g_assert_nonnull(strstr(why, "it is empty"));
        } else if (is_frame_end(ends, size)) {
            g_assert_nonnull(strstr(why, "it has no end"));
        } else {
            g_assert_nonnull(strstr(why, size < 8 ? "no log" : "cut off"));
        }
    }
}

static void test_every_byte_damaged(void)
{
    gsize ends[8];
    g_autoptr(GByteArray) bytes = small_file(ends);
    guint frame = 0;

    for (gsize at = 0; at < bytes->len; at++) {
        g_autoptr(GString) log = g_string_new(NULL);
        g_autofree char *why = NULL, *where = NULL;

        bytes->data[at] ^= 0x10;
        /* A length that grew reaches beyond the file's end. */
        g_assert_cmpint(read_all(bytes->data, bytes->len, log, &why), !=,
                        FT_LOG_READ_DONE);
        bytes->data[at] ^= 0x10;
        while (at >= ends[frame]) {
            frame++;
        }
        where = g_strdup_printf("byte %zu ", frame ? ends[frame - 1]
                                : (gsize)FT_LOG_FILE_HEADER_SIZE);
        if (at >= FT_LOG_FILE_HEADER_SIZE && !strstr(why, where)) {
            g_error("byte %zu damaged: '%s' is not in '%s'", at, where, why);
        }
    }
}

/* Frames that are whole, and do not belong where they are. */
static void expect_bad(GByteArray *bytes, const char *expected)
{
    g_autoptr(GString) log = g_string_new(NULL);
    g_autofree char *why = NULL;

    g_assert_cmpint(read_all(bytes->data, bytes->len, log, &why), ==,
                    FT_LOG_READ_BAD);
    if (!strstr(why, expected)) {
        g_error("'%s' is not in '%s'", expected, why);
    }
    g_byte_array_unref(bytes);
}

static void test_misplaced(void)
{
    FtFrame other = {
        .type = FT_FRAME_LOG, .session = SESSION + 1,
        .generation = GENERATION, .length = 1,
    };
    GByteArray *bytes = begin();

    put(bytes, FT_FRAME_LOG, 0, 0, FIRST);
    put(bytes, FT_FRAME_LOG, 0, 0, FIRST);
    expect_bad(bytes, "here twice");
    bytes = begin();
    put(bytes, FT_FRAME_LOG, 0, 0, FIRST);
    put(bytes, FT_FRAME_LOG, 0, strlen(FIRST) + 1, FIRST);
    expect_bad(bytes, "log is missing");
    bytes = begin();
    put(bytes, FT_FRAME_LOG, 0, 0, FIRST);
    put(bytes, FT_FRAME_END, 0, strlen(FIRST) - 1, REASON);
    expect_bad(bytes, "log is missing");
    bytes = begin();
    put(bytes, FT_FRAME_LOG, FT_FRAME_MORE, 0, FIRST);
    put(bytes, FT_FRAME_END, 0, strlen(FIRST), REASON);
    expect_bad(bytes, "ends inside a transaction");
    bytes = begin();
    put(bytes, FT_FRAME_LOG, 0, 0, "");
    expect_bad(bytes, "a frame without log");
    bytes = begin();
    put(bytes, FT_FRAME_KEEPALIVE, 0, 0, "");
    expect_bad(bytes, "a frame that no log has");
    bytes = begin();
    ft_log_file_put(bytes, &other, "x");
    expect_bad(bytes, "another session");
    bytes = begin();
    put(bytes, FT_FRAME_END, 0, 0, REASON);
    put(bytes, FT_FRAME_LOG, 0, 0, FIRST);
    expect_bad(bytes, "goes on after the log's end");
    bytes = begin();
    g_byte_array_set_size(bytes, FT_LOG_FILE_HEADER_SIZE);
    put(bytes, FT_FRAME_LOG, 0, 0, FIRST);
    expect_bad(bytes, "no HELLO");
}

/* A log whose beginning is gone can be read, from where it begins. */
static void test_tail(void)
{
    g_autoptr(GByteArray) bytes = begin();
    g_autofree char *path = NULL, *why = NULL;
    g_autoptr(FtLogReader) reader = NULL;
    const guint8 *payload;
    FtFrame frame;

    put(bytes, FT_FRAME_LOG, 0, 5000, FIRST);
    path = save(bytes->data, bytes->len);
    reader = ft_log_reader_open(path, &why);
    g_assert_cmpint(ft_log_reader_next(reader, &frame, &payload), ==,
                    FT_LOG_READ_FRAME);
    g_assert_cmpuint(frame.position, ==, 5000);
}

static void test_growing(void)
{
    gsize ends[8];
    g_autoptr(GByteArray) bytes = small_file(ends);
    g_autofree char *path = save(bytes->data, ends[1] + 10);
    g_autofree char *why = NULL;
    g_autoptr(FtLogReader) reader = ft_log_reader_open(path, &why);
    const guint8 *payload;
    FtFrame frame;
    FILE *f;

    g_assert_cmpint(ft_log_reader_next(reader, &frame, &payload), ==,
                    FT_LOG_READ_FRAME);
    g_assert_cmpint(ft_log_reader_next(reader, &frame, &payload), ==,
                    FT_LOG_READ_SHORT);
    f = fopen(path, "a");
    fwrite(bytes->data + ends[1] + 10, 1, bytes->len - ends[1] - 10, f);
    fclose(f);
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(ft_log_reader_next(reader, &frame, &payload), ==,
                        FT_LOG_READ_FRAME);
    }
    g_assert_cmpint(frame.type, ==, FT_FRAME_END);
    g_assert_cmpint(ft_log_reader_next(reader, &frame, &payload), ==,
                    FT_LOG_READ_DONE);
}

static void expect_no_open(const char *path, const char *expected)
{
    char *why = NULL;

    g_assert_null(ft_log_reader_open(path, &why));
    g_assert_nonnull(strstr(why, expected));
    g_free(why);
}

static void test_no_log(void)
{
    g_autofree char *missing = g_build_filename(directory, "none", NULL);
    g_autofree char *text = save("some text that is no log at all, but long",
                                 41);

    expect_no_open(missing, g_strerror(ENOENT));
    expect_no_open(directory, "no regular file");
    expect_no_open("/dev/null", "no regular file");
    expect_no_open(text, "no log of a session");
}

static void test_other_version(void)
{
    GByteArray *bytes = begin();

    bytes->data[8] = 9;
    expect_bad(bytes, "another version");
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    directory = g_dir_make_tmp("ft-log-XXXXXX", NULL);
    g_test_add_func("/log-file/whole", test_whole);
    g_test_add_func("/log-file/cut-anywhere", test_cut_anywhere);
    g_test_add_func("/log-file/every-byte-damaged", test_every_byte_damaged);
    g_test_add_func("/log-file/misplaced", test_misplaced);
    g_test_add_func("/log-file/tail", test_tail);
    g_test_add_func("/log-file/growing", test_growing);
    g_test_add_func("/log-file/no-log", test_no_log);
    g_test_add_func("/log-file/other-version", test_other_version);
    status = g_test_run();
    {
        g_autofree char *path = g_build_filename(directory, "log", NULL);

        g_unlink(path);
        g_rmdir(directory);
        g_free(directory);
    }
    return status;
}
