/*
 * The session's log on its way to a file.
 *
 *   I/O thread --frames--> queue --> writer's thread --> file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/file.h>
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/notify.h"
#include "qemu/units.h"
#include "system/system.h"
#include "limits.h"
#include "log-file.h"
#include "log-sink.h"

/* Log that waits for the file's disk; then the file is given up. */
#define QUEUE_MAX (64 * MiB)
/* At the process's end the writer gets this long for what waits. */
#define CLOSE_MS 3000
/* What comes within this time is written together, unless it is so much. */
#define COLLECT_MS 50
#define COLLECT_SIZE (1 * MiB)

typedef struct Chunk {
    GByteArray *bytes;
    FtFrame log;                /* of frames of log: what is in all of them, */
    size_t log_size;            /* how much log that is; 0: other bytes */
    bool begins;                /* the file is written anew */
    bool ends;
    char *text;                 /* status once it is written; NULL: as is */
} Chunk;

static struct {
    char *path;                 /* of a spool: its directory */
    int fd;
    uint64_t bound;             /* of a spool; 0: it is no spool */
    QemuThread thread;
    FtFrame frame;              /* I/O thread: session, generation, position */
    bool begun;                 /* I/O thread: between begin and end */

    QemuMutex lock;
    QemuCond cond;              /* the queue changed */
    /* Protected by lock. */
    GQueue queue;               /* of Chunk */
    size_t queued;              /* bytes of log that wait */
    bool hurry;                 /* somebody waits for the writer */
    FtLogSinkStatus status;
} sink = { .fd = -1 };

static void G_GNUC_PRINTF(1, 2) say_locked(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_vsnprintf(sink.status.text, sizeof(sink.status.text), fmt, ap);
    va_end(ap);
}

/* --- the writer's thread ------------------------------------------------- */

static int write_all(const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t n = write(sink.fd, data, size);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        data += MAX(n, 0);
        size -= MAX(n, 0);
    }
    return 0;
}

/* Half a log is no evidence, and takes the disk from others. */
static void drop_spool(const char *what)
{
    WITH_QEMU_LOCK_GUARD(&sink.lock) {
        sink.status.writing = false;
        sink.status.bytes = 0;
    }
    warn_report("ft: the log in '%s' that was kept for evidence is dropped: "
                "%s%s (log=FILE keeps one of any length)", sink.path, what,
                ftruncate(sink.fd, 0) ? ", and can't be emptied" : "");
}

/* A file that can't go on ends with its last whole frame. */
static void give_up(const char *what, uint64_t bytes)
{
    if (sink.bound) {
        drop_spool(what);
        return;
    }
    if (ftruncate(sink.fd, bytes) || lseek(sink.fd, bytes, SEEK_SET) < 0) {
        what = "it can't even be cut to its last whole frame";
    }
    WITH_QEMU_LOCK_GUARD(&sink.lock) {
        sink.status.writing = false;
        say_locked("ended early: %s", what);
    }
    warn_report("ft: the log file '%s' ends at byte %" PRIu64 ": %s; the "
                "pair goes on without it", sink.path, bytes, what);
}

/* Goes through the frames of a chunk of log, of which the payloads are in. */
static void put_headers(Chunk *chunk)
{
    uint8_t *at = chunk->bytes->data;
    FtFrame frame = chunk->log;
    size_t rest = chunk->log_size;

    while (rest) {
        frame.length = MIN(rest, FT_FRAME_PAYLOAD_MAX);
        rest -= frame.length;
        frame.flags = rest ? FT_FRAME_MORE : 0;
        ft_wire_frame_out(&frame, at + FT_FRAME_HEADER_SIZE, at);
        at += FT_FRAME_HEADER_SIZE + frame.length;
        frame.position += frame.length;
    }
}

static void carry_out(Chunk *chunk)
{
    uint64_t bytes;
    int ret = 0;

    WITH_QEMU_LOCK_GUARD(&sink.lock) {
        if (!chunk->begins && !sink.status.writing) {
            return;
        }
        bytes = chunk->begins ? 0 : sink.status.bytes;
    }
    if (chunk->begins &&
        (ftruncate(sink.fd, 0) || lseek(sink.fd, 0, SEEK_SET) < 0)) {
        ret = -errno;
    }
    if (sink.bound && bytes + chunk->bytes->len > sink.bound) {
        drop_spool("it has reached its bound (spool=)");
        return;
    }
    if (!ret) {
        put_headers(chunk);
        ret = write_all(chunk->bytes->data, chunk->bytes->len);
    }
    if (ret) {
        give_up(strerror(-ret), bytes);
        return;
    }
    QEMU_LOCK_GUARD(&sink.lock);
    sink.status.bytes = bytes + chunk->bytes->len;
    sink.status.writing = !chunk->ends;
    if (chunk->text) {
        say_locked("%s", chunk->text);
    }
}

static void chunk_free(gpointer opaque)
{
    Chunk *chunk = opaque;

    g_byte_array_unref(chunk->bytes);
    g_free(chunk->text);
    g_free(chunk);
}

static void wait_for_chunks(void)
{
    QEMU_LOCK_GUARD(&sink.lock);
    while (g_queue_is_empty(&sink.queue)) {
        qemu_cond_wait(&sink.cond, &sink.lock);
    }
    if (!sink.hurry && sink.queued < COLLECT_SIZE) {
        qemu_cond_timedwait(&sink.cond, &sink.lock, COLLECT_MS);
    }
}

static Chunk *first_chunk(void)
{
    QEMU_LOCK_GUARD(&sink.lock);
    return g_queue_peek_head(&sink.queue);
}

static void *writer_thread(void *opaque)
{
    for (;;) {
        Chunk *chunk;

        wait_for_chunks();
        while ((chunk = first_chunk())) {
            carry_out(chunk);
            WITH_QEMU_LOCK_GUARD(&sink.lock) {
                g_queue_pop_head(&sink.queue);
                sink.queued -= chunk->bytes->len;
                if (g_queue_is_empty(&sink.queue)) {
                    sink.hurry = false;
                    qemu_cond_broadcast(&sink.cond);
                }
            }
            chunk_free(chunk);
        }
    }
    return NULL;
}

/* What the session said last is often what one wants to read. */
static void wait_written(Notifier *notifier, void *opaque)
{
    gint64 end = g_get_monotonic_time() + CLOSE_MS * 1000;

    QEMU_LOCK_GUARD(&sink.lock);
    sink.hurry = true;
    qemu_cond_broadcast(&sink.cond);
    while (!g_queue_is_empty(&sink.queue) && g_get_monotonic_time() < end) {
        qemu_cond_timedwait(&sink.cond, &sink.lock, CLOSE_MS);
    }
}

/* --- the I/O thread ------------------------------------------------------ */

/* Takes what is in the chunk. */
static void enqueue(const Chunk *values)
{
    Chunk *chunk = g_memdup2(values, sizeof(*values));

    QEMU_LOCK_GUARD(&sink.lock);
    sink.hurry |= chunk->begins || chunk->ends;
    sink.queued += chunk->bytes->len;
    g_queue_push_tail(&sink.queue, chunk);
    if (sink.hurry || sink.queued >= COLLECT_SIZE ||
        g_queue_get_length(&sink.queue) == 1) {
        qemu_cond_broadcast(&sink.cond);
    }
}

/* A writer that is stuck in the kernel can't say so itself. */
static bool is_too_slow(void)
{
    QEMU_LOCK_GUARD(&sink.lock);
    if (sink.queued <= QUEUE_MAX) {
        return false;
    }
    sink.status.writing = false;
    say_locked("ended early: its disk is too slow");
    return true;
}

static void put(GByteArray *bytes, FtFrameType type, uint32_t flags,
                const void *payload, size_t size)
{
    sink.frame.type = type;
    sink.frame.flags = flags;
    sink.frame.length = size;
    ft_log_file_put(bytes, &sink.frame, payload);
}

void ft_log_sink_begin(FtRole role, const char *hello, uint64_t session,
                       uint64_t generation)
{
    FtLogFileHeader header = {
        .role = role,
        .begun_us = g_get_real_time(),
    };
    GByteArray *bytes;

    if (sink.fd < 0) {
        return;
    }
    bytes = g_byte_array_new();
    g_byte_array_set_size(bytes, FT_LOG_FILE_HEADER_SIZE);
    ft_log_file_header_out(&header, bytes->data);
    sink.frame = (FtFrame) { .session = session, .generation = generation };
    put(bytes, FT_FRAME_HELLO, 0, hello, strlen(hello));
    enqueue(&(Chunk) {
        .bytes = bytes,
        .begins = true,
        .text = g_strdup("a session is being written"),
    });
    sink.begun = true;
}

/* The log's bytes up to position, with room for the headers of frames. */
static GByteArray *copy_log(FtLog *log, uint64_t position)
{
    uint64_t from = sink.frame.position;
    size_t frames = DIV_ROUND_UP(position - from, FT_FRAME_PAYLOAD_MAX);
    size_t size = position - from + frames * FT_FRAME_HEADER_SIZE;
    uint8_t *bytes = g_malloc(size);
    uint8_t *to = bytes;
    FtLogView view;

    ft_log_view(log, from, position, &view);
    for (size_t at = 0; at < view.size;) {
        size_t n = MIN(view.size - at, FT_FRAME_PAYLOAD_MAX);

        memcpy(to + FT_FRAME_HEADER_SIZE, view.data + at, n);
        to += FT_FRAME_HEADER_SIZE + n;
        at += n;
    }
    ft_log_view_end(&view);
    return g_byte_array_new_take(bytes, size);
}

void ft_log_sink_take(FtLog *log, uint64_t position)
{
    Chunk chunk;

    if (!sink.begun || position <= sink.frame.position) {
        return;
    }
    if (is_too_slow()) {
        warn_report("ft: the log file '%s' ends: its disk is too slow; the "
                    "pair goes on without it", sink.path);
        sink.begun = false;
        return;
    }
    chunk = (Chunk) {
        .log = sink.frame,
        .log_size = position - sink.frame.position,
    };
    chunk.log.type = FT_FRAME_LOG;
    chunk.bytes = copy_log(log, position);
    sink.frame.position = position;
    enqueue(&chunk);
}

void ft_log_sink_end(const char *text)
{
    GByteArray *bytes;

    if (!sink.begun) {
        return;
    }
    bytes = g_byte_array_new();
    put(bytes, FT_FRAME_END, 0, text, MIN(strlen(text), FT_REASON_MAX));
    enqueue(&(Chunk) {
        .bytes = bytes,
        .ends = true,
        .text = g_strdup_printf("ended: %s", text),
    });
    sink.begun = false;
    if (!sink.bound) {
        info_report("ft: the log file '%s' ends here, with its session; the "
                    "next session begins it anew", sink.path);
    }
}

/* --- other threads ------------------------------------------------------- */

void ft_log_sink_status(FtLogSinkStatus *status)
{
    if (sink.fd < 0) {
        *status = (FtLogSinkStatus) { .path = NULL };
        return;
    }
    QEMU_LOCK_GUARD(&sink.lock);
    *status = sink.status;
}

/* A name mistyped must not cost somebody's file. */
static bool is_ours(int fd, Error **errp)
{
    uint8_t start[FT_LOG_FILE_HEADER_SIZE];
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        error_setg(errp, "log file '%s' is no regular file", sink.path);
        return false;
    }
    n = pread(fd, start, sizeof(start), 0);
    if (st.st_size && !ft_log_file_has_magic(start, MAX(n, 0))) {
        error_setg(errp, "log file '%s' exists and is no log; it was left as "
                   "it is, choose another name", sink.path);
        return false;
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        error_setg(errp, "log file '%s' is being written by another process; "
                   "choose another name", sink.path);
        return false;
    }
    return true;
}

static void start_writer(int fd)
{
    static Notifier notifier = { .notify = wait_written };

    sink.fd = fd;
    qemu_mutex_init(&sink.lock);
    qemu_cond_init(&sink.cond);
    g_queue_init(&sink.queue);
    say_locked("no session has begun");
    qemu_add_exit_notifier(&notifier);
    qemu_thread_create(&sink.thread, "ft-log-file", writer_thread, NULL,
                       QEMU_THREAD_DETACHED);
}

void ft_log_sink_setup_spool(const char *directory, uint64_t bound)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        warn_report("ft: no log is kept in '%s' for evidence: %s", directory,
                    strerror(errno));
        return;
    }
    sink.path = g_strdup(directory);
    sink.bound = bound;
    start_writer(fd);
}

bool ft_log_sink_save(const char *path)
{
    g_autofree char *unnamed = NULL;

    if (sink.fd < 0) {
        return false;
    }
    wait_written(NULL, NULL);
    if (!sink.bound) {
        return !rename(sink.path, path);
    }
    WITH_QEMU_LOCK_GUARD(&sink.lock) {
        if (!sink.status.bytes) {
            return false;
        }
    }
    unnamed = g_strdup_printf("/proc/self/fd/%d", sink.fd);
    return !linkat(AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

bool ft_log_sink_setup(const char *path, Error **errp)
{
    int fd;

    if (!path) {
        return true;
    }
    sink.path = g_canonicalize_filename(path, NULL);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
    if (fd < 0) {
        error_setg_errno(errp, errno, "log file '%s'", sink.path);
        return false;
    }
    if (!is_ours(fd, errp)) {
        close(fd);
        return false;
    }
    sink.status.path = sink.path;
    start_writer(fd);
    return true;
}
