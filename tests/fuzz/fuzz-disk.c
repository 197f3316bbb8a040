/*
 * Fuzzes what a log says was read from a shared disk (ft/disk-data.c).
 *
 * The input is flags, a script, and a log.  Its DISK_DATA entries arrive, and
 * the event of a disk request takes what arrived for it: as much as there is
 * where the script is 0, and else some bytes more or less.  All of it is
 * compared with a plain model.  With ROUND the input is instead what a guest
 * reads: it is put into a log, and taken out again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "replay/ft-stream.h"
#include "replay/replay-internal.h"
#include "ft/disk-internal.h"
#include "ft/limits.h"
#include "fuzz.h"

enum { ROUND = 1, HUGE = 0xf0 };        /* flags; HUGE zeros take time */

#define ENTRY_HEADER 5                  /* of a control entry */
#define ZEROS_MAX (64 * KiB)
#define READ_MAX (4 * MiB)
#define EACH_MAX 1024                   /* more than a request costs */

typedef struct Model {
    uint64_t id;
    GByteArray *data;
} Model;

static GArray *model;
static size_t total;
static unsigned entries, whole;
static GByteArray *written;             /* the log of ROUND */
static bool verbose;

/* --- what disk-data.c wants of QEMU -------------------------------------- */

bool ft_stream_writes_log(void)
{
    return true;
}

void ft_stream_put_control(FtControl code, const void *data, size_t size)
{
    uint8_t head[ENTRY_HEADER] = { code };

    stl_be_p(head + 1, size);
    g_byte_array_append(written, head, sizeof(head));
    g_byte_array_append(written, data, size);
}

/* --- the model ----------------------------------------------------------- */

static Model *find(uint64_t id)
{
    for (guint i = 0; i < model->len; i++) {
        Model *m = &g_array_index(model, Model, i);

        if (m->id == id) {
            return m;
        }
    }
    return NULL;
}

static Model *find_or_make(uint64_t id)
{
    Model new = { .id = id };

    if (!find(id)) {
        new.data = g_byte_array_new();
        g_array_append_val(model, new);
    }
    return find(id);
}

static void remove_model(Model *m)
{
    total -= m->data->len;
    g_byte_array_unref(m->data);
    g_array_remove_index_fast(model, m - (Model *)model->data);
}

/* --- one entry ----------------------------------------------------------- */

/* False: it was refused, which ends the session. */
static bool take(const uint8_t *entry, size_t size, uint8_t flags)
{
    g_autofree uint8_t *copy = g_memdup2(entry, size);
    Model *m = find_or_make(ldq_be_p(entry));
    size_t zeros = ldl_be_p(entry + 12), n = size - FT_DISK_DATA_HEADER;
    bool follows = ldl_be_p(entry + 8) == m->data->len;

    if ((flags & HUGE) != HUGE) {
        zeros %= ZEROS_MAX;
        stl_be_p(copy + 12, zeros);
    }
    total += zeros + n;
    if (!ft_disk_data_take(copy, size)) {
        MUST(!follows || total + model->len * EACH_MAX > FT_RING_MAX);
        return false;
    }
    MUST(follows && total <= FT_RING_MAX);
    g_byte_array_set_size(m->data, m->data->len + zeros);
    if (zeros) {
        memset(m->data->data + m->data->len - zeros, 0, zeros);
    }
    g_byte_array_append(m->data, entry + FT_DISK_DATA_HEADER, n);
    entries++;
    return true;
}

static void steal(uint64_t id, size_t bytes)
{
    GByteArray *data = ft_disk_data_steal(id, bytes);
    Model *m = find(id);

    if (!bytes) {
        MUST(data && (data->len == 0));
    } else if (!m || m->data->len != bytes) {
        MUST(!data);
    } else {
        MUST(data && data->len == bytes);
        MUST(!memcmp(data->data, m->data->data, bytes));
        remove_model(m);
        whole++;
    }
    if (data) {
        g_byte_array_unref(data);
    }
}

static void follow(Input *log, Input script, uint8_t flags)
{
    const char *why;

    while (log->size) {
        ssize_t n = ft_entry_length(log->data, log->size, &why);
        const uint8_t *entry = log->data;

        if (n <= 0) {
            return;
        }
        log->data += n;
        log->size -= n;
        if (entry[0] == FT_CONTROL_DISK_DATA) {
            if (!take(entry + ENTRY_HEADER, n - ENTRY_HEADER, flags)) {
                return;
            }
        } else if (entry[0] == EVENT_ASYNC + REPLAY_ASYNC_EVENT_BLOCK) {
            uint64_t id = ldq_be_p(entry + 1);
            Model *m = find(id);

            steal(id, (m ? m->data->len : 0) + (int8_t)input_byte(&script));
        }
    }
}

/* --- there and back ------------------------------------------------------ */

/* Blocks of zeros, of one byte and with one byte, and an end of any length. */
static GByteArray *make_read(Input *in)
{
    GByteArray *read = g_byte_array_new();

    while (in->size && read->len < READ_MAX) {
        uint8_t kind = input_byte(in);
        guint old = read->len, n = (kind & 31) * 512 + input_byte(in) % 8;

        g_byte_array_set_size(read, old + n);
        if (n) {
            memset(read->data + old, kind & 32 ? kind : 0, n);
        }
        if (n && kind & 64) {
            read->data[old + input_number(in, 2) % n] = kind;
        }
    }
    return read;
}

static void round_trip(Input *in)
{
    FtDiskRequest req = { .id = input_number(in, 8), .kind = FT_DISK_READ };
    GByteArray *read = make_read(in), *back;
    const char *why;
    size_t at = 0;

    req.bounce = read->data;
    req.bytes = read->len;
    g_byte_array_set_size(written, 0);
    ft_disk_data_put(&req);
    while (at < written->len) {
        ssize_t n = ft_entry_length(written->data + at, written->len - at,
                                    &why);

        MUST(n > ENTRY_HEADER);
        MUST(ft_disk_data_take(written->data + at + ENTRY_HEADER,
                               n - ENTRY_HEADER));
        at += n;
    }
    back = ft_disk_data_steal(req.id, req.bytes);
    MUST(back && back->len == read->len);
    MUST(!read->len || !memcmp(back->data, read->data, read->len));
    g_byte_array_unref(back);
    g_byte_array_unref(read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { data, size }, script;
    uint8_t flags = input_byte(&in);

    script.data = input_bytes(&in, input_byte(&in), &script.size);
    entries = whole = 0;
    if (flags & ROUND) {
        round_trip(&in);
    } else {
        follow(&in, script, flags);
    }
    if (verbose) {
        fprintf(stderr, "%u entries, %u reads\n", entries, whole);
    }
    while (model->len) {
        remove_model(&g_array_index(model, Model, 0));
    }
    total = 0;
    ft_disk_data_forget();
    return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    verbose = getenv("FT_FUZZ_VERBOSE");
    model = g_array_new(false, false, sizeof(Model));
    written = g_byte_array_new();
    return 0;
}
